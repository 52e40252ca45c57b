/**
 * Lists of processors and memory nodes, as `0-3,7`: cpuset(7), "List format". Blanks and empty
 * entries are passed over, as runc does.
 */

/** More than any kernel has of either: CONFIG_NR_CPUS is at most 8192. */
export const LISTED_ID_MAX = 8191;

const TEXT_LENGTH_MAX = 64 * 1024;

/**
 * The numbers of a list as a mask: bit n of byte n/8, as the kernel takes it on little-endian
 * machines, in whole 64-bit words. Empty for an empty list; undefined for a text that is no list.
 */
export function idMask(text: string): Uint8Array | undefined {
  if (text.length > TEXT_LENGTH_MAX) return undefined;
  const ranges: (readonly [first: number, last: number])[] = [];
  for (const entry of text.split(",")) {
    const range = readRange(entry.trim());
    if (range === undefined) return undefined;
    if (range !== "none") ranges.push(range);
  }
  const end = ranges.reduce((most, [, last]) => Math.max(most, last + 1), 0);
  const mask = new Uint8Array(Math.ceil(end / 64) * 8);
  for (const [first, last] of ranges) {
    for (let id = first; id <= last; id++) mask[id >> 3] = (mask[id >> 3] ?? 0) | (1 << (id & 7));
  }
  return mask;
}

function readRange(entry: string): readonly [number, number] | "none" | undefined {
  if (entry === "") return "none";
  const dash = entry.indexOf("-");
  const first = readId(dash < 0 ? entry : entry.slice(0, dash));
  const last = dash < 0 ? first : readId(entry.slice(dash + 1));
  if (first === undefined || last === undefined || last < first) return undefined;
  return [first, last];
}

function readId(text: string): number | undefined {
  const digits = text.trim();
  if (digits === "" || digits.length > 4) return undefined;
  for (const digit of digits) if (digit < "0" || digit > "9") return undefined;
  const id = Number(digits);
  return id <= LISTED_ID_MAX ? id : undefined;
}
