/**
 * Opens the kernel's answers: the value, or a SysError. The only place that knows that an answer
 * is a number whose negative values are error numbers.
 */

import { TareError } from "@tare/spec/error.ts";
import { errnoName, errnoText } from "./abi-errno.ts";
import type { Ret } from "./types.ts";

/** A system call that failed: which, on what, with which errno (positive, errno(3)). */
export class SysError extends TareError {
  readonly call: string;
  readonly errno: number;

  constructor(call: string, subject: string | undefined, errno: number) {
    const on = subject === undefined ? "" : ` "${subject}"`;
    super(codeOf(errno), `${call}${on}: ${errnoText(errno)} (${errnoName(errno)})`);
    this.name = "SysError";
    this.call = call;
    this.errno = errno;
  }
}

function codeOf(errno: number): "no_permission" | "system" {
  return errno === 1 || errno === 13 ? "no_permission" : "system";
}

/** The value of an answer; throws a SysError that names the call and what it was tried on. */
export function check<T>(ret: Ret<T>, call: string, subject?: string | Uint8Array): T {
  const value = ret as unknown as number; // The one cast over the kernel boundary.
  if (value < 0) throw new SysError(call, printable(subject), -value);
  return value as T;
}

/** The errno of an answer, 0 where the call succeeded: for callers that expect a certain failure. */
export function errnoOf(ret: Ret<unknown>): number {
  const value = ret as unknown as number;
  return value < 0 ? -value : 0;
}

function printable(subject: string | Uint8Array | undefined): string | undefined {
  if (subject === undefined || typeof subject === "string") return subject;
  let text = "";
  for (const byte of subject) {
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`;
  }
  return text;
}

/** Runs an action; a failure says first what was being done, then what the kernel said. */
export function during<T>(doing: () => string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    throw new TareError(error.code, `${doing()}: ${error.message}`, { cause: error });
  }
}
