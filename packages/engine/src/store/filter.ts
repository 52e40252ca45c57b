/** What prune and ls are told to look at, as data: labels and an age. */

export type LabelFilter = {
  readonly key: string;
  /** Absent: any value. */
  readonly value: string | undefined;
  /** False for `label!=`: those that have it are left out. */
  readonly wanted: boolean;
};

export type Filter = {
  readonly labels: readonly LabelFilter[];
  /** Made before this moment, in milliseconds since 1970. */
  readonly beforeMs: number | undefined;
};

export const NO_FILTER: Filter = { labels: [], beforeMs: undefined };

/**
 * Whether a thing passes: every label filter holds and it is old enough. What does not say when it was
 * made (`created` is empty or no time) is as old as can be.
 */
export function passes(
  filter: Filter,
  labels: ReadonlyMap<string, string>,
  created: string,
): boolean {
  const made = Date.parse(created);
  if (filter.beforeMs !== undefined && made > filter.beforeMs) return false;
  return filter.labels.every(({ key, value, wanted }) => {
    const has = labels.get(key);
    const matches = has !== undefined && (value === undefined || value === has);
    return matches === wanted;
  });
}
