/**
 * What may be said of paired measurements: medians, and an interval that supposes nothing about how
 * the noise is distributed. Pure.
 */

export type Interval = {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  /** Probability that the true median lies between `low` and `high`: at least 0.95 from 6 values on. */
  readonly level: number;
};

const LEVEL_WANTED = 0.95;
/** Of more, the probability of one extreme rank is less than the smallest number there is. */
const VALUES_MAX = 1000;

/** The middle value; of an even number of values the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = ascending(values);
  const middle = sorted.length >> 1;
  const high = at(sorted, middle);
  return sorted.length % 2 === 1 ? high : (at(sorted, middle - 1) + high) / 2;
}

/**
 * Median and its sign interval: between the k-th smallest and the k-th largest value, where k is the
 * greatest for which a fair coin leaves the median inside with the wanted probability.
 * With fewer than 6 values there is none at 0.95: then it is the whole range, with the level it has.
 */
export function signInterval(values: readonly number[]): Interval {
  const sorted = ascending(values);
  const count = sorted.length;
  if (count > VALUES_MAX) throw new Error(`Cannot rank ${count} values: at most ${VALUES_MAX}`);
  let outside = 0.5 ** count;
  let term = outside;
  let rank = 0;
  while (rank + 1 < count / 2) {
    term = (term * (count - rank)) / (rank + 1);
    if (1 - 2 * (outside + term) < LEVEL_WANTED) break;
    outside += term;
    rank++;
  }
  const low = at(sorted, rank);
  const high = at(sorted, count - 1 - rank);
  return { median: median(sorted), low, high, level: Math.max(0, 1 - 2 * outside) };
}

function ascending(values: readonly number[]): readonly number[] {
  if (values.length === 0) throw new Error("Cannot take the median of nothing");
  return [...values].sort((a, b) => a - b);
}

function at(values: readonly number[], index: number): number {
  const value = values[index];
  if (value === undefined) throw new Error(`Cannot take value ${index} of ${values.length}`);
  return value;
}
