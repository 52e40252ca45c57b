/**
 * Copies what is in one directory into another, by descriptors only: owners, modes, extended
 * attributes, times, links, hard links among the files, and nodes. Both sides may hold anything; no
 * link is followed, and nothing that is there already is written to.
 */

import { TareError } from "@tare/spec/error.ts";
import { EINVAL, EOPNOTSUPP, EXDEV } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { entriesOf } from "../sys/directory.ts";
import { openAt, retried, writeAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { openRegular } from "../sys/regular-file.ts";
import { type Stat, statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { type Components, joinPath } from "../unpack/plan.ts";
import { copyXattrs } from "./xattrs.ts";

/** Two descriptors are open a level. */
const DEPTH_MAX = 200;
const CHUNK_BYTES = 1024 * 1024;
const RANGE_BYTES = 16 * 1024 * 1024;
const LINK_BYTES_MAX = 4096;
/** For a last component: no link at all. */
const LAST = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

/** Copies the content of the directory `from` into the empty directory `to`; then its own looks. */
export function copyTree(sys: Sys, from: Fd, to: Fd, what: string): void {
  new TreeCopy(sys, to, what).directory(from, to, []);
  copyLooks(sys, from, to);
}

/** Gives the directory `to` owner, mode, attributes and time of the directory `from`. */
export function copyLooks(sys: Sys, from: Fd, to: Fd): void {
  const stat = statAt(sys, from, "", AT_EMPTY_PATH);
  check(sys.fchownat(to, "", stat.uid, stat.gid, AT_EMPTY_PATH), "fchownat");
  check(sys.fchmod(to, stat.mode & 0o7777), "fchmod");
  copyXattrs(sys, { at: from, name: DOT }, { at: to, name: DOT });
  setTime(sys, to, "", stat, AT_EMPTY_PATH);
}

const DOT = Uint8Array.of(0x2e);

class TreeCopy {
  readonly #sys: Sys;
  readonly #top: Fd;
  readonly #what: string;
  /** Where the first name of a file with several was put, below the top: nobody else is there yet. */
  readonly #firstNames = new Map<string, Uint8Array>();

  constructor(sys: Sys, top: Fd, what: string) {
    this.#sys = sys;
    this.#top = top;
    this.#what = what;
  }

  directory(from: Fd, to: Fd, path: Components): void {
    if (path.length > DEPTH_MAX) {
      const message = `Cannot copy "${this.#what}": it is deeper than ${DEPTH_MAX} directories`;
      throw new TareError("bad_input", message);
    }
    for (const name of entriesOf(this.#sys, from)) this.#entry(from, to, [...path, name], name);
  }

  #entry(from: Fd, to: Fd, path: Components, name: Uint8Array): void {
    const sys = this.#sys;
    const stat = statAt(sys, from, name, AT_SYMLINK_NOFOLLOW);
    const type = stat.mode & S_IFMT;
    if (type === S_IFDIR) {
      check(sys.mkdirat(to, name, 0o700), "mkdirat", name);
      using source = openDirectory(sys, from, name);
      using target = openDirectory(sys, to, name);
      this.directory(source.fd, target.fd, path);
      copyLooks(sys, source.fd, target.fd);
      return;
    }
    if (stat.nlink > 1 && this.#link(to, path, name, stat)) return;
    if (type === S_IFREG) copyContent(sys, from, to, name);
    else if (type === S_IFLNK) copyLink(sys, from, to, name);
    else check(sys.mknodat(to, name, stat.mode, stat.rdevMajor, stat.rdevMinor), "mknodat", name);
    // Owner first: a change of owner clears setuid bits and file capabilities.
    check(sys.fchownat(to, name, stat.uid, stat.gid, AT_SYMLINK_NOFOLLOW), "fchownat", name);
    copyXattrs(sys, { at: from, name }, { at: to, name });
    if (type !== S_IFLNK) check(sys.fchmodat(to, name, stat.mode & 0o7777), "fchmodat", name);
    setTime(sys, to, name, stat, AT_SYMLINK_NOFOLLOW);
  }

  /** A further name of a file that was copied; false: this is its first. */
  #link(to: Fd, path: Components, name: Uint8Array, stat: Stat): boolean {
    const key = `${stat.devMajor}:${stat.devMinor}:${stat.ino}`;
    const first = this.#firstNames.get(key);
    if (first === undefined) {
      this.#firstNames.set(key, joinPath(path));
      return false;
    }
    check(this.#sys.linkat(this.#top, first, to, name, 0), "linkat", name);
    return true;
  }
}

/** A directory by its last name, which is no link. */
export function openDirectory(sys: Sys, at: Fd, name: string | Uint8Array): OwnedFd {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  return new OwnedFd(sys, check(openAt(sys, at, name, flags, LAST), "openat2", name));
}

function setTime(sys: Sys, at: Fd, name: Uint8Array | "", stat: Stat, flags: number): void {
  const { mtime, mtimeNs } = stat;
  check(sys.utimensat(at, name, mtime, mtimeNs, mtime, mtimeNs, flags), "utimensat", name);
}

function copyLink(sys: Sys, from: Fd, to: Fd, name: Uint8Array): void {
  const buffer = new Uint8Array(LINK_BYTES_MAX);
  const length = check(sys.readlinkat(from, name, buffer), "readlinkat", name);
  check(sys.symlinkat(buffer.subarray(0, length), to, name), "symlinkat", name);
}

function copyContent(sys: Sys, from: Fd, to: Fd, name: Uint8Array): void {
  const opened = openRegular(sys, from, name, LAST);
  if (opened === undefined) {
    throw new TareError("conflict", "Cannot copy a file: it was exchanged for another meanwhile");
  }
  using source = new OwnedFd(sys, check(opened, "openat2", name));
  const create = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  using target = new OwnedFd(
    sys,
    check(openAt(sys, to, name, create, LAST, 0o600), "openat2", name),
  );
  for (;;) {
    const ret = retried(() => sys.copy_file_range(source.fd, target.fd, RANGE_BYTES));
    const errno = errnoOf(ret);
    if (errno === EXDEV || errno === EINVAL || errno === EOPNOTSUPP) break;
    if (check(ret, "copy_file_range", name) === 0) return;
  }
  const buffer = new Uint8Array(CHUNK_BYTES);
  for (;;) {
    const count = check(
      retried(() => sys.read(source.fd, buffer)),
      "read",
      name,
    );
    if (count === 0) return;
    writeAll(sys, target.fd, buffer.subarray(0, count), "a copied file");
  }
}
