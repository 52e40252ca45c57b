/**
 * `make test`: runs every part, one process after the other, whatever the ones before made of it,
 * and prints a table and `N passed, N failed, N skipped` last. `bun tools/test.ts [PART...]`; the
 * parts are listed in `stepsOf`. What a step prints goes to .build/test and, if it fails, here.
 */

import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";

const ROOT = join(import.meta.dir, "..");
const LOGS = join(ROOT, ".build/test");
const SHOWN_LINES_MAX = 120;
const MINUTE_MS = 60_000;
/** For one test: it may make a root file system first, and the machine may be busy. */
const SLOW = `--timeout=${3 * MINUTE_MS}`;

type Counts = { readonly passed: number; readonly failed: number; readonly skipped: number };

type Step = {
  readonly name: string;
  readonly command: readonly string[];
  readonly timeLimitMs: number;
  /** Where the counts are: a JUnit file, a closing line, or only the exit status. */
  readonly counts: "junit" | "line" | "status";
};

type Result = Counts & { readonly step: Step; readonly tookMs: number; readonly why: string };

const bun = process.execPath;

/** The parts in the order in which they run; what is quick and what the others need comes first. */
const PARTS: Readonly<Record<string, () => readonly Step[]>> = {
  build: () => [status("build", ["make", "--no-print-directory", "build", "dist/tare-host-dev"])],
  lint: lintSteps,
  unit: () => [
    junit("unit", 10 * MINUTE_MS, [
      "packages",
      "tests/quickjs",
      "tests/fuzz",
      "tests/conformance",
      "bench",
      SLOW,
    ]),
  ],
  quickjs: () => [line("quickjs", 3 * MINUTE_MS, ["tools/quickjs-test.ts"])],
  harness: () => files("tests/harness/*.test.ts"),
  e2e: () => files("tests/e2e/*.test.ts"),
  engines: () => files("tests/engines/*.test.ts"),
  vm: () => [line("vm", 15 * MINUTE_MS, ["tests/vm/run.ts"])],
};

function lintSteps(): Step[] {
  const tsc = (project: string) => status(`tsc ${project}`, [bun, "x", "tsc", "-p", project]);
  const cargo = (name: string, ...words: string[]) =>
    status(
      name,
      ["cargo", ...words.slice(0, 1), "--manifest-path", "host/Cargo.toml"].concat(words.slice(1)),
    );
  const clippy = ["--quiet", "--locked", "--all-targets"];
  return [
    status("biome", [bun, "x", "biome", "check"]),
    ...["packages/spec", "packages/runtime"].flatMap((project) => [
      tsc(project),
      tsc(`${project}/tsconfig.test.json`),
    ]),
    ...["packages/engine", "packages/tare", "."].map(tsc),
    cargo("rustfmt", "fmt", "--check"),
    cargo("clippy", "clippy", ...clippy, "--", "-D", "warnings"),
    cargo(
      "clippy, development host",
      "clippy",
      ...clippy,
      "--features",
      "dev",
      "--",
      "-D",
      "warnings",
    ),
    junit("house rules", 2 * MINUTE_MS, ["tools"]),
  ];
}

function status(name: string, command: readonly string[]): Step {
  return { name, command, timeLimitMs: 15 * MINUTE_MS, counts: "status" };
}

function line(name: string, timeLimitMs: number, words: readonly string[]): Step {
  return { name, command: [bun, ...words], timeLimitMs, counts: "line" };
}

function junit(name: string, timeLimitMs: number, words: readonly string[]): Step {
  const outfile = `--reporter-outfile=${junitPath(name)}`;
  const command = [bun, "test", "--reporter=junit", outfile, ...words.map(asArgument)];
  return { name, command, timeLimitMs, counts: "junit" };
}

/** Bun takes a path for one only where it looks like one. */
function asArgument(word: string): string {
  return word.startsWith("--") ? word : `./${word}`;
}

/** A process for each file: they count what is left on the machine, so nothing may run beside them. */
function files(pattern: string): Step[] {
  const found = Array.from(new Bun.Glob(pattern).scanSync({ cwd: ROOT })).sort();
  return found.map((file) =>
    junit(file.replace("tests/", "").replace(".test.ts", ""), 10 * MINUTE_MS, [file, SLOW]),
  );
}

function stem(name: string): string {
  return join(LOGS, name.replaceAll(/[^a-z0-9.]+/gi, "-"));
}

function junitPath(name: string): string {
  return `${stem(name)}.xml`;
}

async function runStep(step: Step): Promise<Result> {
  const log = `${stem(step.name)}.log`;
  rmSync(log, { force: true });
  rmSync(junitPath(step.name), { force: true });
  const output = openSync(log, "w");
  const began = performance.now();
  const child = Bun.spawn([...step.command], {
    cwd: ROOT,
    env: environment(),
    stdio: ["ignore", output, output],
    detached: true,
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    process.kill(-child.pid, "SIGKILL");
  }, step.timeLimitMs);
  const code = await child.exited;
  clearTimeout(timer);
  const tookMs = performance.now() - began;
  const counts = readCounts(step, code === 0, log);
  const why = late ? `killed after ${step.timeLimitMs / MINUTE_MS} minutes` : `exit status ${code}`;
  return { ...counts, step, tookMs, why };
}

