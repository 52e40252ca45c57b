/**
 * Cgroup directories by descriptor: every one is reached from a mountpoint whose file system was
 * checked, and no link and no other mount below it is followed.
 */

import { TareError } from "@tare/spec/error.ts";
import { EEXIST, ENODEV, ENOENT, ENOTDIR, EOPNOTSUPP } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { entriesOf } from "../sys/directory.ts";
import { decodeText, openAt, readAll, retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Ret, Sys } from "../sys/types.ts";

/** linux/magic.h */
const CGROUP_SUPER_MAGIC = 0x27e0eb;
const CGROUP2_SUPER_MAGIC = 0x63677270;

const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
const DIRECTORY = O_PATH | O_DIRECTORY;
const CGROUP_MODE = 0o755;
/** statx(2): the size of the structure, the mask and the offset of `stx_nlink`. */
const STATX_BYTES = 256;
const STATX_NLINK = 4;
const STATX_NLINK_AT = 16;

const BYTES_MAX = 4 * 1024 * 1024;

/** Where a cgroup is: what plans and states have in common. */
export type CgroupPlace = {
  readonly version: 1 | 2;
  readonly mountpoint: string;
  readonly path: string | readonly string[];
};

/**
 * The mountpoint of a hierarchy, as a descriptor for look-ups.
 * @throws TareError `no_cgroup` where something else is mounted there.
 */
export function openMount(sys: Sys, { version, mountpoint }: CgroupPlace): OwnedFd {
  const ret = openAt(sys, AT_FDCWD, mountpoint, DIRECTORY, 0);
  const mount = new OwnedFd(sys, check(ret, "openat2", mountpoint));
  const type = sys.fstatfs_type(mount.fd);
  if (errnoOf(type) !== 0) mount.close();
  const magic = check(type, "fstatfs", mountpoint);
  if (magic === (version === 1 ? CGROUP_SUPER_MAGIC : CGROUP2_SUPER_MAGIC)) return mount;
  mount.close();
  const found = `its file system is 0x${magic.toString(16)}`;
  throw new TareError("no_cgroup", `Cannot use "${mountpoint}" as cgroup v${version}: ${found}`);
}

/** The cgroup itself; undefined where it is gone. */
export function openCgroup(sys: Sys, place: CgroupPlace): OwnedFd | undefined {
  using mount = openMount(sys, place);
  const path = pathOf(place);
  const ret = openBelow(sys, mount.fd, path, DIRECTORY);
  if (isGone(errnoOf(ret))) return undefined;
  return new OwnedFd(sys, check(ret, "openat2", `${place.mountpoint}/${path}`));
}

export function pathOf({ path }: CgroupPlace): string {
  return typeof path === "string" ? path : path.join("/");
}

/** openat2(2) below a cgroup: for a file in it, or for a cgroup under it. */
export function openBelow(sys: Sys, dir: Fd, path: string | Uint8Array, flags: number): Ret<Fd> {
  return openAt(sys, dir, path, flags, RESOLVE);
}

/** A cgroup under another, made where there is none; one that cannot be opened is not left behind. */
export function makeChild(
  sys: Sys,
  parent: Fd,
  name: string,
): { readonly fd: OwnedFd; readonly made: boolean } {
  const ret = sys.mkdirat(parent, name, CGROUP_MODE);
  const made = errnoOf(ret) !== EEXIST;
  if (made) check(ret, "mkdirat", name);
  const opened = openBelow(sys, parent, name, DIRECTORY);
  if (made && errnoOf(opened) !== 0) {
    const remove = () => sys.unlinkat(parent, name, AT_REMOVEDIR);
    // Nobody else knows that it is ours: once more, for what passes.
    if (errnoOf(remove()) !== 0) remove();
  }
  return { fd: new OwnedFd(sys, check(opened, "openat2", name)), made };
}

/** ENODEV is the answer of a file of a cgroup that was removed after it was opened. */
export function isGone(errno: number): boolean {
  return errno === ENOENT || errno === ENODEV;
}

/** The text of a control file; undefined where the file or the cgroup is gone. */
export function readControl(sys: Sys, dir: Fd, file: string): string | undefined {
  return readUnless(sys, dir, file, isGone);
}

/** Nearly every control file fits in; one for all reads, for a container's start reads several. */
const SCRATCH = new Uint8Array(4096);

function readUnless(
  sys: Sys,
  dir: Fd,
  file: string,
  expected: (errno: number) => boolean,
): string | undefined {
  const opened = openBelow(sys, dir, file, O_RDONLY);
  if (expected(errnoOf(opened))) return undefined;
  const fd = check(opened, "openat2", file);
  try {
    const first = retried(() => sys.pread(fd, SCRATCH, 0));
    if (expected(errnoOf(first))) return undefined;
    const length = check(first, "pread", file);
    const isWhole = length < SCRATCH.length;
    const bytes = isWhole ? SCRATCH.subarray(0, length) : readAll(sys, fd, file, BYTES_MAX);
    return decodeText(sys, bytes, file);
  } finally {
    sys.close(fd);
  }
}

