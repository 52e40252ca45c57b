/** What people read: a table on the terminal, and JSON lines to keep. Pure. */
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

/** One line for the run, then one a contest, a fact, or a bench that could not be run. */
export function toJsonLines(header: Header, results: readonly Result[]): string {
  const lines: unknown[] = [{ kind: "run", ...header }];
  for (const { bench, outcomes, facts, missing } of results) {
    for (const outcome of outcomes) lines.push({ kind: "contest", bench, ...outcome });
    for (const fact of facts) lines.push({ kind: "fact", bench, ...fact });
    if (missing !== undefined) lines.push({ kind: "missing", bench, why: missing });
  }
  return lines.map((line) => `${JSON.stringify(line, rounded)}\n`).join("");
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
