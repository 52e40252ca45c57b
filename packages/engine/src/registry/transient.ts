/** A failure that may be gone at the next attempt, and the loop that makes attempts. */
import type { TareError } from "@tare/spec/error.ts";
import { waitMs } from "./back-off.ts";

/** Wraps the error to report in case no attempt is left. */
export class Transient extends Error {
  readonly error: TareError;
  /** What the server asked for. */
  readonly retryAfterMs: number | undefined;

  constructor(error: TareError, retryAfterMs?: number) {
    super(error.message, { cause: error });
    this.name = "Transient";
    this.error = error;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Time and chance, as a test wants them. */
export type Timing = {
  readonly nowMs: () => number;
  /** 0 up to 1. */
  readonly random: () => number;
  /** Ends early, with the signal's reason, when that aborts. */
  readonly sleep: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
};

export const REAL_TIMING: Timing = {
  nowMs: Date.now,
  random: Math.random,
  sleep: async (ms, signal) => {
    const { setTimeout } = await import("node:timers/promises");
    await setTimeout(ms, undefined, signal === undefined ? {} : { signal });
  },
};

/**
 * Runs `attempt` until it does not throw Transient, at most 1 + `retries` times.
 * @throws what the last attempt threw, unwrapped
 */
export async function withRetries<T>(
  timing: Timing,
  retries: number,
  attempt: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  for (let count = 1; ; count++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Transient)) throw error;
      if (count > retries) throw error.error;
      await timing.sleep(waitMs(count, timing.random(), error.retryAfterMs), signal);
    }
  }
}
