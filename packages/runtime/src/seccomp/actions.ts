/**
 * What a filter answers: the 32-bit values of <linux/seccomp.h>, and which of two is stricter.
 */

import { TareError } from "@tare/spec/error.ts";
import type { SeccompAction } from "@tare/spec/oci-runtime.ts";

export const RET_KILL_PROCESS = 0x80000000;
export const RET_KILL_THREAD = 0;
export const RET_TRAP = 0x00030000;
export const RET_ERRNO = 0x00050000;
export const RET_NOTIFY = 0x7fc00000;
export const RET_TRACE = 0x7ff00000;
export const RET_LOG = 0x7ffc0000;
export const RET_ALLOW = 0x7fff0000;
const ACTION_MASK = 0xffff0000;

const EPERM = 1;
const ENOSYS = 38;
/** MAX_ERRNO of <linux/err.h>: the kernel cuts larger ones down to it. */
const ERRNO_MAX = 4095;
const DATA_MAX = 0xffff;

export const RET_ENOSYS = RET_ERRNO | ENOSYS;

const ACTIONS: Readonly<Record<SeccompAction, number>> = {
  SCMP_ACT_KILL: RET_KILL_THREAD,
  SCMP_ACT_KILL_THREAD: RET_KILL_THREAD,
  SCMP_ACT_KILL_PROCESS: RET_KILL_PROCESS,
  SCMP_ACT_TRAP: RET_TRAP,
  SCMP_ACT_ERRNO: RET_ERRNO,
  SCMP_ACT_NOTIFY: RET_NOTIFY,
  SCMP_ACT_TRACE: RET_TRACE,
  SCMP_ACT_LOG: RET_LOG,
  SCMP_ACT_ALLOW: RET_ALLOW,
};

/** Names of all actions, sorted. */
export const ACTION_NAMES: readonly string[] = Object.keys(ACTIONS).sort();

/** The kernel's order where several filters disagree: the first wins. seccomp(2), "Filter return". */
const STRICTEST_FIRST: readonly number[] = [
  RET_KILL_PROCESS,
  RET_KILL_THREAD,
  RET_TRAP,
  RET_ERRNO,
  RET_NOTIFY,
  RET_TRACE,
  RET_LOG,
  RET_ALLOW,
];

/** 0 for the strictest action; data such as the errno do not count. */
export function leniency(value: number): number {
  return STRICTEST_FIRST.indexOf((value & ACTION_MASK) >>> 0);
}

/**
 * The value of an action. ERRNO and TRACE carry `errnoRet`, EPERM where it is left out; with any
 * other action it is an error, as config-linux.md demands.
 */
export function actionValue(action: SeccompAction, errnoRet?: number): number {
  const base = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
  if (base === undefined) {
    throw new TareError("bad_input", `Cannot use seccomp action "${action}": it is not known`);
  }
  if (base !== RET_ERRNO && base !== RET_TRACE) {
    if (errnoRet === undefined) return base;
    throw new TareError(
      "bad_input",
      `Cannot use errnoRet ${errnoRet} with seccomp action "${action}": it returns no errno`,
    );
  }
  const data = errnoRet ?? EPERM;
  const dataMax = base === RET_ERRNO ? ERRNO_MAX : DATA_MAX;
  if (!Number.isInteger(data) || data < 0 || data > dataMax) {
    throw new TareError(
      "bad_input",
      `Cannot use errnoRet ${data} with seccomp action "${action}": want 0 to ${dataMax}`,
    );
  }
  return base | data;
}

/** Whether unlisted calls go through, so that a call the profile never heard of may go on too. */
export function isPermissive(value: number): boolean {
  const action = (value & ACTION_MASK) >>> 0;
  return action === RET_ALLOW || action === RET_LOG || action === RET_TRACE;
}
