/** HOME, which programs expect, from the container's own /etc/passwd. */

import type { Process } from "@tare/spec/oci-runtime.ts";
import { AT_EMPTY_PATH, AT_FDCWD, O_NONBLOCK, O_RDONLY, S_IFMT, S_IFREG } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt, readAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { statAt } from "../sys/stat.ts";
import type { Sys } from "../sys/types.ts";

/** An image may hold anything in its place: a device, a FIFO, a file without end (CVE-2026-47262). */
const PASSWD_BYTES_MAX = 10 * 1024 * 1024;

/** The environment, with HOME added where it has none. */
export function withHome(sys: Sys, process: Process): readonly string[] {
  if (process.env.some((entry) => entry.startsWith("HOME="))) return process.env;
  return [...process.env, `HOME=${homeOf(sys, process.user.uid)}`];
}

function homeOf(sys: Sys, uid: number): string {
  const ret = openAt(sys, AT_FDCWD, "/etc/passwd", O_RDONLY | O_NONBLOCK, 0);
  if (errnoOf(ret) !== 0) return "/";
  using file = new OwnedFd(sys, check(ret, "openat2", "/etc/passwd"));
  const { mode, size } = statAt(sys, file.fd, "", AT_EMPTY_PATH);
  if ((mode & S_IFMT) !== S_IFREG || size > BigInt(PASSWD_BYTES_MAX)) return "/";
  const text = sys.decode_utf8(readAll(sys, file.fd, "/etc/passwd", PASSWD_BYTES_MAX)) ?? "";
  for (const line of text.split("\n")) {
    const fields = line.split(":");
    if (fields[2] === String(uid) && fields[5] !== undefined) return fields[5] || "/";
  }
  return "/";
}
