/** Whole small files by descriptor: read with a limit, written whole, replaced in one step. */

import { TareError } from "@tare/spec/error.ts";
import { EAGAIN, EINTR, ENOENT } from "./abi-errno.ts";
import {
  AT_FDCWD,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
} from "./abi-file.ts";
import { check, errnoOf } from "./check.ts";
import type { Fd, Ret, Sys } from "./types.ts";

/** Most files of ours and of the kernel fit in; what is larger is read in four times as much. */
const CHUNK_BYTES = 8 * 1024;

/** Repeats a call that a signal interrupted (EINTR): the one place that does. */
export function retried<T>(call: () => Ret<T>): Ret<T> {
  for (;;) {
    const ret = call();
    if (errnoOf(ret) !== EINTR) return ret;
  }
}

/** openat2(2); EAGAIN means that a rename raced with the look-up (openat2(2), "ERRORS"): tried again. */
export function openAt(
  sys: Sys,
  dirfd: Fd,
  path: string | Uint8Array,
  flags: number,
  resolve: number,
  mode = 0,
): Ret<Fd> {
  const TRIES_MAX = 128;
  for (let tries = 1; ; tries++) {
    const ret = sys.openat2(dirfd, path, flags | O_CLOEXEC, mode, resolve);
    const errno = errnoOf(ret);
    if ((errno !== EAGAIN && errno !== EINTR) || tries === TRIES_MAX) return ret;
  }
}

/** All bytes up to the end of a descriptor; more than `bytesMax` is an error that names `what`. */
export function readAll(sys: Sys, fd: Fd, what: string, bytesMax: number): Uint8Array {
  let buffer = new Uint8Array(Math.min(CHUNK_BYTES, bytesMax + 1));
  let length = 0;
  for (;;) {
    const count = check(
      retried(() => sys.read(fd, buffer.subarray(length))),
      "read",
      what,
    );
    if (count === 0) return buffer.subarray(0, length);
    length += count;
    if (length > bytesMax) {
      throw new TareError(
        "bad_input",
        `Cannot read "${what}": it is larger than ${bytesMax} bytes`,
      );
    }
    if (length === buffer.length) {
      const larger = new Uint8Array(Math.min(buffer.length * 4, bytesMax + 1));
      larger.set(buffer);
      buffer = larger;
    }
  }
}

/** The text of a file of ours or of the kernel; undefined where there is none. */
export function readTextAt(
  sys: Sys,
  dirfd: Fd,
  path: string,
  bytesMax: number,
): string | undefined {
  const ret = openAt(sys, dirfd, path, O_RDONLY, 0);
  if (errnoOf(ret) === ENOENT) return undefined;
  const fd = check(ret, "openat2", path);
  try {
    return decodeText(sys, readAll(sys, fd, path, bytesMax), path);
  } finally {
    sys.close(fd);
  }
}

export function readText(sys: Sys, path: string, bytesMax: number): string | undefined {
  return readTextAt(sys, AT_FDCWD, path, bytesMax);
}

export function decodeText(sys: Sys, bytes: Uint8Array, what: string): string {
  const text = sys.decode_utf8(bytes);
  if (text === null) throw new TareError("bad_input", `Cannot read "${what}": it is not UTF-8`);
  return text;
}

export function writeAll(sys: Sys, fd: Fd, bytes: Uint8Array, what: string): void {
  let rest = bytes;
  while (rest.length > 0) {
    const from = rest;
    rest = rest.subarray(
      check(
        retried(() => sys.write(fd, from)),
        "write",
        what,
      ),
    );
  }
}

/** Writes a text in one write(2), as kernel files want it. */
export function writeTextAt(
  sys: Sys,
  dirfd: Fd,
  path: string,
  text: string,
  resolve: number,
): void {
  const fd = check(openAt(sys, dirfd, path, O_WRONLY, resolve), "openat2", path);
  try {
    check(
      retried(() => sys.write(fd, sys.encode_utf8(text))),
      "write",
      path,
    );
  } finally {
    sys.close(fd);
  }
}

/** Replaces a file in one step: written aside, then renamed over the old one. */
export function replaceTextAt(sys: Sys, dirfd: Fd, path: string, text: string, mode: number): void {
  const aside = `${path}.new`;
  sys.unlinkat(dirfd, aside, 0);
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  const fd = check(openAt(sys, dirfd, aside, flags, 0, mode), "openat2", aside);
  try {
    writeAll(sys, fd, sys.encode_utf8(text), aside);
  } finally {
    sys.close(fd);
  }
  check(sys.renameat2(dirfd, aside, dirfd, path, 0), "rename", path);
}
