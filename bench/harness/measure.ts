/**
 * One measurement: a command, or several one after the other, run by a small C program (measure.c)
 * that is compiled when it is first needed. Measured here, it agrees with `hyperfine -N` to 0.05 ms.
 */
import { copyFileSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cached, mustSucceed } from "../../tests/harness/fixtures.ts";
import { run } from "../../tests/harness/run.ts";

const SOURCE = join(import.meta.dir, "measure.c");
const CC = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static"];
/** A gigabyte on a slow disk takes its time. */
const LIMIT_MS = 300_000;

/** Stands between two commands of one measurement. */
export const THEN = "@then";
/** The same, but waits first until no process of the commands before is left. */
export const SETTLE = "@settle";
/** Stands between two commands where the time until there is wanted as well. */
export const LAP = "@lap";

export type Sample = {
  /** From the first start to the end of the last command. */
  readonly wallMs: number;
  /** User and system time of all processes, also of those that end later. */
  readonly cpuMs: number;
  /** The largest resident set of any one process. */
  readonly peakKiB: number;
  /** The same up to the lap, where there is one. */
  readonly lap?: { readonly wallMs: number; readonly cpuMs: number };
};

export type Measure = (words: readonly string[]) => Sample;

/** Compiles the program into `dir` and answers the function that runs it. */
export async function openMeasure(dir: string): Promise<Measure> {
  const built = await cached("measure", [CC.join(" "), readFileSync(SOURCE)], async (made) => {
    mustSucceed(await run([...CC, "-o", join(made, "measure"), SOURCE]));
  });
  const program = join(dir, "measure");
  copyFileSync(join(built, "measure"), program);
  const output = join(dir, "sample.json");
  return (words) => measureOnce(program, output, words);
}

type Line = {
  readonly status: number;
  readonly wallNs: number;
  readonly cpuUs: number;
  /** 0 where there is no lap. */
  readonly lapNs: number;
  readonly lapCpuUs: number;
  readonly peakKiB: number;
};

/** @throws Error with what the commands said, where one of them failed or hung. */
function measureOnce(program: string, output: string, words: readonly string[]): Sample {
  rmSync(output, { force: true });
  const log = `${output}.log`;
  const child = Bun.spawnSync([program, output, String(LIMIT_MS), ...words], {
    stdio: ["ignore", Bun.file("/dev/null"), Bun.file(log)],
  });
  const line: Line | undefined =
    child.exitCode === 0 ? JSON.parse(readFileSync(output, "utf8")) : undefined;
  if (line?.status !== 0) {
    const what = line === undefined ? `hung, or measure failed (${child.exitCode})` : line.status;
    throw new Error(`Cannot measure "${words.join(" ")}": ${what}: ${readFileSync(log, "utf8")}`);
  }
  const { wallNs, cpuUs, lapNs, lapCpuUs, peakKiB } = line;
  const lap = { wallMs: lapNs / 1e6, cpuMs: lapCpuUs / 1e3 };
  return { wallMs: wallNs / 1e6, cpuMs: cpuUs / 1e3, peakKiB, ...(lapNs === 0 ? {} : { lap }) };
}
