/**
 * `make conformance`: runs every suite whose variable is set and holds each verdict against
 * `expected/`. Prints the table of ours beside crun's and runc's, and which suites were skipped.
 *
 *     bun tests/conformance/run.ts [SUITE | SUITE/FILE ...]
 *         [--runtime PROGRAM]  another runtime, in which case nothing is judged
 *         [--record COLUMN]    write the verdicts to results/SUITE.tsv, under this name
 *         [--list]             print the verdicts as lines of an expectations list
 *
 * Exit status: 0 if every verdict was as listed, 1 if not, 64 for wrong words.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { BUILD, runtimeProgram } from "../harness/places.ts";
import { arenaLacks } from "./arena.ts";
import { crun } from "./crun.ts";
import { judge, readExpectations } from "./expected.ts";
import { podman } from "./podman.ts";
import { readResults, withColumn, writeResults } from "./results.ts";
import { runc, runc11 } from "./runc.ts";
import { runtimeTools } from "./runtime-tools.ts";
import { schemas } from "./schemas.ts";
import type { Result, Round, Suite } from "./suite.ts";
import { table } from "./table.ts";

export const SUITES: readonly Suite[] = [schemas, runtimeTools, crun, runc11, runc, podman];

type Options = {
  readonly runtime: string;
  /** False for another runtime than ours: the lists are about ours. */
  readonly judged: boolean;
  readonly record: string | undefined;
  readonly list: boolean;
};

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      runtime: { type: "string" },
      record: { type: "string" },
      list: { type: "boolean", default: false },
    },
    allowPositionals: true,
  });
  const wanted = positionals.map((word) => word.split("/"));
  const unknown = wanted.find(([name]) => !SUITES.some((suite) => suite.name === name));
  if (unknown !== undefined) {
    console.error(`Cannot run the suite "${unknown[0]}": there are ${names(SUITES)}`);
    return 64;
  }
  const missing = arenaLacks();
  if (missing !== undefined) {
    console.error(`Cannot run conformance suites here: ${missing}`);
    return 1;
  }
  const options = {
    runtime: values.runtime === undefined ? runtimeProgram() : programOf(values.runtime),
    judged: values.runtime === undefined,
    record: values.record,
    list: values.list,
  };
  let problems = 0;
  const skipped: string[] = [];
  for (const suite of SUITES) {
    const files = wanted.filter(([name]) => name === suite.name).map(([, file]) => file);
    if (wanted.length > 0 && files.length === 0) continue;
    const why = whySkipped(suite);
    if (why === undefined) problems += await runSuite(suite, files.filter(isString), options);
    else skipped.push(`skipped: ${suite.name} (${suite.title}): ${why}`);
  }
  console.log(`\n${table(SUITES)}`);
  for (const line of skipped) console.log(line);
  if (options.judged) console.log(`${problems} verdicts differ from the lists`);
  return problems === 0 ? 0 : 1;
}

function isString(value: string | undefined): value is string {
  return value !== undefined;
}

function names(suites: readonly Suite[]): string {
  return suites.map(({ name }) => name).join(", ");
}

function programOf(word: string): string {
  const found = word.includes("/") ? resolve(word) : Bun.which(word);
  if (found === null || !existsSync(found)) throw new Error(`Cannot find the program "${word}"`);
  return found;
}

function whySkipped({ variable, lacks }: Suite): string | undefined {
  const checkout = process.env[variable];
  if (checkout === undefined || checkout === "") return `${variable} is not set`;
  if (!existsSync(checkout)) return `${variable} names "${checkout}", which is not there`;
  return lacks(resolve(checkout));
}

/** Runs one suite and answers how many verdicts are not as listed. */
async function runSuite(suite: Suite, files: readonly string[], options: Options): Promise<number> {
  const { runtime } = options;
  const logs = join(BUILD, "conformance", suite.name, options.record ?? basename(runtime));
  mkdirSync(logs, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), "tare-conformance-"));
  // Programs that are not root in their containers walk through it.
  chmodSync(work, 0o755);
  const checkout = resolve(process.env[suite.variable] ?? "");
  const results: Result[] = [];
  try {
    const round: Round = { checkout, runtime, work, logs, files };
    for await (const some of suite.run(round)) {
      results.push(...some);
      report(suite, some, options.list);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  const { record } = options;
  if (record !== undefined) {
    writeResults(suite.name, withColumn(readResults(suite.name), record, results));
  }
  if (!options.judged) return 0;
  const ran = files.length > 0 ? new Set(files) : undefined;
  const problems = judge(results, readExpectations(suite.name), ran);
  for (const problem of problems) console.log(`${suite.name}: ${problem}`);
  return problems.length;
}

/** Progress: a line for each file, or each verdict as a line of an expectations list. */
function report(suite: Suite, results: readonly Result[], list: boolean): void {
  if (list) {
    for (const { file, test, verdict, detail } of results) {
      const reason = verdict === "pass" ? [] : [detail.replaceAll(/\s+/g, " ")];
      console.log([file, test, verdict, ...reason].join("\t"));
    }
    return;
  }
  const count = (verdict: string) => results.filter((one) => one.verdict === verdict).length;
  const counts = `${count("pass")} passed, ${count("fail")} failed, ${count("skip")} skipped`;
  console.log(`${suite.name}/${results[0]?.file ?? "?"}: ${counts}`);
}

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
  process.exit(await main());
}
