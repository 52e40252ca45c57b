/** Ends an exchange that has stopped moving, or that only drips. */

/** What must come in each stall time of waiting: a server that drips would hold us for ever. */
const STALL_BYTES_MIN = 1024;
/** After the last byte that we sent: a registry then hashes and moves what may be gigabytes. */
const LAST_ANSWER_MS = 300_000;

export class Watch {
  readonly #stop = new AbortController();
  readonly #stallMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #moved = 0;
  #waitedMs = 0;
  /** The caller's. */
  readonly outer: AbortSignal | undefined;
  /** Of the exchange: the caller's, or ours. */
  readonly signal: AbortSignal;
  /** We have given up. */
  stalled = false;

  constructor(stallMs: number, outer: AbortSignal | undefined) {
    this.#stallMs = stallMs;
    this.outer = outer;
    this.signal =
      outer === undefined ? this.#stop.signal : AbortSignal.any([outer, this.#stop.signal]);
  }

  /** Gives up after that time, unless something is said in between. */
  expect(ms: number): void {
    this.end();
    this.#timer = setTimeout(() => this.#giveUp(), ms);
  }

  /** Waits for some bytes; all that was waited since the last kilobyte counts. */
  async during<T>(wait: () => Promise<T>): Promise<T> {
    const began = performance.now();
    this.expect(Math.max(0, this.#stallMs - this.#waitedMs));
    try {
      return await wait();
    } finally {
      this.end();
      this.#waitedMs += performance.now() - began;
    }
  }

  /** Bytes have come. Answers true. */
  moved(bytes: number): true {
    this.#moved += bytes;
    if (this.#moved >= STALL_BYTES_MIN) {
      this.#moved = 0;
      this.#waitedMs = 0;
    }
    return true;
  }

  /** A body on its way out, each piece of which has to be taken in time. */
  sending<B>(body: B | ReadableStream<Uint8Array>): B | ReadableStream<Uint8Array> {
    if (!(body instanceof ReadableStream)) return body;
    const reader = body.getReader();
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        this.end();
        const { value, done } = await reader.read();
        this.expect(done ? LAST_ANSWER_MS : this.#stallMs);
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    });
  }

  /** Wants nothing more for now. */
  end(): void {
    clearTimeout(this.#timer);
  }

  abort(): void {
    this.end();
    this.#stop.abort();
  }

  #giveUp(): void {
    this.stalled = true;
    this.#stop.abort();
  }
}
