/**
 * Fills a volume, when it is first used, with what the image has at its place; and gives it the looks
 * of that directory. Everything is copied aside and moved in then, name by name, under a lock: a
 * process that dies leaves a volume that the next one goes on filling.
 */

import { EEXIST, ENOENT, ENOTDIR } from "../sys/abi-errno.ts";
import { AT_FDCWD, LOCK_EX, O_DIRECTORY, O_RDONLY } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { entriesOf } from "../sys/directory.ts";
import { openAt, retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { removeTree } from "../unpack/remove.ts";
import { copyLooks, copyTree, openDirectory } from "./copy.ts";

/** In the volume's directory, beside `data`: what is being copied, and what is whole. */
const PART = "incoming.part";
const WHOLE = "incoming";

/** RENAME_NOREPLACE of renameat2(2). */
const NOREPLACE = 1;

/** `volume` is the directory of a volume, `source` one in the container's root. */
export function populate(sys: Sys, volume: string, source: Fd, what: string): void {
  using room = new OwnedFd(sys, openPath(sys, AT_FDCWD, volume));
  check(
    retried(() => sys.flock(room.fd, LOCK_EX)),
    "flock",
    volume,
  );
  using data = openDirectory(sys, room.fd, "data");
  using from = new OwnedFd(sys, openPath(sys, source, "."));
  const whole = sys.encode_utf8(WHOLE);
  if (isMissing(sys, room.fd, WHOLE)) {
    if (entriesOf(sys, data.fd).length > 0) return;
    copyAside(sys, room.fd, from.fd, what);
  }
  using incoming = openDirectory(sys, room.fd, WHOLE);
  for (const name of entriesOf(sys, incoming.fd)) {
    const ret = sys.renameat2(incoming.fd, name, data.fd, name, NOREPLACE);
    // A container that had the volume empty may have made the name meanwhile: it stays.
    if (errnoOf(ret) !== EEXIST) check(ret, "renameat2", name);
  }
  copyLooks(sys, from.fd, data.fd);
  removeTree(sys, room.fd, whole);
}

function copyAside(sys: Sys, room: Fd, from: Fd, what: string): void {
  const part = sys.encode_utf8(PART);
  removeTree(sys, room, part);
  check(sys.mkdirat(room, part, 0o700), "mkdirat", part);
  using to = openDirectory(sys, room, part);
  copyTree(sys, from, to.fd, what);
  check(sys.renameat2(room, part, room, WHOLE, 0), "renameat2", part);
}

function isMissing(sys: Sys, room: Fd, name: string): boolean {
  const ret = openAt(sys, room, name, O_RDONLY | O_DIRECTORY, 0);
  const errno = errnoOf(ret);
  if (errno === ENOENT || errno === ENOTDIR) return true;
  sys.close(check(ret, "openat2", name));
  return false;
}

function openPath(sys: Sys, at: Fd, path: string): Fd {
  return check(openAt(sys, at, path, O_RDONLY | O_DIRECTORY, 0), "openat2", path);
}
