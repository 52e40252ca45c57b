/**
 * What a runtime said in its `--log` file (`--log-format json`), one object a line. It is how a
 * failure to start is told from a command that exits with the same number.
 */
import { existsSync, readFileSync } from "node:fs";
import { type ErrorCode, TareError } from "@tare/spec/error.ts";

export type RuntimeLog = {
  /** Why the container did not run. */
  readonly failure: TareError | undefined;
  /** Whether the user has read of it: runtimes print what they log, the helper does not. */
  readonly printed: boolean;
  /** Things the user should know, a sentence each. */
  readonly warnings: readonly string[];
};

type Line = {
  readonly level?: string;
  readonly msg?: string;
  readonly code?: string;
  readonly hint?: string;
  readonly printed?: boolean;
};

/** Reads the file; one that is missing or empty says nothing. */
export function readRuntimeLog(path: string): RuntimeLog {
  return parseRuntimeLog(existsSync(path) ? readFileSync(path, "utf8") : "");
}

/** The last error counts: runtimes write the cause first and what they gave up after it. */
export function parseRuntimeLog(text: string): RuntimeLog {
  const lines = text.split("\n").flatMap(parseLine);
  const errors = lines.filter(({ level }) => level === "error" || level === "fatal");
  const warnings = lines.filter(({ level }) => level === "warning");
  const last = errors.at(-1);
  return {
    failure: last === undefined ? undefined : toError(last),
    printed: last?.printed ?? true,
    warnings: warnings.map(({ msg = "" }) => msg),
  };
}

function parseLine(line: string): Line[] {
  if (line === "") return [];
  try {
    return [JSON.parse(line) as Line];
  } catch {
    return [{ level: "error", msg: line }];
  }
}

function toError({ code, msg = "the runtime gave no reason", hint }: Line): TareError {
  const options = hint === undefined ? {} : { hint };
  return new TareError((code as ErrorCode | undefined) ?? guessCode(msg), msg, options);
}

/** Other runtimes have words only; these two decide between exit statuses 127, 126 and 125. */
function guessCode(message: string): ErrorCode {
  const lower = message.toLowerCase();
  if (lower.includes("executable file not found") || lower.includes("executable file `")) {
    return lower.includes("permission denied") ? "command_not_executable" : "command_not_found";
  }
  const about = lower.includes("exec");
  if (about && lower.includes("permission denied")) return "command_not_executable";
  if (about && lower.includes("no such file or directory")) return "command_not_found";
  return "system";
}
