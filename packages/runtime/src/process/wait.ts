/** Exit statuses: waited for, read, put into words. Source: wait(2), sh(1) for 128 plus signal. */

import { check } from "../sys/check.ts";
import { retried } from "../sys/file.ts";
import type { Sys } from "../sys/types.ts";

const SIGNAL_EXIT_BASE = 128;
/** What a seccomp filter ends a process with. */
const SIGSYS = 31;

/** Waits for a child and reaps it; the answer is the raw status of wait4(2). */
export function waitFor(sys: Sys, pid: number): number {
  const status = new Int32Array(1);
  check(
    retried(() => sys.wait4(pid, status, 0)),
    "wait4",
  );
  return status[0] ?? 0;
}

/** What a shell would give for a raw status: the exit status, or 128 plus the signal. */
export function exitStatus(raw: number): number {
  const signal = raw & 0x7f;
  return signal === 0 ? (raw >> 8) & 0xff : SIGNAL_EXIT_BASE + signal;
}

export function describeStatus(raw: number): string {
  const signal = raw & 0x7f;
  if (signal === 0) return `exit code ${(raw >> 8) & 0xff}`;
  return `killed by signal ${signal}${signal === SIGSYS ? " (bad system call)" : ""}`;
}