/** One write(2) to a control file, as the kernel wants it; the answer is the errno, 0 for success. */
export function writeControl(sys: Sys, dir: Fd, file: string, value: string): number {
  return writeLines(sys, dir, file, [value]).errno;
}

/**
 * Several values to one control file, a write(2) each, until one is refused: the answer says how many
 * were taken, and the errno, 0 for success.
 */
export function writeLines(
  sys: Sys,
  dir: Fd,
  file: string,
  values: readonly string[],
): { readonly taken: number; readonly errno: number } {
  const ret = openBelow(sys, dir, file, O_WRONLY);
  if (errnoOf(ret) !== 0) return { taken: 0, errno: errnoOf(ret) };
  const fd = check(ret, "openat2", file);
  let taken = 0;
  let errno = 0;
  for (const value of values) {
    const bytes = sys.encode_utf8(value);
    errno = errnoOf(retried(() => sys.write(fd, bytes)));
    if (errno !== 0) break;
    taken++;
  }
  sys.close(fd);
  return { taken, errno };
}

/**
 * The processes in one cgroup, sub-cgroups not counted. Those of another pid namespace have no
 * number here: the kernel says 0, which kill(2) would take for our own process group.
 */
export function readProcs(sys: Sys, dir: Fd): number[] {
  const lines = readProcsText(sys, dir).split("\n");
  const pids = lines.filter((line) => line !== "").map(Number);
  return pids.filter((pid) => Number.isInteger(pid) && pid > 0);
}

/** Whether a cgroup has any process, also one without a number here. */
export function hasProcs(sys: Sys, dir: Fd): boolean {
  return readProcsText(sys, dir) !== "";
}

/** A threaded cgroup of v2 has no list of processes (EOPNOTSUPP), but one of threads. */
function readProcsText(sys: Sys, dir: Fd): string {
  const expected = (errno: number): boolean => isGone(errno) || errno === EOPNOTSUPP;
  const procs = readUnless(sys, dir, "cgroup.procs", expected);
  return procs ?? readControl(sys, dir, "cgroup.threads") ?? "";
}

type Level = { readonly dir: OwnedFd; readonly name: Uint8Array; readonly names: Uint8Array[] };

/** A container may nest cgroups as it likes; each level costs us a descriptor. */
const DEPTH_MAX = 512;

/**
 * Every cgroup under one, the deepest first. Names are bytes: a container may have given them.
 * @throws TareError `unsupported` where they are nested too deep.
 */
export function walkBelow(
  sys: Sys,
  root: Fd,
  leave: (parent: Fd, name: Uint8Array, dir: Fd) => void,
): void {
  const levels: Level[] = [];
  using opened = new DisposableStack();
  let names = namesIn(sys, root);
  for (;;) {
    const at = levels.at(-1);
    const here = at?.dir.fd ?? root;
    const name = names.pop();
    if (name !== undefined) {
      const ret = openBelow(sys, here, name, DIRECTORY);
      if (errnoOf(ret) === ENOTDIR || isGone(errnoOf(ret))) continue;
      const dir = opened.use(new OwnedFd(sys, check(ret, "openat2", name)));
      if (levels.length === DEPTH_MAX) throw tooDeep();
      levels.push({ dir, name, names });
      names = namesIn(sys, dir.fd);
    } else if (at !== undefined) {
      levels.pop();
      leave(levels.at(-1)?.dir.fd ?? root, at.name, at.dir.fd);
      at.dir.close();
      names = at.names;
    } else return;
  }
}

function namesIn(sys: Sys, dir: Fd): Uint8Array[] {
  if (!hasChildren(sys, dir)) return [];
  const ret = openBelow(sys, dir, ".", O_RDONLY | O_DIRECTORY);
  if (isGone(errnoOf(ret))) return [];
  using fd = new OwnedFd(sys, check(ret, "openat2", "."));
  return entriesOf(sys, fd.fd);
}

/** A directory has two links and one for each directory in it: cheaper than to list the files. */
function hasChildren(sys: Sys, dir: Fd): boolean {
  const stat = new Uint8Array(STATX_BYTES);
  check(sys.statx(dir, "", AT_EMPTY_PATH, STATX_NLINK, stat), "statx");
  return new DataView(stat.buffer).getUint32(STATX_NLINK_AT, true) > 2;
}

function tooDeep(): TareError {
  const message = `Cannot walk the cgroups of a container: they are nested deeper than ${DEPTH_MAX}`;
  return new TareError("unsupported", message);
}
