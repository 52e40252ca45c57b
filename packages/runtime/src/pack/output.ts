/**
 * Where an archive goes: headers and small files are gathered in a buffer, the content of larger
 * files the kernel moves by itself.
 */

import { EBADF, EINVAL, ENOSYS, EOPNOTSUPP, EXDEV } from "../sys/abi-errno.ts";
import { AT_EMPTY_PATH, F_GETFL, O_APPEND, S_IFMT, S_IFREG } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { retried, writeAll } from "../sys/file.ts";
import type { Fd, Ret, Sys } from "../sys/types.ts";
import { tryFileStat } from "./file-stat.ts";

const BUFFER_BYTES = 256 * 1024;
/** Larger files do not go through the buffer. */
const SMALL_BYTES = 64 * 1024;
const MOVED_BYTES = 16 * 1024 * 1024;
const SEEK_SET = 0;
const SEEK_CUR = 1;
const TARGET = "the archive";

export class Output {
  readonly #sys: Sys;
  readonly #fd: Fd;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #length = 0;
  /** The calls that may do it, best first; one that cannot is not tried again. */
  #movers: readonly Mover[];
  /** An empty regular file, in which holes can be left. */
  readonly #seeks: boolean;
  #endsInHole = false;

  constructor(sys: Sys, fd: Fd) {
    this.#sys = sys;
    this.#fd = fd;
    this.#movers = [sys.copy_file_range, (from, to, length) => sys.splice(from, to, length, 0)];
    this.#seeks = isEmptyFile(sys, fd);
  }

  /** Bytes of the script. */
  bytes(bytes: Uint8Array): void {
    if (this.#length + bytes.length > BUFFER_BYTES) this.#flush();
    if (bytes.length > BUFFER_BYTES) return this.#write(bytes);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** `length` bytes of a file from where it stands; what it lacks by now is zeros. */
  content(from: Fd, length: number): void {
    const missing = length <= SMALL_BYTES ? this.#read(from, length) : this.#move(from, length);
    this.zeros(missing);
  }

  zeros(length: number): void {
    if (length <= SMALL_BYTES) return this.bytes(new Uint8Array(length));
    this.#flush();
    if (this.#seeks) {
      check(this.#sys.lseek(this.#fd, length, SEEK_CUR), "lseek", TARGET);
      this.#endsInHole = true;
      return;
    }
    const none = new Uint8Array(SMALL_BYTES);
    for (let left = length; left > 0; left -= none.length) {
      this.#write(none.subarray(0, Math.min(left, none.length)));
    }
  }

  /** Writes what is left. */
  end(): void {
    this.#flush();
    if (!this.#endsInHole) return;
    const length = check(this.#sys.lseek(this.#fd, 0, SEEK_CUR), "lseek", TARGET);
    check(this.#sys.ftruncate(this.#fd, length), "ftruncate", TARGET);
  }

  #flush(): void {
    if (this.#length === 0) return;
    this.#write(this.#buffer.subarray(0, this.#length));
    this.#length = 0;
  }

  #write(bytes: Uint8Array): void {
    writeAll(this.#sys, this.#fd, bytes, TARGET);
    this.#endsInHole = false;
  }

  /** Answers how many bytes the file lacked. */
  #read(from: Fd, length: number): number {
    if (this.#length + length > BUFFER_BYTES) this.#flush();
    const end = this.#length + length;
    while (this.#length < end) {
      const into = this.#buffer.subarray(this.#length, end);
      const count = check(
        retried(() => this.#sys.read(from, into)),
        "read",
        "a file",
      );
      if (count === 0) break;
      this.#length += count;
    }
    return end - this.#length;
  }

  #move(from: Fd, length: number): number {
    this.#flush();
    this.#endsInHole = false;
    let left = length;
    while (left > 0) {
      const count = this.#moveSome(from, Math.min(left, MOVED_BYTES));
      if (count === 0) break;
      left -= count;
    }
    return left;
  }

  #moveSome(from: Fd, length: number): number {
    for (const mover of this.#movers) {
      const ret = retried(() => mover(from, this.#fd, length));
      const errno = errnoOf(ret);
      if (errno === 0) return check(ret, "copy", TARGET);
      if (!CANNOT.has(errno)) check(ret, "write", TARGET);
      this.#movers = this.#movers.slice(1);
    }
    const count = this.#read(from, Math.min(length, SMALL_BYTES));
    const read = Math.min(length, SMALL_BYTES) - count;
    this.#flush();
    return read;
  }
}

type Mover = (from: Fd, to: Fd, length: number) => Ret<number>;

/** Not between these two; EBADF is said of a file for appending. */
const CANNOT: ReadonlySet<number> = new Set([EBADF, EXDEV, EINVAL, ENOSYS, EOPNOTSUPP]);

/** Where a file is only ever written at its end, leaving a hole leaves nothing. */
function isEmptyFile(sys: Sys, fd: Fd): boolean {
  const stat = tryFileStat(sys, fd, "", AT_EMPTY_PATH);
  if (stat === undefined || (stat.mode & S_IFMT) !== S_IFREG || stat.size > 0) return false;
  return (check(sys.fcntl(fd, F_GETFL, 0), "fcntl", TARGET) & O_APPEND) === 0;
}

/** Moves a file to a place in it. */
export function seekTo(sys: Sys, fd: Fd, offset: number): void {
  check(sys.lseek(fd, offset, SEEK_SET), "lseek", "a file");
}
