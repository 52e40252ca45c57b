/**
 * One write that a limit of config.json asks for, and how its value is spelled.
 * The planners of v1 and v2 answer lists of these; they know controllers, not directories.
 */

import { TareError } from "@tare/spec/error.ts";

/** Controllers by their v1 names; v2 calls `blkio` `io` and has no `net_cls` and `net_prio`. */
export type Controller =
  | "memory"
  | "cpu"
  | "cpuset"
  | "pids"
  | "blkio"
  | "hugetlb"
  | "net_cls"
  | "net_prio"
  | "rdma"
  | "devices";

export type LimitWrite = {
  /** Of the hierarchy that has the file; "cgroup" for the core files of v2. */
  readonly controller: string;
  readonly file: string;
  readonly value: string;
  /** What of config.json asks for it, as in `linux.resources.memory.limit`. */
  readonly field: string;
  readonly why: string;
  /** What takes its place where the kernel has no such file. */
  readonly orElse?: { readonly file: string; readonly value: string };
  /** Where the kernel has no such file there is nothing to limit. */
  readonly ifPresent?: true;
  /** The kernel may refuse it before the writes after it: then once more, after them. */
  readonly mayWait?: true;
};

/** What planners share: the version that they plan for. */
export type CgroupVersion = 1 | 2;

/** Bytes or a count for a v1 file, where -1 takes the limit away. */
export function limitV1(field: string, value: bigint): string {
  return `${atLeastMinusOne(field, value)}`;
}

/** Bytes or a count for a v2 file, where "max" takes the limit away. */
export function limitV2(field: string, value: bigint): string {
  return atLeastMinusOne(field, value) === -1n ? "max" : `${value}`;
}

function atLeastMinusOne(field: string, value: bigint): bigint {
  if (value < -1n) throw badLimit(field, value, "a limit is -1 (none) or more");
  return value;
}

/** @throws TareError `bad_input` where a value is outside of what the specification allows. */
export function inRange(
  field: string,
  value: number | bigint,
  least: number,
  most: number,
): number | bigint {
  if (value < least || value > most) {
    throw badLimit(field, value, `it must be ${least} to ${most}`);
  }
  return value;
}

export function badLimit(field: string, value: unknown, why: string): TareError {
  return new TareError("bad_input", `Cannot apply ${field} "${value}": ${why}`);
}

/** For what a cgroup version has no file for: refused, never left out in silence. */
export function noSuchLimit(field: string, value: unknown, why: string, hint: string): TareError {
  return new TareError("no_cgroup", `Cannot apply ${field} "${value}": ${why}`, { hint });
}
