/** Work that a signal ends in order: what was begun is taken away, then the shell's status is answered. */
import { constants } from "node:os";
import type { Surroundings } from "./command.ts";

/** What a shell adds to the number of the signal that ended a command. */
const SIGNALLED = 128;

class Interrupted extends Error {}

/** Runs the work with a signal that aborts at SIGINT and its like; answers the exit status. */
export async function interruptible(
  around: Surroundings,
  work: (signal: AbortSignal) => Promise<number>,
): Promise<number> {
  const stop = new AbortController();
  let status: number | undefined;
  around.onSignal((name) => {
    status ??= SIGNALLED + constants.signals[name];
    stop.abort(new Interrupted(`ended by ${name}`));
  });
  try {
    return await work(stop.signal);
  } catch (error) {
    // Whatever it was that failed then, it failed for this.
    if (status !== undefined) return status;
    throw error;
  }
}
