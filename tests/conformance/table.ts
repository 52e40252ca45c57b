/** The table of results, ours beside the others': printed by `make conformance`, kept in docs. */
import { CONTROLS, readResults, scoreOf } from "./results.ts";
import type { Suite } from "./suite.ts";

/** A Markdown table: a row for each suite with results, a column for each runtime. */
export function table(suites: readonly Suite[]): string {
  const all = suites.map((suite) => ({ suite, results: readResults(suite.name) }));
  const runtimes = [...new Set(all.flatMap(({ results }) => results.runtimes))];
  const shown = runtimes.filter((name) => !CONTROLS.includes(name));
  const rows = all
    .filter(({ results }) => results.runtimes.length > 0)
    .map(({ suite, results }) => {
      const { judging, passed } = scoreOf(results);
      const cells = shown.map((name) => String(passed.get(name) ?? "-"));
      return [suite.title, String(results.verdicts.size), String(judging), ...cells];
    });
  return print([["suite", "tests", "of them judge", ...shown], ...rows]);
}

function print(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join(" | ")} |`;
  const rule = `| ${widths.map((width, at) => (at === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  const [head = [], ...rest] = rows;
  return [line(head), rule, ...rest.map(line)].join("\n");
}
