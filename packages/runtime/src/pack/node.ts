/**
 * Walks a directory tree by descriptors, in an order that depends on nothing but the names: a
 * directory, then what is in it that is none, then the directories in it. Nothing is followed, and a
 * tree that changes meanwhile can only hide names from us, never show ones outside.
 * Each directory is opened from the root by its whole path, so depth costs no descriptors.
 */

import { TareError } from "@tare/spec/error.ts";
import { compareBytes } from "@tare/spec/tar-write.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  S_IFDIR,
  S_IFMT,
} from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { entriesOf } from "../sys/directory.ts";
import { openAt } from "../sys/file.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { printPath } from "../unpack/plan.ts";
import { type FileStat, isGone, tryFileStat } from "./file-stat.ts";

/** Something of a tree, valid during the visit. */
export type Node = {
  /** From the root, without a slash at either end; empty for the root. */
  readonly path: Uint8Array;
  /** The directory that holds it; of a directory, that directory itself. */
  readonly at: Fd;
  /** Its name in `at`; "." of a directory. */
  readonly name: Uint8Array;
  readonly stat: FileStat;
};

/** Longer names no archive reader takes: the kernel's PATH_MAX. */
const PATH_BYTES_MAX = 4095;
const SLASH = 0x2f;
const DOT = new Uint8Array([0x2e]);

/** For a last component, and for whole paths from the root of a tree. */
export const INSIDE =
  RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

/**
 * Visits everything below and with `root`. A directory of which the visit answers false is not
 * entered.
 * @throws TareError `bad_input` where a path is too long; SysError.
 */
export function walkTree(sys: Sys, root: Fd, visit: (node: Node) => boolean): void {
  const waiting: Uint8Array[] = [new Uint8Array(0)];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const fd = openDirectory(sys, root, path);
    if (fd === undefined) continue;
    try {
      const inside = visitDirectory(sys, fd, path, visit);
      for (const child of inside.reverse()) waiting.push(child);
    } finally {
      sys.close(fd);
    }
  }
}

/** Undefined where it went, or became something else, since it was listed. */
export function openDirectory(sys: Sys, root: Fd, path: Uint8Array): Fd | undefined {
  const name = path.length === 0 ? DOT : path;
  const ret = openAt(sys, root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, INSIDE);
  return isGone(errnoOf(ret)) ? undefined : check(ret, "openat2", printPath(name));
}

/** The directories in it, in order. */
function visitDirectory(
  sys: Sys,
  fd: Fd,
  path: Uint8Array,
  visit: (node: Node) => boolean,
): Uint8Array[] {
  const own = tryFileStat(sys, fd, "", AT_EMPTY_PATH);
  if (own === undefined || !visit({ path, at: fd, name: DOT, stat: own })) return [];
  const directories: Uint8Array[] = [];
  for (const name of entriesOf(sys, fd).sort(compareBytes)) {
    const stat = tryFileStat(sys, fd, name, AT_SYMLINK_NOFOLLOW);
    if (stat === undefined) continue;
    const whole = join(path, name);
    if ((stat.mode & S_IFMT) === S_IFDIR) directories.push(whole);
    else visit({ path: whole, at: fd, name, stat });
  }
  return directories;
}

function join(path: Uint8Array, name: Uint8Array): Uint8Array {
  const start = path.length === 0 ? 0 : path.length + 1;
  const whole = new Uint8Array(start + name.length);
  whole.set(path);
  if (start > 0) whole[path.length] = SLASH;
  whole.set(name, start);
  if (whole.length <= PATH_BYTES_MAX) return whole;
  const shown = printPath(whole.subarray(0, 100));
  throw new TareError("bad_input", `Cannot pack "/${shown}...": the path is too long`);
}
