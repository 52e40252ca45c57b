/**
 * Moves a tree, which nobody else reaches, into a volume that containers may be using. Directories that
 * both have are merged; whatever else has a name of the tree is replaced by one rename. All by
 * descriptors, and links are replaced, never followed: who writes into the volume meanwhile leads us nowhere.
 */

import { TareError } from "@tare/spec/error.ts";
import { EEXIST } from "../sys/abi-errno.ts";
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  LOCK_EX,
  O_DIRECTORY,
  O_RDONLY,
  S_IFDIR,
  S_IFMT,
} from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { entriesOf } from "../sys/directory.ts";
import { openAt, retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { copyLooks, openDirectory } from "./copy.ts";

/** Two descriptors are open a level. */
const DEPTH_MAX = 200;

/** RENAME_NOREPLACE and RENAME_EXCHANGE of renameat2(2). */
const NOREPLACE = 1;
const EXCHANGE = 2;

/**
 * Moves what is in the directory `from` into `data` of the directory `room`, which gets the looks of
 * `from`. What was replaced lies in `from` afterwards, for the caller to remove.
 */
export function mergeVolume(sys: Sys, from: string, room: string): void {
  using source = openPath(sys, from);
  using volume = openPath(sys, room);
  // Who fills the volume from an image waits, or is waited for.
  check(
    retried(() => sys.flock(volume.fd, LOCK_EX)),
    "flock",
    room,
  );
  using data = openDirectory(sys, volume.fd, "data");
  mergeDirectory(sys, source.fd, data.fd, 0);
}

function mergeDirectory(sys: Sys, from: Fd, to: Fd, depth: number): void {
  if (depth > DEPTH_MAX) {
    const message = `Cannot merge directories: they are deeper than ${DEPTH_MAX}`;
    throw new TareError("bad_input", message);
  }
  for (const name of entriesOf(sys, from)) {
    const moved = sys.renameat2(from, name, to, name, NOREPLACE);
    if (errnoOf(moved) !== EEXIST) check(moved, "renameat2", name);
    else if (isDirectory(sys, from, name) && isDirectory(sys, to, name)) {
      using inner = openDirectory(sys, from, name);
      using outer = openDirectory(sys, to, name);
      mergeDirectory(sys, inner.fd, outer.fd, depth + 1);
    } else check(sys.renameat2(from, name, to, name, EXCHANGE), "renameat2", name);
  }
  copyLooks(sys, from, to);
}

function isDirectory(sys: Sys, at: Fd, name: Uint8Array): boolean {
  return (statAt(sys, at, name, AT_SYMLINK_NOFOLLOW).mode & S_IFMT) === S_IFDIR;
}

function openPath(sys: Sys, path: string): OwnedFd {
  const ret = openAt(sys, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
  return new OwnedFd(sys, check(ret, "openat2", path));
}
