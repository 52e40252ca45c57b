/**
 * What the runtime tells beside its output: to the file of --log, in runc's two layouts, or to
 * standard error. Engines read the file's JSON to say why a container did not start.
 */

import { type ErrorReport, oneLine, TareError, toReport } from "@tare/spec/error.ts";
import { AT_FDCWD, O_CREAT, O_WRONLY } from "../sys/abi-file.ts";
import { check, during } from "../sys/check.ts";
import { openAt, writeAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";

const O_APPEND = 0o2000;
const STDERR = 2 as Fd;

export type Log = {
  readonly isDebugging: boolean;
  /** A line for people who look for a fault; nothing unless --debug was given. */
  readonly debug: (message: string) => void;
  /** A line in the file where there is one, else on standard error. */
  readonly warn: (message: string) => void;
  /** One line on standard error, with its hint, and a line in the file where there is one. */
  readonly error: (report: ErrorReport) => void;
};

export type LogSettings = {
  /** Absent or empty: no file. */
  readonly path?: string | undefined;
  readonly json: boolean;
  readonly debug: boolean;
};

/** Throws where the file cannot be opened: as with runc and crun, nothing is done then. */
export function openLog(sys: Sys, { path, json, debug }: LogSettings): Log {
  const file = path === undefined || path === "" ? undefined : withoutScheme(path);
  if (file !== undefined) {
    during(
      () => `Cannot open --log "${file}"`,
      () => openFile(sys, file).close(),
    );
  }
  const tell = (level: string, message: string, more: object = {}) => {
    const time = new Date(Number(sys.clock_gettime(0) / 1_000_000n)).toISOString();
    const line = json
      ? JSON.stringify({ level, msg: message, time, ...more })
      : `time="${time}" level=${level} msg=${JSON.stringify(message)}`;
    if (file === undefined) sys.write(STDERR, sys.encode_utf8(`${line}\n`));
    else append(sys, file, `${line}\n`);
  };
  return {
    isDebugging: debug,
    debug: (message) => {
      if (debug) tell("debug", message);
    },
    warn: (message) => {
      // Standard error becomes the container's own: an engine that names a file keeps it clean.
      if (file !== undefined) tell("warning", message);
      else sys.write(STDERR, sys.encode_utf8(`tare-runtime: warning: ${oneLine(message)}\n`));
    },
    error: (report) => {
      const hint = report.hint === undefined ? "" : `\nhint: ${report.hint}`;
      sys.write(STDERR, sys.encode_utf8(`tare-runtime: ${report.message}${hint}\n`));
      if (file !== undefined) tell("error", report.message, report);
    },
  };
}

/** crun's callers write file:PATH; its other kinds of log are not here. */
function withoutScheme(path: string): string {
  const [kind = "", ...rest] = path.split(":");
  if (rest.length === 0 || kind.includes("/")) return path;
  if (kind === "file") return rest.join(":");
  throw new TareError("bad_input", `Cannot use --log "${path}": unknown log type "${kind}"`, {
    hint: "Use the path of a file",
  });
}

/** For each line anew: held open, it would have to be kept from every process that is made. */
function openFile(sys: Sys, path: string): OwnedFd {
  const ret = openAt(sys, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0, 0o644);
  return new OwnedFd(sys, check(ret, "openat2", path));
}

/** A log that can no longer be written is told, and stops nothing. */
function append(sys: Sys, path: string, line: string): void {
  try {
    using file = openFile(sys, path);
    writeAll(sys, file.fd, sys.encode_utf8(line), path);
  } catch (error) {
    sys.write(STDERR, sys.encode_utf8(`tare-runtime: warning: ${toReport(error).message}\n`));
  }
}
