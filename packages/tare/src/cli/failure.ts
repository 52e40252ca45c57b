/** How a failure looks: one line, a hint under it, and an exit status by its code. */
import { isCallFailure, ReaderGone, reasonOf } from "@tare/engine/host/failure.ts";
import { type ErrorCode, type ErrorReport, toReport } from "@tare/spec/error.ts";

/** Docker's: 125 is ours, 126 and 127 are the command's, as in every shell. */
const EXIT_STATUS: Readonly<Record<ErrorCode, number>> = {
  bad_input: 125,
  not_found: 125,
  conflict: 125,
  bad_state: 125,
  no_permission: 125,
  unsupported: 125,
  no_cgroup: 125,
  command_not_found: 127,
  command_not_executable: 126,
  hook_failed: 125,
  corrupt: 125,
  system: 125,
  internal: 125,
};

/** Exit status of a command other than `run`. */
export const EXIT_FAILURE = 1;

/** 128 + SIGPIPE, as a shell gives for a program that the signal ended. */
export const EXIT_BROKEN_PIPE = 141;

/** The exit status of a command for an error. */
export function failureStatus(command: string, error: unknown): number {
  if (error instanceof ReaderGone) return EXIT_BROKEN_PIPE;
  return command === "run" ? runStatus(error) : EXIT_FAILURE;
}

/** The exit status of `run` for an error. */
export function runStatus(error: unknown): number {
  return EXIT_STATUS[toReport(error).code];
}

/** The lines for standard error; none where the reader of the output has gone. */
export function printFailure(error: unknown): string {
  return error instanceof ReaderGone ? "" : printReport(reportOf(error));
}

/** As `toReport`, with words for what a call of the system or the database throws. */
function reportOf(error: unknown): ErrorReport {
  if (isCallFailure(error)) {
    const { path } = error as { readonly path?: unknown };
    const on = typeof path === "string" ? ` "${path}"` : "";
    return { code: "system", message: `Cannot ${error.syscall}${on}: ${reasonOf(error)}` };
  }
  const { code, message } = (error ?? {}) as {
    readonly code?: unknown;
    readonly message?: unknown;
  };
  if (typeof code !== "string" || !code.startsWith("SQLITE_")) return toReport(error);
  return DATABASE_REPORTS.get(code) ?? otherDatabaseReport(`${message} (${code})`);
}

function otherDatabaseReport(reason: string): ErrorReport {
  return { code: "system", message: `Cannot use "tare.db" in the data root: ${reason}` };
}

const DAMAGED: ErrorReport = {
  code: "corrupt",
  message: 'Cannot read "tare.db" in the data root: it is damaged',
  hint: "Put a copy of it back; or begin anew with another --data-root",
};

const DATABASE_REPORTS: ReadonlyMap<string, ErrorReport> = new Map([
  [
    "SQLITE_FULL",
    {
      code: "system",
      message: "Cannot write to the data root: the disk is full",
      hint: "Make space there, or remove what is not used: tare system prune",
    },
  ],
  [
    "SQLITE_BUSY",
    {
      code: "conflict",
      message: "Cannot use the data root: another command of tare holds its records",
      hint: "Try again when that one has ended",
    },
  ],
  ["SQLITE_CORRUPT", DAMAGED],
  ["SQLITE_NOTADB", DAMAGED],
]);

/** Nothing from outside may move the cursor or start a line of its own. */
function printReport(report: ErrorReport): string {
  const hint = report.hint === undefined ? "" : `  hint: ${oneLine(report.hint)}\n`;
  return `tare: ${oneLine(report.message)}\n${hint}`;
}

/** The text with its control characters spelled out. */
export function oneLine(text: string): string {
  let line = "";
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    const control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    line += control ? `\\x${code.toString(16).padStart(2, "0")}` : char;
  }
  return line;
}
