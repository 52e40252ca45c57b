/**
 * The bytes of a blob: taken up again where a connection was cut, from the next place where one gave up,
 * and never one byte more than was promised. That they hash to what was named is checked by who keeps them.
 * Source: distribution-spec 1.1, "Pulling blobs"; RFC 9110, 14.
 */
import { TareError } from "@tare/spec/error.ts";
import { isForeignLayer } from "@tare/spec/media-type.ts";
import type { Descriptor } from "@tare/spec/oci-image.ts";
import { checkDigest } from "../image/blob.ts";
import { digestOf } from "../image/digest.ts";
import { waitMs } from "./back-off.ts";
import { checkAllowed } from "./endpoints.ts";
import { refusal } from "./failure.ts";
import type { Session } from "./session.ts";
import { Transient } from "./transient.ts";
import type { Answer } from "./transport.ts";

/** A connection that brought as much was worth it: failures are counted anew. */
const PROGRESS_BYTES = 1024 * 1024;

export type DownloadOptions = {
  readonly signal: AbortSignal;
  /** Bytes that the caller has from before. */
  readonly from?: number;
  /** Bytes there so far. */
  readonly onProgress?: (bytes: number) => void;
  /** One of several places failed; the next one goes on. */
  readonly onFailure?: (session: Session, error: TareError) => void;
};

/**
 * Streams the blob from the first of the sessions that has it.
 * @throws TareError `corrupt` where there are more or fewer bytes; `not_found`, `no_permission`, `system`
 */
export async function* blobBytes(
  sessions: readonly Session[],
  blob: Descriptor,
  options: DownloadOptions,
): AsyncGenerator<Uint8Array> {
  const transfer = new Transfer(blob, options);
  for (const [index, session] of sessions.entries()) {
    try {
      yield* from(session, blob, transfer, options);
      return;
    } catch (error) {
      const isLast = index === sessions.length - 1;
      if (isLast || !(error instanceof TareError) || options.signal.aborted) throw error;
      options.onFailure?.(session, error);
    }
  }
}

/**
 * The bytes of a small blob, checked.
 * @throws TareError `corrupt`, also where the descriptor promises more than `bytesMax`
 */
export async function readBlob(
  sessions: readonly Session[],
  blob: Descriptor,
  bytesMax: number,
  options: DownloadOptions,
): Promise<Uint8Array> {
  if (blob.size > bytesMax) {
    throw new TareError("corrupt", `Cannot read blob "${blob.digest}": it has ${blob.size} bytes`);
  }
  const pieces: Uint8Array[] = [];
  for await (const chunk of blobBytes(sessions, blob, options)) pieces.push(chunk.slice());
  const bytes = Buffer.concat(pieces);
  checkDigest(digestOf(bytes), blob.digest, "blob");
  return bytes;
}

/** The bytes that are still missing, from one place. */
async function* from(
  session: Session,
  blob: Descriptor,
  transfer: Transfer,
  options: DownloadOptions,
): AsyncGenerator<Uint8Array> {
  const { timing } = session.client;
  for (let failures = 0; !transfer.whole; ) {
    const before = transfer.at;
    try {
      yield* transfer.receive(await ask(session, blob, transfer.at, options.signal));
    } catch (error) {
      if (!(error instanceof Transient)) throw error;
      failures = transfer.at - before >= PROGRESS_BYTES ? 1 : failures + 1;
      if (failures > session.retries) throw error.error;
      const wait = waitMs(failures, timing.random(), error.retryAfterMs);
      await timing.sleep(wait, options.signal);
    }
  }
}

/** From the repository; a layer that registries must not have, from where its descriptor says. */
async function ask(
  session: Session,
  blob: Descriptor,
  at: number,
  signal: AbortSignal,
): Promise<Answer> {
  const headers = at === 0 ? {} : { Range: `bytes=${at}-` };
  const to = session.path(`blobs/${blob.digest}`);
  const answer = await session.send({ method: "GET", to, headers, signal });
  if (answer.status !== 404 || !isForeignLayer(blob.mediaType)) return answer;
  const url = blob.urls.find((each) => URL.canParse(each) && new URL(each).protocol === "https:");
  if (url === undefined) return answer;
  answer.body.cancel();
  // A stranger's address: no password, no certificate that does not hold.
  const { transport, settings } = session.client;
  checkAllowed(settings, new URL(url).host);
  return await transport.send({
    method: "GET",
    url: new URL(url),
    headers,
    insecure: false,
    signal,
  });
}

class Transfer {
  readonly #blob: Descriptor;
  readonly #options: DownloadOptions;
  /** Bytes that were handed on. */
  at: number;

  constructor(blob: Descriptor, options: DownloadOptions) {
    this.#blob = blob;
    this.#options = options;
    this.at = options.from ?? 0;
  }

  get whole(): boolean {
    return this.at === this.#blob.size;
  }

  /** Hands an answer's body on. @throws Transient where it ended too early */
  async *receive(answer: Answer): AsyncGenerator<Uint8Array> {
    // A server that knows no ranges begins anew: what we have is passed over.
    let skip = await this.#checkStatus(answer);
    for await (const chunk of answer.body.chunks()) {
      const fresh = chunk.subarray(Math.min(skip, chunk.length));
      skip -= chunk.length - fresh.length;
      if (this.at + fresh.length > this.#blob.size) throw this.#wrongSize("more");
      if (fresh.length === 0) continue;
      this.at += fresh.length;
      this.#options.onProgress?.(this.at);
      yield fresh;
    }
    if (!this.whole) throw new Transient(this.#wrongSize("fewer"));
  }

  /** Answers how many bytes are to be passed over. */
  async #checkStatus(answer: Answer): Promise<number> {
    const { status, headers } = answer;
    if (status !== 200 && status !== 206) {
      throw await refusal(`Cannot fetch blob "${this.#blob.digest}"`, answer);
    }
    const from = status === 206 ? rangeStart(headers.get("content-range"), this.#blob.size) : 0;
    const length = headers.get("content-length");
    const promised = length === null ? undefined : from + Number(length);
    if (from > this.at || (promised !== undefined && promised !== this.#blob.size)) {
      answer.body.cancel();
      throw this.#wrongSize(promised === undefined ? "others" : `${promised} in all`);
    }
    return this.at - from;
  }

  #wrongSize(got: string): TareError {
    const { digest, size } = this.#blob;
    return new TareError("corrupt", `Cannot use blob "${digest}": want ${size} bytes, got ${got}`);
  }
}

/** The first byte of `bytes 5-9/10`; a number that is too large where it is of another form or size. */
function rangeStart(text: string | null, size: number): number {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(text?.trim() ?? "");
  const isOfSize = match !== null && (match[3] === "*" || Number(match[3]) === size);
  return isOfSize ? Number(match[1]) : Number.MAX_SAFE_INTEGER;
}
