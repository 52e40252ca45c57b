/** Durations as Go's `time.ParseDuration` reads them: `1h30m`, `1.5s`, `300ms`. */
import { TareError } from "@tare/spec/error.ts";

const UNITS: ReadonlyMap<string, number> = new Map([
  ["ns", 1],
  ["us", 1e3],
  ["µs", 1e3],
  ["ms", 1e6],
  ["s", 1e9],
  ["m", 60e9],
  ["h", 3600e9],
]);

/**
 * Nanoseconds.
 * @throws TareError `bad_input`
 */
export function parseDuration(text: string): number {
  let total = text === "0" ? 0 : Number.NaN;
  for (let at = 0; at < text.length && text !== "0"; ) {
    const number = take(text, at, (char) => (char >= "0" && char <= "9") || char === ".");
    const unit = take(text, at + number.length, (char) => char >= "a" || char === "µ");
    const value = Number(number) * (UNITS.get(unit) ?? Number.NaN);
    if (number === "" || Number.isNaN(value)) throw malformed(text);
    total = (Number.isNaN(total) ? 0 : total) + value;
    at += number.length + unit.length;
  }
  if (Number.isNaN(total) || total > Number.MAX_SAFE_INTEGER) throw malformed(text);
  return Math.round(total);
}

function take(text: string, start: number, fits: (char: string) => boolean): string {
  let end = start;
  while (end < text.length && fits(text[end] ?? "")) end++;
  return text.slice(start, end);
}

function malformed(text: string): TareError {
  return new TareError(
    "bad_input",
    `Cannot read duration "${text}": want one such as 1h30m or 500ms`,
  );
}
