/**
 * What people read: a table on the terminal; and JSON lines to keep, each written when it is known, so
 * that a run that is stopped leaves what it has. Pure.
 */
import type { Outcome, Verdict } from "./contest.ts";
import type { Machine } from "./programs.ts";
import type { Interval } from "./statistics.ts";

export type Result = {
  readonly bench: string;
  readonly outcomes: readonly Outcome[];
  readonly facts: readonly Verdict[];
  readonly missing?: string;
};

/** Of one run of all benches. */
export type Header = {
  /** ISO 8601, UTC. */
  readonly date: string;
  readonly commit: string;
  readonly quick: boolean;
  readonly machine: Machine;
};

/** The run first, then contests, facts and benches that could not be run; `end` only behind a whole run. */
export type Line =
  | ({ readonly kind: "run" } & Header)
  | ({ readonly kind: "contest"; readonly bench: string } & Outcome)
  | ({ readonly kind: "fact"; readonly bench: string } & Verdict)
  | { readonly kind: "missing"; readonly bench: string; readonly why: string }
  | { readonly kind: "end"; readonly seconds: number }
  | { readonly kind: "stopped"; readonly why: string };

/** With its newline. */
export function toJsonLine(line: Line): string {
  return `${JSON.stringify(line, rounded)}\n`;
}

/** Whether the run came to its end, by the text of its file. */
export function isWhole(text: string): boolean {
  const last = text.trimEnd().split("\n").at(-1) ?? "";
  return last !== "" && JSON.parse(last).kind === "end";
}

/** Four decimals are more than any of it is worth. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" ? Math.round(value * 1e4) / 1e4 : value;
}

const COLUMNS = ["", "wall ms", "min", "CPU ms", "peak KiB", "wall ratio", "CPU ratio"];

/** A block a contest: both sides, then each bar with what came of it. */
export function toTable(result: Result): string {
  const rows = [COLUMNS];
  const notes: string[] = [];
  for (const outcome of result.outcomes) {
    const { ours, peer } = outcome;
    rows.push([`${outcome.name} (${outcome.pairs} pairs)`]);
    for (const side of [ours, peer]) {
      const ratios =
        side === ours ? [printInterval(outcome.wallRatio), printInterval(outcome.cpuRatio)] : [];
      rows.push([
        `  ${side.label}`,
        ...[side.wallMs, side.wallMsMin, side.cpuMs].map((value) => value.toFixed(2)),
        side.peakKiB.toFixed(0),
        ...ratios,
      ]);
    }
    notes.push(...outcome.verdicts.map((verdict) => `${outcome.name}: ${printVerdict(verdict)}`));
  }
  notes.push(...result.facts.map(printVerdict));
  if (result.missing !== undefined) notes.push(`not measured: ${result.missing}`);
  const table = result.outcomes.length > 0 ? align(rows) : "";
  return `== ${result.bench}\n${table}${notes.map((note) => `  ${note}\n`).join("")}`;
}

function printInterval({ median, low, high }: Interval): string {
  return `${median.toFixed(3)} (${low.toFixed(3)}-${high.toFixed(3)})`;
}

function printVerdict({ what, value, atMost, met }: Verdict): string {
  const shown = Number.isInteger(value) ? String(value) : value.toFixed(3);
  return `${what} ${shown}, at most ${atMost}: ${met ? "met" : "NOT MET"}`;
}

function align(rows: readonly (readonly string[])[]): string {
  // A heading may run over the other columns.
  const wide = rows.filter((row) => row.length > 1);
  const widths = COLUMNS.map((_, column) =>
    Math.max(...wide.map((row) => (row[column] ?? "").length)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd();
  return rows.map((row) => `${line(row)}\n`).join("");
}
