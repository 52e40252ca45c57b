/**
 * Names inside a container's root, turned into descriptors once: from then on nobody uses the name.
 * Every look-up of an untrusted name in this package comes through here (CVE-2021-30465,
 * CVE-2024-45310, CVE-2026-41579: path strings that were followed to the host).
 */

import { TareError } from "@tare/spec/error.ts";
import { EEXIST, ENOENT } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
} from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Ret, Sys } from "../sys/types.ts";

export type FileKind = "directory" | "file";

/** As the kernel: more links than this in one name is a loop (path_resolution(7)). */
const LINKS_MAX = 40;
const LINK_BYTES_MAX = 4096;

/** Opens a name as O_PATH with every link kept inside the root; the answer is the kernel's. */
export function lookup(sys: Sys, root: Fd, path: string, flags = 0): Ret<Fd> {
  const name = inside(path);
  return openAt(sys, root, name, O_PATH | flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/** As lookup, and refuses any symbolic link on the way: for places that must be what they seem. */
export function lookupPlain(sys: Sys, root: Fd, path: string, flags = 0): Ret<Fd> {
  const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
  return openAt(sys, root, inside(path), O_PATH | O_NOFOLLOW | flags, resolve);
}

/** Opens a place in the root, and makes it, with the directories above it, where it is missing. */
export function openOrCreate(sys: Sys, root: Fd, path: string, kind: FileKind): OwnedFd {
  return openExisting(sys, root, path) ?? makePlace(sys, root, path, kind);
}

/** Opens a place in the root; undefined where there is none. */
export function openExisting(sys: Sys, root: Fd, path: string): OwnedFd | undefined {
  const ret = lookup(sys, root, path);
  return errnoOf(ret) === ENOENT ? undefined : new OwnedFd(sys, check(ret, "openat2", path));
}

/** As openOrCreate, with no link followed. */
export function openOrCreatePlain(sys: Sys, root: Fd, path: string, kind: FileKind): OwnedFd {
  const flags = kind === "directory" ? O_DIRECTORY : 0;
  const ret = lookupPlain(sys, root, path, flags);
  if (errnoOf(ret) !== ENOENT) return new OwnedFd(sys, check(ret, "openat2", path));
  makePlace(sys, root, path, kind).close();
  return new OwnedFd(sys, check(lookupPlain(sys, root, path, flags), "openat2", path));
}

/** A path as openat2(2) takes it below a directory: "/" itself is ".". */
function inside(path: string): string {
  let start = 0;
  while (path.charCodeAt(start) === 0x2f) start++;
  const rest = path.slice(start);
  return rest === "" ? "." : rest;
}

/** Where a walk stands: the directories passed, for "..", and the names still to go. */
type Walk = { readonly passed: OwnedFd[]; readonly ahead: string[]; links: number };

/**
 * Walks a name one component at a time, by descriptor, and makes what is missing; a link, even one
 * that leads nowhere yet, is followed inside the root. An image's /etc/resolv.conf is often such.
 */
export function makePlace(sys: Sys, root: Fd, path: string, kind: FileKind): OwnedFd {
  const walk: Walk = { passed: [], ahead: path.split("/").filter(isName), links: 0 };
  try {
    for (let name = walk.ahead.shift(); name !== undefined; name = walk.ahead.shift()) {
      if (name === "..") walk.passed.pop()?.close();
      else step(sys, root, path, walk, name, walk.ahead.length > 0 ? "directory" : kind);
    }
    const last = walk.passed.pop();
    if (last === undefined)
      throw new TareError("bad_input", `Cannot make "${path}": it is the root`);
    return last;
  } finally {
    for (const fd of walk.passed) fd.close();
  }
}

function isName(component: string): boolean {
  return component !== "" && component !== ".";
}

function step(sys: Sys, root: Fd, path: string, walk: Walk, name: string, kind: FileKind): void {
  const directory = walk.passed.at(-1)?.fd ?? root;
  let ret = openAt(sys, directory, name, O_PATH | O_NOFOLLOW, 0);
  if (errnoOf(ret) === ENOENT) {
    make(sys, directory, name, kind);
    ret = openAt(sys, directory, name, O_PATH | O_NOFOLLOW, 0);
  }
  const next = new OwnedFd(sys, check(ret, "openat2", path));
  const { mode } = statAt(sys, next.fd, "", AT_EMPTY_PATH);
  if ((mode & S_IFMT) !== S_IFLNK) {
    walk.passed.push(next);
    return;
  }
  const target = readLink(sys, next, path);
  walk.links++;
  if (walk.links > LINKS_MAX) {
    throw new TareError("bad_input", `Cannot open "${path}": too many symbolic links`);
  }
  if (target.startsWith("/")) for (const fd of walk.passed.splice(0)) fd.close();
  walk.ahead.unshift(...target.split("/").filter(isName));
}

function readLink(sys: Sys, link: OwnedFd, path: string): string {
  const buffer = new Uint8Array(LINK_BYTES_MAX);
  const length = check(sys.readlinkat(link.fd, "", buffer), "readlinkat", path);
  link.close();
  const target = sys.decode_utf8(buffer.subarray(0, length));
  if (target === null) {
    throw new TareError("bad_input", `Cannot open "${path}": a link in it is not UTF-8`);
  }
  return target;
}

function make(sys: Sys, directory: Fd, name: string, kind: FileKind): void {
  if (kind === "directory") {
    const ret = sys.mkdirat(directory, name, 0o755);
    if (errnoOf(ret) !== EEXIST) check(ret, "mkdirat", name);
    return;
  }
  const ret = openAt(sys, directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0, 0o644);
  if (errnoOf(ret) === EEXIST) return;
  sys.close(check(ret, "openat2", name));
}

/** The kind of an open file: what a mount point for it must be. */
export function kindOf(sys: Sys, fd: Fd): FileKind {
  const { mode } = statAt(sys, fd, "", AT_EMPTY_PATH);
  return (mode & S_IFMT) === S_IFDIR ? "directory" : "file";
}

/** The directory and the last component of a normal, absolute path. */
export function splitLast(path: string): readonly [directory: string, name: string] {
  const slash = path.lastIndexOf("/");
  return [path.slice(0, slash) || "/", path.slice(slash + 1)];
}
