/**
 * What each runtime made of a suite, as measured in one sitting on one machine
 * (`results/SUITE.tsv`: file, test, then a verdict for each runtime). The programs `/bin/true` and
 * `/bin/false` are measured too: a test that one of them passes proves nothing.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { keyOf } from "./expected.ts";
import type { Result } from "./suite.ts";

const DIR = join(import.meta.dir, "results");
export const CONTROLS: readonly string[] = ["true", "false"];

export type Results = {
  /** Names of the runtimes, in the order of the columns. */
  readonly runtimes: readonly string[];
  /** By file and test (`keyOf`), then by runtime. A test that a runtime never reached is absent. */
  readonly verdicts: ReadonlyMap<string, ReadonlyMap<string, string>>;
};

export function readResults(suite: string): Results {
  const path = join(DIR, `${suite}.tsv`);
  return existsSync(path)
    ? parseResults(readFileSync(path, "utf8"))
    : { runtimes: [], verdicts: new Map() };
}

export function parseResults(text: string): Results {
  const [head = "", ...lines] = text.trimEnd().split("\n");
  const [, , ...runtimes] = head.split("\t");
  const verdicts = new Map<string, Map<string, string>>();
  for (const line of lines) {
    const [file = "", test = "", ...cells] = line.split("\t");
    const said = runtimes.map((name, index) => [name, cells[index] ?? "-"] as const);
    verdicts.set(keyOf({ file, test }), new Map(said.filter(([, verdict]) => verdict !== "-")));
  }
  return { runtimes, verdicts };
}

/** The same with one column made anew, as far as the files go that ran. */
export function withColumn(old: Results, runtime: string, results: readonly Result[]): Results {
  const runtimes = old.runtimes.includes(runtime) ? old.runtimes : [...old.runtimes, runtime];
  const verdicts = new Map<string, Map<string, string>>();
  const files = new Set(results.map(({ file }) => file));
  for (const [key, said] of old.verdicts) {
    const isOld = files.has(key.slice(0, key.indexOf("\t")));
    verdicts.set(key, new Map([...said].filter(([name]) => name !== runtime || !isOld)));
  }
  for (const result of results) {
    const said = verdicts.get(keyOf(result)) ?? new Map<string, string>();
    verdicts.set(keyOf(result), said.set(runtime, result.verdict));
  }
  return { runtimes, verdicts };
}

export function printResults({ runtimes, verdicts }: Results): string {
  const lines = [...verdicts.keys()]
    .sort()
    .map((key) => [key, ...runtimes.map((name) => verdicts.get(key)?.get(name) ?? "-")].join("\t"));
  return `${[["file", "test", ...runtimes].join("\t"), ...lines].join("\n")}\n`;
}

export function writeResults(suite: string, results: Results): void {
  mkdirSync(DIR, { recursive: true });
  writeFileSync(join(DIR, `${suite}.tsv`), printResults(results));
}

export type Score = { readonly judging: number; readonly passed: ReadonlyMap<string, number> };

/** Of the tests that judge: no control passes them, and not every runtime skips them. */
export function scoreOf({ runtimes, verdicts }: Results): Score {
  const real = runtimes.filter((name) => !CONTROLS.includes(name));
  const judging = [...verdicts.values()].filter(
    (said) =>
      !CONTROLS.some((name) => said.get(name) === "pass") &&
      real.some((name) => said.has(name) && said.get(name) !== "skip"),
  );
  const passed = real.map(
    (name) => [name, judging.filter((said) => said.get(name) === "pass").length] as const,
  );
  return { judging: judging.length, passed: new Map(passed) };
}
