/**
 * The times that directories are to get once nothing is written into them any more: in one block of
 * memory, since a layer may have a hundred thousand of them and a hostile one as many as it likes.
 */

import { TareError } from "@tare/spec/error.ts";

/** Of all paths together, with 16 bytes more for each. */
const BYTES_MAX = 64 * 1024 * 1024;
const FIRST_BYTES = 64 * 1024;
/** Seconds as a double, nanoseconds, length of the path; then the path. */
const HEAD_BYTES = 16;

export type DirectoryTime = {
  /** From the root down, without a slash at the start; "." is the root. */
  readonly path: Uint8Array;
  readonly mtime: number;
  readonly mtimeNs: number;
};

export class DirectoryTimes {
  #bytes = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #end = 0;

  /** @throws TareError `corrupt` where there are too many. */
  add({ path, mtime, mtimeNs }: DirectoryTime): void {
    const size = HEAD_BYTES + path.length;
    if (this.#end + size > this.#bytes.length) this.#grow(size);
    this.#view.setFloat64(this.#end, mtime);
    this.#view.setUint32(this.#end + 8, mtimeNs);
    this.#view.setUint32(this.#end + 12, path.length);
    this.#bytes.set(path, this.#end + HEAD_BYTES);
    this.#end += size;
  }

  /** All, in the order they came. */
  *all(): Generator<DirectoryTime> {
    for (let at = 0; at < this.#end; ) {
      const start = at + HEAD_BYTES;
      const end = start + this.#view.getUint32(at + 12);
      const path = this.#bytes.subarray(start, end);
      const mtime = this.#view.getFloat64(at);
      yield { path, mtime, mtimeNs: this.#view.getUint32(at + 8) };
      at = end;
    }
  }

  #grow(size: number): void {
    const length = Math.max(this.#bytes.length * 2, this.#end + size);
    if (this.#end + size > BYTES_MAX) {
      throw new TareError("corrupt", "Cannot unpack the layer: it has too many directories");
    }
    const larger = new Uint8Array(Math.min(length, BYTES_MAX));
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
