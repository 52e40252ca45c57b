/** The clock for limits of time: it never jumps. Source: clock_gettime(2), "CLOCK_MONOTONIC". */

import type { Sys } from "./types.ts";

const CLOCK_MONOTONIC = 1;

/** Milliseconds since some moment in the past. */
export function monotonicMs(sys: Sys): number {
  return Number(sys.clock_gettime(CLOCK_MONOTONIC) / 1_000_000n);
}
