/** Runs verbs of tare-helper: what needs system calls that this process must not make. */
import { type ErrorReport, fromReport, TareError } from "@tare/spec/error.ts";
import type { Engine } from "./engine.ts";
import { ReaderGone, starting } from "./host/failure.ts";

/** The names of users and groups in a root file system. */
export type Accounts = { readonly passwd: string; readonly group: string };

/** Reads passwd and group out of layers, topmost first, or out of one directory. */
export async function readAccounts(engine: Engine, roots: readonly string[]): Promise<Accounts> {
  const said = await askHelper(engine, ["accounts", "--roots", roots.join(":")]);
  return JSON.parse(said.toString("utf8")) as Accounts;
}

/**
 * What a verb prints.
 * @throws TareError that of the helper
 */
export async function askHelper(engine: Engine, words: readonly string[]): Promise<Buffer> {
  const child = startHelper(engine, words, ["ignore", "pipe", "pipe"]);
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).arrayBuffer(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (child.exitCode !== 0) throw helperError(stderr);
  return Buffer.from(stdout);
}

/**
 * As `askHelper`, of a verb that is over in a moment, where the caller holds a lock.
 * @throws TareError that of the helper
 */
export function askHelperNow({ settings: { helper } }: Engine, words: readonly string[]): Buffer {
  const ran = starting(helper, () =>
    Bun.spawnSync([helper, ...words], { stdio: ["ignore", "pipe", "pipe"], env: {} }),
  );
  if (ran.exitCode !== 0) throw helperError(ran.stderr.toString());
  return ran.stdout;
}

/**
 * Runs a verb that writes to the descriptor `out`.
 * @throws TareError that of the helper
 */
export async function runHelper(
  engine: Engine,
  words: readonly string[],
  out: number,
): Promise<void> {
  const child = startHelper(engine, words, ["ignore", out, "pipe"]);
  const [stderr] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (child.signalCode === "SIGPIPE") throw new ReaderGone();
  if (child.exitCode !== 0) throw helperError(stderr);
}

/**
 * What a verb prints, in pieces; a reader that stops early ends the helper.
 * @throws TareError that of the helper, behind its last byte
 */
export async function* streamHelper(
  engine: Engine,
  words: readonly string[],
): AsyncGenerator<Uint8Array> {
  const child = startHelper(engine, words, ["ignore", "pipe", "pipe"]);
  const complaint = new Response(child.stderr).text();
  try {
    yield* child.stdout;
    await child.exited;
    if (child.exitCode !== 0) throw helperError(await complaint);
  } finally {
    child.kill("SIGKILL");
  }
}

/**
 * Starts a verb, with nothing of the caller's environment.
 * @throws TareError `system` where there is no such program
 */
export function startHelper<
  In extends Bun.Spawn.Writable,
  Out extends Bun.Spawn.Readable,
  Err extends Bun.Spawn.Readable,
>(engine: Engine, words: readonly string[], stdio: [In, Out, Err, ...Bun.Spawn.Readable[]]) {
  const { helper } = engine.settings;
  return starting(helper, () => Bun.spawn([helper, ...words], { stdio, env: {} }));
}

/** The error that a helper wrote as its last line. */
export function helperError(stderr: string): TareError {
  const line = stderr.trim().split("\n").at(-1) ?? "";
  try {
    return fromReport(JSON.parse(line) as ErrorReport);
  } catch (cause) {
    return new TareError("internal", `tare-helper failed: ${line || "it said nothing"}`, { cause });
  }
}
