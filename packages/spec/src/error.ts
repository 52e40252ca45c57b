/**
 * The one error type that crosses a room's door: a stable code, one line that says what was tried,
 * on what and why it failed, a hint, and the cause. Exit statuses are tables keyed by the code.
 */

export type ErrorCode =
  /** The caller's words are wrong: a flag, a reference, a JSON field. Nothing was changed. */
  | "bad_input"
  /** The named container, image or file does not exist. */
  | "not_found"
  /** The name or the resource is taken. */
  | "conflict"
  /** The container is not in a state that allows this. */
  | "bad_state"
  /** The caller lacks a privilege that this needs. */
  | "no_permission"
  /** The kernel lacks a feature that this needs. */
  | "unsupported"
  /** No cgroup can be made, or a controller is missing. */
  | "no_cgroup"
  /** The program to run does not exist: exit status 127. */
  | "command_not_found"
  /** The program to run exists and cannot be executed: exit status 126. */
  | "command_not_executable"
  /** A hook of the configuration failed or ran out of time. */
  | "hook_failed"
  /** Content is not what its digest or its format promised. */
  | "corrupt"
  /** A system call failed for a reason with no code of its own. */
  | "system"
  /** A fault of ours. */
  | "internal";

/** What every error of ours carries across a process border, as JSON on one line. */
export type ErrorReport = {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
};

type TareErrorOptions = { readonly cause?: unknown; readonly hint?: string };

export class TareError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: TareErrorOptions = {}) {
    super(oneLine(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "TareError";
    this.code = code;
    this.hint = options.hint === undefined ? undefined : oneLine(options.hint);
  }
}

/** Of a message: room for two paths, no more; what was tried is at its start, why not at its end. */
const LENGTH_MAX = 9000;
const END_LENGTH = 500;

/** Values of others stand in messages: none may write lines of its own, or to a terminal (CWE-117). */
export function oneLine(text: string): string {
  const { length } = text;
  const short =
    length <= LENGTH_MAX
      ? text
      : `${text.slice(0, LENGTH_MAX - END_LENGTH)} ... ${text.slice(length - END_LENGTH)}`;
  let line = "";
  let from = 0;
  for (let at = 0; at < short.length; at++) {
    const code = short.charCodeAt(at);
    if (!isControl(code)) continue;
    line += `${short.slice(from, at)}\\u${code.toString(16).padStart(4, "0")}`;
    from = at + 1;
  }
  return line + short.slice(from);
}

/** C0, DEL, C1, line and paragraph separators, and what turns the direction of writing. */
function isControl(code: number): boolean {
  if (code < 0x7f) return code < 0x20;
  return code <= 0x9f || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/** The report of any thrown value; what is not ours is `internal`. */
export function toReport(error: unknown): ErrorReport {
  if (isOurs(error)) {
    const report = { code: error.code, message: error.message };
    return error.hint === undefined ? report : { ...report, hint: error.hint };
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { code: "internal", message: oneLine(message) };
}

/** By its shape: a program and its parts are bundles with a class of this name each. */
function isOurs(error: unknown): error is TareError {
  return (
    error instanceof TareError || (error instanceof Error && "code" in error && "hint" in error)
  );
}

/** The error that a report stands for, on the other side of the border. */
export function fromReport(report: ErrorReport): TareError {
  const options = report.hint === undefined ? {} : { hint: report.hint };
  return new TareError(report.code, report.message, options);
}

/** Fails the build where a union's case was forgotten, and the run where the type was a lie. */
export function assertNever(value: never): never {
  throw new TareError("internal", `unexpected case ${JSON.stringify(value)}`);
}

/** For what cannot happen: a fault of ours, never of the input. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new TareError("internal", `assertion failed: ${what}`);
}
