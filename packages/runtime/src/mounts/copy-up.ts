/**
 * tmpcopyup: fills a new tmpfs with what the directory below it holds, by descriptors only.
 * Regular files, directories, links and nodes are copied with owner and mode; sockets are left out.
 */

import { TareError } from "@tare/spec/error.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_BENEATH,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from "../sys/abi-file.ts";
import { check } from "../sys/check.ts";
import { entriesOf } from "../sys/directory.ts";
import { openAt, retried, writeAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { type Stat, statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";

const DEPTH_MAX = 64;
const CHUNK_BYTES = 64 * 1024;
const LINK_BYTES_MAX = 4096;

/** Copies the content of `from` (a directory, O_PATH is enough) into `to`, the top of a new mount. */
export function copyUp(sys: Sys, from: Fd, to: Fd, path: string): void {
  using source = openDirectory(sys, from, ".");
  using target = openDirectory(sys, to, ".");
  copyDirectory(sys, source.fd, target.fd, path, 0);
}

function openDirectory(sys: Sys, at: Fd, name: string | Uint8Array): OwnedFd {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  return new OwnedFd(sys, check(openAt(sys, at, name, flags, RESOLVE_BENEATH), "openat2", name));
}

function copyDirectory(sys: Sys, from: Fd, to: Fd, path: string, depth: number): void {
  if (depth > DEPTH_MAX) {
    throw new TareError(
      "bad_input",
      `Cannot copy up "${path}": deeper than ${DEPTH_MAX} directories`,
    );
  }
  for (const name of entriesOf(sys, from)) {
    const stat = statAt(sys, from, name, AT_SYMLINK_NOFOLLOW);
    const type = stat.mode & S_IFMT;
    if (type === S_IFSOCK) continue;
    if (type === S_IFDIR) {
      check(sys.mkdirat(to, name, 0o700), "mkdirat", name);
      using source = openDirectory(sys, from, name);
      using target = openDirectory(sys, to, name);
      copyDirectory(sys, source.fd, target.fd, path, depth + 1);
    } else if (type === S_IFREG) copyFile(sys, from, to, name);
    else if (type === S_IFLNK) copyLink(sys, from, to, name);
    else check(sys.mknodat(to, name, stat.mode, stat.rdevMajor, stat.rdevMinor), "mknodat", name);
    own(sys, to, name, stat);
  }
}

function own(sys: Sys, to: Fd, name: Uint8Array, stat: Stat): void {
  check(sys.fchownat(to, name, stat.uid, stat.gid, AT_SYMLINK_NOFOLLOW), "fchownat", name);
  if ((stat.mode & S_IFMT) === S_IFLNK) return;
  check(sys.fchmodat(to, name, stat.mode & 0o7777), "fchmodat", name);
}

function copyLink(sys: Sys, from: Fd, to: Fd, name: Uint8Array): void {
  const buffer = new Uint8Array(LINK_BYTES_MAX);
  const length = check(sys.readlinkat(from, name, buffer), "readlinkat", name);
  check(sys.symlinkat(buffer.subarray(0, length), to, name), "symlinkat", name);
}

function copyFile(sys: Sys, from: Fd, to: Fd, name: Uint8Array): void {
  const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
  using source = new OwnedFd(sys, check(openAt(sys, from, name, flags, 0), "openat2", name));
  const { mode } = statAt(sys, source.fd, "", AT_EMPTY_PATH);
  if ((mode & S_IFMT) !== S_IFREG) return;
  const create = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  using target = new OwnedFd(sys, check(openAt(sys, to, name, create, 0, 0o600), "openat2", name));
  const buffer = new Uint8Array(CHUNK_BYTES);
  for (;;) {
    const ret = retried(() => sys.read(source.fd, buffer));
    const count = check(ret, "read", name);
    if (count === 0) return;
    writeAll(sys, target.fd, buffer.subarray(0, count), "a copied file");
  }
}
