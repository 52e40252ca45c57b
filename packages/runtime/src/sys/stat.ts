/** The fields of statx(2) that we look at, read from the kernel's structure. */

import { AT_EMPTY_PATH, S_IFCHR, S_IFMT } from "./abi-file.ts";
import { check } from "./check.ts";
import type { Fd, Sys } from "./types.ts";

const STATX_BYTES = 256;
const STATX_BASIC_STATS = 0x7ff;

export type Stat = {
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly ino: bigint;
  readonly size: bigint;
  /** Seconds since 1970, perhaps negative, and nanoseconds from there. */
  readonly mtime: number;
  readonly mtimeNs: number;
  /** Of a device node. */
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** Of the file system that holds the file. */
  readonly devMajor: number;
  readonly devMinor: number;
};

/** What becomes another text when a file is exchanged or changed: its file system, number, size and ctime. */
export function versionOf(sys: Sys, fd: Fd, path: string): string {
  const bytes = new Uint8Array(STATX_BYTES);
  check(sys.statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, bytes), "statx", path);
  const view = new DataView(bytes.buffer);
  const [ino, size, seconds] = [32, 40, 96].map((offset) => view.getBigUint64(offset, true));
  const [nanoseconds, major, minor] = [104, 136, 140].map((offset) => view.getUint32(offset, true));
  return `${major}:${minor} ${ino} ${size} ${seconds}.${nanoseconds}`;
}

/** statx(2) by a directory and a name; `flags` as AT_EMPTY_PATH. The offsets are those of the man page. */
export function statAt(sys: Sys, dirfd: Fd, path: string | Uint8Array, flags: number): Stat {
  const bytes = new Uint8Array(STATX_BYTES);
  check(sys.statx(dirfd, path, flags, STATX_BASIC_STATS, bytes), "statx", path);
  const view = new DataView(bytes.buffer);
  return {
    mode: view.getUint16(28, true),
    nlink: view.getUint32(16, true),
    uid: view.getUint32(20, true),
    gid: view.getUint32(24, true),
    ino: view.getBigUint64(32, true),
    size: view.getBigUint64(40, true),
    mtime: Number(view.getBigInt64(112, true)),
    mtimeNs: view.getUint32(120, true),
    rdevMajor: view.getUint32(128, true),
    rdevMinor: view.getUint32(132, true),
    devMajor: view.getUint32(136, true),
    devMinor: view.getUint32(140, true),
  };
}

/** Whether a descriptor is of the null device, by type and number: a name or a link proves nothing. */
export function isNullDevice(sys: Sys, fd: Fd): boolean {
  const { mode, rdevMajor, rdevMinor } = statAt(sys, fd, "", AT_EMPTY_PATH);
  return (mode & S_IFMT) === S_IFCHR && rdevMajor === 1 && rdevMinor === 3;
}
