/** Runs a command on a terminal of its own, with its errors apart, and looks at what becomes of the terminal. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Ran, type RunOptions, runOnTerminal } from "../harness/run.ts";

/** A shell's exit status for a program that a signal ended is this and the signal's number. */
const SIGNALLED = 128;
const SIGNAL_MAX = 64;

/** Errors go to a file, as do the terminal's settings before and after. */
const WRAPPED = `dir=$1; stty rows $2 cols $3; shift 3; stty -g > $dir/before
"$@" 2> $dir/stderr; status=$?; stty -g > $dir/after; exit $status`;

/** As `Ran`, and whether the terminal is as it was. */
export type RanOnTerminal = { readonly ran: Ran; readonly isKept: boolean };

/** Runs a command on a terminal of its own: standard error is apart. */
export async function runWithTerminal(
  argv: readonly string[],
  { height, width }: { readonly height: number; readonly width: number },
  options: RunOptions,
): Promise<RanOnTerminal> {
  const dir = mkdtempSync(join(tmpdir(), "tare-trip-terminal-"));
  const read = (name: string) => readFileSync(join(dir, name), "utf8");
  try {
    const words = ["sh", "-c", WRAPPED, "sh", dir, String(height), String(width), ...argv];
    const ran = await runOnTerminal(words, options);
    if (ran.timedOut) return { ran, isKept: false };
    const number = (ran.code ?? 0) - SIGNALLED;
    const isSignal = number > 0 && number <= SIGNAL_MAX;
    const signal = isSignal ? `signal ${number}` : null;
    const isKept = read("before") === read("after");
    return { ran: { ...ran, stderr: read("stderr"), signal }, isKept };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
