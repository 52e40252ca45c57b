/** Moves bytes from one descriptor to another through one bounded buffer. */

import { EAGAIN } from "../sys/abi-errno.ts";
import { POLLIN, POLLOUT } from "../sys/abi-socket.ts";
import { check, errnoOf } from "../sys/check.ts";
import { retried } from "../sys/file.ts";
import type { Fd, Sys } from "../sys/types.ts";

const BUFFER_BYTES = 32 * 1024;
/** PIPE_BUF: what poll(2) calls writable takes so much without waiting, so signals go on meanwhile. */
const WRITE_BYTES_MAX = 4096;

type AtEnd = (last: number | undefined) => Uint8Array;

const nothing: AtEnd = () => new Uint8Array(0);

export class Pump {
  readonly #sys: Sys;
  readonly from: Fd;
  readonly to: Fd;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  /** What is written once where the source ends; `last` is the byte before it, if there was one. */
  readonly #atEnd: AtEnd;
  #held: Uint8Array = this.#buffer.subarray(0, 0);
  #last: number | undefined;
  #ended = false;

  constructor(sys: Sys, from: Fd, to: Fd, atEnd = nothing) {
    this.#sys = sys;
    this.from = from;
    this.to = to;
    this.#atEnd = atEnd;
  }

  get wantsRead(): boolean {
    return !this.#ended && this.#held.length === 0;
  }

  get wantsWrite(): boolean {
    return this.#held.length > 0;
  }

  /** One read and one write, as far as they go without waiting. */
  move(): void {
    if (this.wantsRead) this.#read();
    if (this.wantsWrite) this.#write();
  }

  /** What is still there when the container ended: a terminal answers EIO at its end. */
  drain(): void {
    while (!this.#ended) {
      if (this.wantsWrite) this.#writeWhenReady();
      else if (!this.#isReadable()) return;
      else this.#read();
    }
  }

  #isReadable(): boolean {
    const set = Int32Array.of(this.from, POLLIN, 0);
    return (
      check(
        retried(() => this.#sys.poll(set, 0)),
        "poll",
      ) > 0 && (set[2] ?? 0) !== 0
    );
  }

  #read(): void {
    const ret = retried(() => this.#sys.read(this.from, this.#buffer));
    if (errnoOf(ret) === EAGAIN) return;
    const length = errnoOf(ret) === 0 ? check(ret, "read") : 0;
    this.#ended = length === 0;
    if (length > 0) this.#last = this.#buffer[length - 1];
    const isEnd = errnoOf(ret) === 0 && length === 0;
    this.#held = isEnd ? this.#atEnd(this.#last) : this.#buffer.subarray(0, length);
  }

  #writeWhenReady(): void {
    const set = Int32Array.of(this.to, POLLOUT, 0);
    check(
      retried(() => this.#sys.poll(set, -1)),
      "poll",
    );
    this.#write();
  }

  #write(): void {
    const part = this.#held.subarray(0, WRITE_BYTES_MAX);
    const ret = retried(() => this.#sys.write(this.to, part));
    if (errnoOf(ret) === EAGAIN) return;
    if (errnoOf(ret) !== 0) {
      // Nobody takes it any more: it is dropped, as a closed terminal drops it.
      this.#ended = true;
      this.#held = this.#buffer.subarray(0, 0);
      return;
    }
    this.#held = this.#held.subarray(check(ret, "write"));
  }
}
