/** Tables as Docker prints them: columns padded with spaces, three between them. */

import { oneLine } from "@tare/spec/error.ts";

const GAP = 3;

/** The rows as lines, the first one being the heads. */
export function printTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, Bun.stringWidth(cell));
    }
  }
  return rows
    .map((row) => `${row.map((cell, at) => pad(cell, at, row, widths)).join("")}\n`)
    .join("");
}

function pad(
  cell: string,
  column: number,
  row: readonly string[],
  widths: readonly number[],
): string {
  if (column === row.length - 1) return cell;
  return cell + " ".repeat((widths[column] ?? 0) - Bun.stringWidth(cell) + GAP);
}

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** Three digits and a decimal unit, as in 4.86MB. */
export function humanSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(3))}${UNITS[unit]}`;
}

const STEPS: readonly (readonly [secondsBelow: number, divisor: number, unit: string])[] = [
  [60, 1, "second"],
  [3600, 60, "minute"],
  [48 * 3600, 3600, "hour"],
  [14 * 86_400, 86_400, "day"],
  [60 * 86_400, 7 * 86_400, "week"],
  [730 * 86_400, 30 * 86_400, "month"],
  [Number.POSITIVE_INFINITY, 365 * 86_400, "year"],
];

/** How long ago, in one unit: "3 weeks ago"; "N/A" where the time is not known. */
export function ago(time: string, nowMs: number): string {
  const then = Date.parse(time);
  if (Number.isNaN(then)) return "N/A";
  const seconds = Math.max(0, Math.floor((nowMs - then) / 1000));
  if (seconds < 1) return "Less than a second ago";
  const [, divisor, unit] = STEPS.find(([below]) => seconds < below) ?? [0, 1, "second"];
  const count = Math.max(1, Math.floor(seconds / divisor));
  return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
}

/** A time as Docker prints it in full, `2026-01-31 12:00:00 +0000 UTC`; "N/A" where it is not known. */
export function goTime(time: string): string {
  const then = Date.parse(time);
  if (Number.isNaN(then)) return "N/A";
  return `${new Date(then).toISOString().slice(0, 19).replace("T", " ")} +0000 UTC`;
}

const COMMAND_LENGTH = 20;

/** The words of a container's command in quotes, cut as Docker cuts them; `long` cuts nothing. */
export function shortCommand(words: readonly string[], isLong = false): string {
  const text = oneLine(words.join(" "));
  const isCut = !isLong && text.length > COMMAND_LENGTH;
  return `"${isCut ? `${text.slice(0, COMMAND_LENGTH - 1)}…` : text}"`;
}
