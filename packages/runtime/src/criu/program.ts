/** criu as a program of the host: whether it is there and new enough, and why it failed. */

import { TareError } from "@tare/spec/error.ts";
import { captureOutput } from "../process/capture.ts";
import { describeStatus, exitStatus } from "../process/wait.ts";
import { AT_FDCWD, O_RDONLY } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt, readAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { statAt } from "../sys/stat.ts";
import type { Sys } from "../sys/types.ts";
import type { Outcome } from "./service.ts";

export const CRIU = "criu";
/** The first that takes external pid namespaces and another LSM profile. */
const OLDEST: Version = [3, 16];
const VERSION_BYTES_MAX = 64 * 1024;
/** Of a log: its end, where the reason stands. */
const LOG_TAIL_BYTES = 256 * 1024;
const REASON_LENGTH_MAX = 400;
const EXIT_NOT_FOUND = 127;

type Version = readonly [major: number, minor: number];

/** @throws TareError `unsupported` where criu is missing or too old */
export function requireCriu(sys: Sys, verb: string): void {
  const { output, status } = captureOutput(sys, CRIU, ["--version"], VERSION_BYTES_MAX);
  const refuse = (why: string): never => {
    const wanted = `criu ${OLDEST.join(".")} or newer is needed`;
    throw new TareError("unsupported", `Cannot ${verb}: ${why}; ${wanted}`);
  };
  if (exitStatus(status) === EXIT_NOT_FOUND) refuse("criu is not in PATH");
  const version = parseVersion(sys.decode_utf8(output) ?? "");
  if (version === undefined) return refuse("criu does not tell its version");
  const [major, minor] = version;
  if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) return;
  refuse(`criu ${major}.${minor} is too old`);
}

/** Of `Version: 3.17.1`, the first line of `criu --version`; undefined where there is none. */
export function parseVersion(text: string): Version | undefined {
  const prefix = "Version: ";
  const line = text.split("\n").find((each) => each.startsWith(prefix));
  const [major, minor] = (line ?? "").slice(prefix.length).split(".").map(Number);
  const isVersion = Number.isInteger(major) && Number.isInteger(minor) && line !== undefined;
  return isVersion ? [major ?? 0, minor ?? 0] : undefined;
}

/** One line with why criu failed, and where its log is. */
export function criuFailure(
  sys: Sys,
  verb: string,
  log: string,
  { answer, status, output }: Outcome & { readonly output?: Uint8Array },
): TareError {
  // Before it has a log, criu complains on standard error.
  const printed = output === undefined ? "" : asText(sys, output);
  const said = `${answer?.complaint ?? ""}\n${readTail(sys, log)}\n${printed}`;
  const reason = firstError(said) ?? `criu: ${describeStatus(status)}`;
  return new TareError("system", `Cannot ${verb}: ${reason}; see ${log}`);
}

/**
 * The first error of what criu wrote, without its time: those after it are what came of it. Bytes of
 * the container's are made harmless. Pure.
 */
export function firstError(text: string): string | undefined {
  const errors = text.split("\n").flatMap((line) => {
    const at = line.indexOf("Error (");
    return at >= 0 || line.startsWith("criu: ") ? [line.slice(Math.max(at, 0))] : [];
  });
  const error = errors.find((each) => !isBeside(each)) ?? errors[0];
  if (error === undefined) return undefined;
  const letters = [...error.trimEnd()].slice(0, REASON_LENGTH_MAX);
  return letters.map((letter) => (letter < " " || letter === "\x7f" ? "?" : letter)).join("");
}

/** Says only that something went wrong, or that criu did without something it likes to have. */
function isBeside(line: string): boolean {
  const parts = [" FAILED.", "): exited, status=", "RLIMIT_NOFILE"];
  return parts.some((part) => line.includes(part));
}

/** Empty where there is no log. */
function readTail(sys: Sys, path: string): string {
  const ret = openAt(sys, AT_FDCWD, path, O_RDONLY, 0);
  if (errnoOf(ret) !== 0) return "";
  using file = new OwnedFd(sys, check(ret, "openat2", path));
  const { size } = statAt(sys, AT_FDCWD, path, 0);
  const start = Number(size) > LOG_TAIL_BYTES ? Number(size) - LOG_TAIL_BYTES : 0;
  check(sys.lseek(file.fd, start, 0), "lseek", path);
  return asText(sys, readAll(sys, file.fd, path, LOG_TAIL_BYTES * 2));
}

/** A line may hold a name in any bytes, and the first may be cut: such a line is left out. */
function asText(sys: Sys, bytes: Uint8Array): string {
  const NEWLINE = 0x0a;
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const found = bytes.indexOf(NEWLINE, at);
    const end = found < 0 ? bytes.length : found;
    lines.push(sys.decode_utf8(bytes.subarray(at, end)) ?? "");
    at = end + 1;
  }
  return lines.join("\n");
}
