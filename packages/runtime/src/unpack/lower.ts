/** Looks into the layers below the one being unpacked: they are finished and read-only. */

import { TareError } from "@tare/spec/error.ts";
import { ENOENT, ENOTDIR, EOPNOTSUPP } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  S_IFCHR,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
} from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { type Stat, statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { printPath } from "./plan.ts";

/** An object of a layer below. */
export type Found = {
  /** O_PATH, for the caller to close. */
  readonly fd: Fd;
  readonly stat: Stat;
  /** Its place in the list of layers. */
  readonly layer: number;
};

/** The topmost layer's object of that name, from the layer `first` downwards; undefined where it is nowhere or deleted. */
export function findInLower(
  sys: Sys,
  lower: readonly Fd[],
  name: Uint8Array,
  first = 0,
): Found | undefined {
  for (let layer = first; layer < lower.length; layer++) {
    const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const ret = openAt(sys, lower[layer] as Fd, name, O_PATH | O_NOFOLLOW, resolve);
    const errno = errnoOf(ret);
    if (errno === ENOENT || errno === ENOTDIR) continue;
    const fd = check(ret, "openat2", name);
    const stat = statAt(sys, fd, "", AT_EMPTY_PATH);
    if (!isWhiteout(stat)) return { fd, stat, layer };
    sys.close(fd);
    return undefined;
  }
  return undefined;
}

/** Overlayfs' mark for "deleted": a character device 0:0, which no archive can bring. */
export function isWhiteout(stat: Stat): boolean {
  return (stat.mode & S_IFMT) === S_IFCHR && stat.rdevMajor === 0 && stat.rdevMinor === 0;
}

/** Copies a regular file of a lower layer into this one, as overlayfs would before it links it. Closes `source`. */
export function copyFromLower(sys: Sys, source: Fd, to: Fd, name: Uint8Array): void {
  const stat = statAt(sys, source, "", AT_EMPTY_PATH);
  if ((stat.mode & S_IFMT) !== S_IFREG) {
    throw new TareError(
      "corrupt",
      `Cannot unpack a hard link to "${printPath(name)}": it is no regular file of this layer`,
    );
  }
  const from = check(openAt(sys, -100 as Fd, `/proc/self/fd/${source}`, O_RDONLY, 0), "openat2");
  const resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  const copy = check(openAt(sys, to, name, flags, resolve, 0o600), "openat2", printPath(name));
  const CHUNK_BYTES = 16 * 1024 * 1024;
  while (check(sys.copy_file_range(from, copy, CHUNK_BYTES), "copy_file_range") > 0);
  check(sys.fchownat(copy, "", stat.uid, stat.gid, AT_EMPTY_PATH), "fchownat");
  check(sys.fchmod(copy, stat.mode & 0o7777), "fchmod");
  for (const fd of [from, copy, source]) sys.close(fd);
}

/** Gives a directory the owner, mode, attributes and time of a lower one; another kind counts for nothing. */
export function looksAs(sys: Sys, { fd: source, stat }: Found, directory: Fd): void {
  if ((stat.mode & S_IFMT) !== S_IFDIR) return;
  check(sys.fchownat(directory, "", stat.uid, stat.gid, AT_EMPTY_PATH), "fchownat");
  copyXattrs(sys, source, directory);
  check(sys.fchmod(directory, stat.mode & 0o7777), "fchmod");
  const { mtime, mtimeNs } = stat;
  check(sys.utimensat(directory, "", mtime, mtimeNs, mtime, mtimeNs, AT_EMPTY_PATH), "utimensat");
}

/** Names and values are as long as the kernel lets them be: xattr(7). */
const XATTR_BYTES_MAX = 65_536;

/** All attributes but overlayfs' marks. What takes no attribute takes none: they were lost below, too. */
function copyXattrs(sys: Sys, source: Fd, to: Fd): void {
  const path = `/proc/self/fd/${source}/.`;
  // Most have none, and there are many directories.
  if (check(sys.llistxattr(path, new Uint8Array(0)), "llistxattr") === 0) return;
  const names = new Uint8Array(XATTR_BYTES_MAX);
  const length = check(sys.llistxattr(path, names), "llistxattr");
  const value = new Uint8Array(XATTR_BYTES_MAX);
  for (let at = 0; at < length; ) {
    const end = names.indexOf(0, at);
    const name = names.slice(at, end);
    at = end + 1;
    if (isOverlayMark(name)) continue;
    const size = check(sys.lgetxattr(path, name, value), "lgetxattr", printPath(name));
    const ret = sys.fsetxattr(to, name, value.subarray(0, size), 0);
    if (errnoOf(ret) !== EOPNOTSUPP) check(ret, "fsetxattr", printPath(name));
  }
}

/** Marks of overlayfs are ours to set: an archive's would hide or redirect what lower layers have. */
export function isOverlayMark(xattr: Uint8Array): boolean {
  const name = printPath(xattr);
  return name.startsWith("trusted.overlay.") || name.startsWith("user.overlay.");
}
