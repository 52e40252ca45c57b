/** Failures of Bun's calls as sentences of ours: why a system call failed, and programs that cannot be started. */
import { TareError } from "@tare/spec/error.ts";

type CallFailure = { readonly code?: unknown; readonly syscall?: unknown };

/** Whether a system call of Bun's failed, so that `reasonOf` knows more than the message. */
export function isCallFailure(cause: unknown): cause is Error & { code: string; syscall: string } {
  const { code, syscall } = (cause ?? {}) as CallFailure;
  return cause instanceof Error && typeof code === "string" && typeof syscall === "string";
}

/**
 * Why it failed, in one form for all: `no such file or directory (ENOENT)`. Bun's own form, which names
 * the call and the path again, stays where it belongs: in the cause.
 */
export function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  if (!isCallFailure(cause)) return cause.message;
  const { code, syscall, message } = cause;
  const text = message.startsWith(`${code}: `) ? message.slice(code.length + 2) : message;
  const end = text.indexOf(`, ${syscall}`);
  return `${end < 0 ? text : text.slice(0, end)} (${code})`;
}

/**
 * What starts the program, such as `Bun.spawn`, with an error of ours where it is not there.
 * @throws TareError `system`
 */
export function starting<T>(path: string, start: () => T): T {
  try {
    return start();
  } catch (cause) {
    throw new TareError("system", `Cannot start "${path}": ${reasonOf(cause)}`, {
      hint: "The programs of tare lie in one directory: install all of them anew",
      cause,
    });
  }
}

/** Who reads the output has gone, as `head` does: nobody is left to be told anything. */
export class ReaderGone extends TareError {
  constructor(cause?: unknown) {
    super("system", "Cannot write the output: its reader has ended", { cause });
    this.name = "ReaderGone";
  }
}
