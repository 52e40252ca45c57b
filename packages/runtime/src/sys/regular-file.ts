/**
 * Opens a file for reading that somebody else may exchange for another. To open a device or a fifo is
 * already to use it, and to look at its kind first by name proves nothing: so the name is pinned
 * without being opened (open(2), "O_PATH"), and what is pinned is opened only if it is a regular file.
 */

import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  S_IFMT,
  S_IFREG,
} from "./abi-file.ts";
import { check, errnoOf } from "./check.ts";
import { openAt } from "./file.ts";
import { OwnedFd } from "./owned-fd.ts";
import { statAt } from "./stat.ts";
import type { Fd, Ret, Sys } from "./types.ts";

/** openat2(2) for reading; undefined where the name is of no regular file, and then nothing was opened. */
export function openRegular(
  sys: Sys,
  at: Fd,
  name: string | Uint8Array,
  resolve: number,
): Ret<Fd> | undefined {
  const found = openAt(sys, at, name, O_PATH | O_NOFOLLOW, resolve);
  if (errnoOf(found) !== 0) return found;
  using pinned = new OwnedFd(sys, check(found, "openat2", name));
  if ((statAt(sys, pinned.fd, "", AT_EMPTY_PATH).mode & S_IFMT) !== S_IFREG) return undefined;
  return openAt(sys, AT_FDCWD, `/proc/self/fd/${pinned.fd}`, O_RDONLY | O_NONBLOCK, 0);
}
