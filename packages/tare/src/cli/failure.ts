/** How a failure looks: one line, a hint under it, and an exit status by its code. */
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

/** The exit status of `run` for an error. */
export function runStatus(error: unknown): number {
  return EXIT_STATUS[toReport(error).code];
}

const FULL: ErrorReport = {
  code: "system",
  message: "Cannot write to the data root: the disk is full",
  hint: "Make space there, or remove what is not used: tare system prune",
};

/** The lines for standard error. */
export function printFailure(error: unknown): string {
  if ((error as { code?: unknown } | undefined)?.code === "SQLITE_FULL") return printReport(FULL);
  return printReport(toReport(error));
}

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
