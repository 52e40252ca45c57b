/** Closes descriptors in bulk: what is passed on, or still needed, is named; everything else goes. */

import { check } from "./check.ts";
import type { Sys } from "./types.ts";

/** The first descriptor that is no standard stream. */
export const FIRST_FD = 3;
const FD_MAX = 0xffffffff;

/**
 * Really closes every descriptor from `first` on but those in `kept`, which may lie anywhere and in any
 * order. close_range(2).
 */
export function closeFrom(sys: Sys, first: number, kept: readonly number[]): void {
  let next = first;
  for (const fd of [...kept].sort((one, other) => one - other)) {
    if (fd > next) check(sys.close_range(next, fd - 1, 0), "close_range");
    next = Math.max(next, fd + 1);
  }
  check(sys.close_range(next, FD_MAX, 0), "close_range");
}
