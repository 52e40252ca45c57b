/** What an archive keeps of a file: the fields of statx(2), read from the kernel's structure. */

import { ELOOP, ENOENT, ENOTDIR } from "../sys/abi-errno.ts";
import { check, errnoOf } from "../sys/check.ts";
import type { Fd, Sys } from "../sys/types.ts";

const STATX_BYTES = 256;
const STATX_BASIC_STATS = 0x7ff;

export type FileStat = {
  /** With the bits of S_IFMT. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly size: number;
  /** Bytes on the disk: fewer than the size where there are holes. */
  readonly stored: number;
  readonly mtime: number;
  readonly mtimeNs: number;
  readonly major: number;
  readonly minor: number;
  /** Names the file among all that are mounted; empty where it has one name only. */
  readonly identity: string;
};

/** What a name answers that is not there any more, or not as what it was. */
export function isGone(errno: number): boolean {
  return errno === ENOENT || errno === ENOTDIR || errno === ELOOP;
}

/** Undefined where there is nothing of that name. The offsets are those of the man page. */
export function tryFileStat(
  sys: Sys,
  at: Fd,
  name: string | Uint8Array,
  flags: number,
): FileStat | undefined {
  const bytes = new Uint8Array(STATX_BYTES);
  const ret = sys.statx(at, name, flags, STATX_BASIC_STATS, bytes);
  if (isGone(errnoOf(ret))) return undefined;
  check(ret, "statx", name);
  const view = new DataView(bytes.buffer);
  const links = view.getUint32(16, true);
  return {
    mode: view.getUint16(28, true),
    uid: view.getUint32(20, true),
    gid: view.getUint32(24, true),
    links,
    size: Number(view.getBigUint64(40, true)),
    stored: Number(view.getBigUint64(48, true)) * 512,
    mtime: Number(view.getBigInt64(112, true)),
    mtimeNs: view.getUint32(120, true),
    major: view.getUint32(128, true),
    minor: view.getUint32(132, true),
    identity: links > 1 ? identityOf(view) : "",
  };
}

/** Device and inode. */
function identityOf(view: DataView): string {
  const device = `${view.getUint32(136, true)}:${view.getUint32(140, true)}`;
  return `${device}:${view.getBigUint64(32, true)}`;
}
