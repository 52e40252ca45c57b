/** The program's environment: each name once, and HOME from the container's own /etc/passwd. */

import type { Process } from "@tare/spec/oci-runtime.ts";
import { findHome } from "@tare/spec/user.ts";
import { AT_EMPTY_PATH, AT_FDCWD, O_NONBLOCK, O_RDONLY, S_IFMT, S_IFREG } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt, readAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { statAt } from "../sys/stat.ts";
import type { Sys } from "../sys/types.ts";

/** An image may hold anything in its place: a device, a FIFO, a file without end (CVE-2026-47262). */
const PASSWD_BYTES_MAX = 10 * 1024 * 1024;

/** Of a name that comes twice the last counts; HOME is added where it is missing or empty. */
export function environmentOf(sys: Sys, process: Process): readonly string[] {
  const entries = lastOfEach(process.env);
  const home = entries.get("HOME");
  if (home === undefined || home === "HOME=") {
    entries.set("HOME", `HOME=${homeOf(sys, process.user.uid)}`);
  }
  return [...entries.values()];
}

/** Whole entries by their names. */
function lastOfEach(env: readonly string[]): Map<string, string> {
  const entries = new Map<string, string>();
  for (const entry of env) {
    const equals = entry.indexOf("=");
    entries.set(equals < 0 ? entry : entry.slice(0, equals), entry);
  }
  return entries;
}

function homeOf(sys: Sys, uid: number): string {
  const ret = openAt(sys, AT_FDCWD, "/etc/passwd", O_RDONLY | O_NONBLOCK, 0);
  if (errnoOf(ret) !== 0) return "/";
  using file = new OwnedFd(sys, check(ret, "openat2", "/etc/passwd"));
  const { mode, size } = statAt(sys, file.fd, "", AT_EMPTY_PATH);
  if ((mode & S_IFMT) !== S_IFREG || size > BigInt(PASSWD_BYTES_MAX)) return "/";
  const text = sys.decode_utf8(readAll(sys, file.fd, "/etc/passwd", PASSWD_BYTES_MAX));
  return findHome(text ?? "", uid);
}
