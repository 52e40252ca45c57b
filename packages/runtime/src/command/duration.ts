/** Durations as Go writes them: `5s`, `100ms`, `1m30s`, `1.5h`. Source: Go, time.ParseDuration. */

import { TareError } from "@tare/spec/error.ts";

/** Milliseconds of each unit. */
const UNITS: ReadonlyMap<string, number> = new Map([
  ["ns", 1e-6],
  ["us", 1e-3],
  ["µs", 1e-3],
  ["ms", 1],
  ["s", 1e3],
  ["m", 60e3],
  ["h", 3600e3],
]);

const LENGTH_MAX = 40;
/** What poll(2) takes. */
const MS_MAX = 0x7fff_ffff;

/**
 * Milliseconds, at least one.
 * @throws TareError `bad_input` where it is no duration, or none that is greater than 0.
 */
export function parseDuration(text: string, name: string): number {
  let total = 0;
  let at = 0;
  while (at < text.length && text.length <= LENGTH_MAX) {
    const number = takeWhile(text, at, (letter) => isDigit(letter) || letter === ".");
    const unit = takeWhile(
      text,
      at + number.length,
      (letter) => !isDigit(letter) && letter !== ".",
    );
    const scale = UNITS.get(unit);
    const isNumber = number !== "" && number !== "." && number.split(".").length <= 2;
    if (scale === undefined || !isNumber) throw badDuration(text, name, "invalid duration");
    total += Number(number) * scale;
    at += number.length + unit.length;
  }
  if (at < text.length || text === "") throw badDuration(text, name, "invalid duration");
  if (total <= 0) throw badDuration(text, name, "duration interval must be greater than 0");
  return Math.min(Math.max(Math.round(total), 1), MS_MAX);
}

function takeWhile(text: string, from: number, holds: (letter: string) => boolean): string {
  let end = from;
  while (end < text.length && holds(text.charAt(end))) end++;
  return text.slice(from, end);
}

function isDigit(letter: string): boolean {
  return letter >= "0" && letter <= "9";
}

function badDuration(text: string, name: string, why: string): TareError {
  const shown = text.slice(0, LENGTH_MAX);
  return new TareError("bad_input", `Cannot use --${name} "${shown}": ${why}`, {
    hint: "Give a number with its unit, as in 5s or 100ms",
  });
}