/** Debian's own programs first: the oracles need python3 with the modules of Debian's packages. */
function environment(): Record<string, string | undefined> {
  const { PATH } = process.env;
  return {
    ...process.env,
    PATH: `/usr/sbin:/usr/bin:/sbin:/bin:${PATH}`,
    NO_COLOR: "1",
    FORCE_COLOR: "0",
  };
}

/** A step that failed has at least one failure, also where its program ended before it could count. */
function readCounts(step: Step, succeeded: boolean, log: string): Counts {
  const none = { passed: 0, failed: 0, skipped: 0 };
  const counts = step.counts === "status" ? { ...none, passed: 1 } : readReport(step, log);
  if (succeeded && counts !== undefined && counts.passed + counts.failed + counts.skipped > 0) {
    return counts;
  }
  if (step.counts === "status" || counts === undefined) return { ...none, failed: 1 };
  return { ...counts, failed: Math.max(counts.failed, 1) };
}

function readReport(step: Step, log: string): Counts | undefined {
  if (step.counts === "line") {
    const found = readFileSync(log, "utf8").matchAll(
      /^(\d+) passed, (\d+) failed, (\d+) skipped$/gm,
    );
    const [, passed, failed, skipped] = Array.from(found).at(-1) ?? [];
    if (passed === undefined) return undefined;
    return { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) };
  }
  const path = junitPath(step.name);
  if (!existsSync(path)) return undefined;
  const [head] = /<testsuites [^>]*>/.exec(readFileSync(path, "utf8")) ?? [""];
  const number = (name: string) => Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const [failed, skipped] = [number("failures"), number("skipped")];
  return { passed: number("tests") - failed - skipped, failed, skipped };
}

/** The names of the skipped tests: a test that did not run must not look like one that passed. */
function skippedNames(step: Step): string[] {
  const path = junitPath(step.name);
  if (step.counts !== "junit" || !existsSync(path)) return [];
  const cases = readFileSync(path, "utf8").matchAll(
    /<testcase name="([^"]*)"[^>]*[^/]>\s*<skipped/g,
  );
  return Array.from(cases, ([, name = ""]) =>
    name.replaceAll("&gt;", ">").replaceAll("&quot;", '"'),
  );
}

function report(result: Result): void {
  const { step, passed, failed, skipped } = result;
  const seconds = `${(result.tookMs / 1000).toFixed(1)} s`;
  const numbers = [passed, failed, skipped].map((count) => String(count).padStart(7)).join("");
  console.log(`${step.name.padEnd(42)}${numbers}${seconds.padStart(10)}`);
  for (const name of skippedNames(step)) console.log(`  skipped: ${name}`);
  if (failed === 0) return;
  const log = `${stem(step.name)}.log`;
  const lines = readFileSync(log, "utf8").trimEnd().split("\n");
  const shown = lines.slice(-SHOWN_LINES_MAX);
  console.log(`  ${result.why}; the whole output is in ${relative(ROOT, log)}, its end:`);
  for (const text of shown) console.log(`  | ${text}`);
}

async function main(): Promise<number> {
  const wanted = process.argv.slice(2);
  const unknown = wanted.find((name) => !Object.hasOwn(PARTS, name));
  if (unknown !== undefined) {
    console.error(
      `Cannot run the part "${unknown}": want some of ${Object.keys(PARTS).join(", ")}`,
    );
    return 64;
  }
  mkdirSync(LOGS, { recursive: true });
  const results: Result[] = [];
  console.log(`${"".padEnd(42)} passed failed skipped`);
  for (const [part, steps] of Object.entries(PARTS)) {
    if (wanted.length > 0 && !wanted.includes(part)) continue;
    for (const step of steps()) {
      const result = await runStep(step);
      report(result);
      results.push(result);
    }
  }
  return summarize(results);
}

function summarize(results: readonly Result[]): number {
  const sum = (of: (counts: Counts) => number) => results.reduce((all, one) => all + of(one), 0);
  const failed = sum((counts) => counts.failed);
  const text = `${sum((one) => one.passed)} passed, ${failed} failed, ${sum((one) => one.skipped)} skipped`;
  const broken = results.filter((one) => one.failed > 0).map((one) => one.step.name);
  if (broken.length > 0) console.log(`\nfailed: ${broken.join(", ")}`);
  console.log(`\n${text}`);
  writeFileSync(join(LOGS, "counted"), `${text}\n`);
  return failed === 0 && results.length > 0 ? 0 : 1;
}

process.exit(await main());
