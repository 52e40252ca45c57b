/**
 * Runs a file of tests for bats in the arena. The verdicts come through a file, since standard input
 * and output are a terminal there, which the tests look for.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runInArena } from "./arena.ts";
import type { Result, Round } from "./suite.ts";
import { plannedPoints, pointResults } from "./tap.ts";

export type BatsFile = {
  /** What the results are listed under. */
  readonly name: string;
  /** Relative to the suite's checkout. */
  readonly path: string;
  readonly env: Readonly<Record<string, string>>;
  /** Shell commands that make the place, run before bats in the same namespaces. */
  readonly prepare?: string;
  readonly timeoutMs: number;
};

/**
 * The file has ended when every planned test has its verdict: what a failed test leaves running
 * holds the output of bats open, for ever.
 */
const SCRIPT = `
  tap=$1 file=$2
  bats --tap "$file" >"$tap" </dev/tty &
  bats=$!
  while [ -e /proc/$bats/exe ]; do
    sleep 0.3
    planned=$(sed -n '1s/^1\\.\\.//p' "$tap")
    [ "$(grep -cE '^(not )?ok ' "$tap")" = "$planned" ] || continue
    sleep 1
    break
  done`;

/** Why bats tests cannot run here; undefined: they can. */
export function batsLacks(programs: readonly string[]): string | undefined {
  const missing = ["bats", ...programs].find((name) => Bun.which(name) === null);
  return missing === undefined ? undefined : `the program ${missing} is not there`;
}

export async function runBats(round: Round, file: BatsFile): Promise<readonly Result[]> {
  const tap = join(round.logs, `${file.name}.tap`);
  writeFileSync(tap, "");
  const script = `${file.prepare ?? ""}\n${SCRIPT}`;
  const ran = await runInArena(["sh", "-c", script, "bats", tap, file.path], {
    cwd: round.checkout,
    env: { ...file.env, TMPDIR: round.work, BATS_TMPDIR: round.work },
    timeoutMs: file.timeoutMs,
  });
  writeFileSync(join(round.logs, `${file.name}.log`), ran.stdout);
  const text = readFileSync(tap, "utf8");
  const results = pointResults(file.name, text, "after");
  if (results.length > 0 && results.length === plannedPoints(text)) return results;
  const why = ran.timedOut ? "ran out of time" : "ended before all of its tests had";
  return [
    ...results,
    { file: file.name, test: "(the whole file)", verdict: "fail", detail: `${why}\n${ran.stdout}` },
  ];
}
