/**
 * Puts blobs into a repository: not at all where it has them, from a repository beside it by a mount,
 * else as bytes; small ones at once, large ones in a stream that is taken up again where it was cut.
 * Source: distribution-spec 1.1, "Pushing blobs", "Mounting a blob from another repository".
 */

import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { waitMs } from "./back-off.ts";
import { refusal } from "./failure.ts";
import type { Session, SessionRequest } from "./session.ts";
import { Transient } from "./transient.ts";
import type { Answer } from "./transport.ts";

export type UploadBlob = {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** A file with those bytes; asked for where they have to be sent. */
  readonly path: () => Promise<string>;
};

export type UploadOptions = {
  readonly signal: AbortSignal;
  /** Repositories of the same registry that are said to have it, the likeliest first. */
  readonly mountFrom: readonly string[];
  /** Bytes there so far. */
  readonly onProgress?: (bytes: number) => void;
};

/** How a blob came to be there. */
export type Uploaded =
  | { readonly kind: "there" }
  | { readonly kind: "mounted"; readonly from: string }
  | { readonly kind: "sent" };

/** What fits into one request: a failure then costs little, and each request saved is a round trip. */
const SINGLE_BYTES_MAX = 4 * 1024 * 1024;
/** A registry, or a proxy before it, that finds a request too large gets smaller ones, down to this. */
const CHUNK_BYTES_MIN = 1024 * 1024;
const PROGRESS_BYTES = 1024 * 1024;
const READ_BYTES = 256 * 1024;

/** @throws TareError `no_permission`, `not_found`, `system` */
export async function uploadBlob(
  session: Session,
  blob: UploadBlob,
  options: UploadOptions,
): Promise<Uploaded> {
  if (await hasBlob(session, blob.digest, options.signal)) return { kind: "there" };
  for (const from of options.mountFrom) {
    const answer = await begin(session, blob, `?mount=${blob.digest}&from=${from}`, options);
    if (answer.status === 201) return { kind: "mounted", from };
    // The registry would rather have the bytes: it has opened an upload for them.
    if (options.mountFrom.at(-1) === from) {
      await send(session, blob, locationOf(answer, session), options);
      return { kind: "sent" };
    }
    await forget(session, answer, options.signal);
  }
  const answer = await begin(session, blob, "", options);
  await send(session, blob, locationOf(answer, session), options);
  return { kind: "sent" };
}

async function hasBlob(session: Session, digest: Digest, signal: AbortSignal): Promise<boolean> {
  const what = `Cannot push blob "${digest}"`;
  const attempt = async () => {
    const to = session.path(`blobs/${digest}`);
    const answer = await session.send({ method: "HEAD", to, signal });
    if (answer.status !== 200 && answer.status !== 404) throw await refusal(what, answer);
    answer.body.cancel();
    return answer.status === 200;
  };
  return await session.retrying(attempt, signal);
}

/** Opens an upload, or mounts. */
async function begin(
  session: Session,
  { digest }: UploadBlob,
  query: string,
  { signal }: UploadOptions,
): Promise<Answer> {
  const attempt = async () => {
    const to = session.path(`blobs/uploads/${query}`);
    const answer = await session.send({
      ...{ method: "POST", to, signal },
      headers: { "Content-Length": "0" },
    } as SessionRequest);
    if (answer.status !== 201 && answer.status !== 202) {
      throw await refusal(`Cannot push blob "${digest}"`, answer);
    }
    answer.body.cancel();
    return answer;
  };
  return await session.retrying(attempt, signal);
}

/** Takes an upload back that is not needed; a registry that cannot do that forgets it in time. */
async function forget(session: Session, opened: Answer, signal: AbortSignal): Promise<void> {
  const to = locationOf(opened, session);
  const answer = await session.send({ method: "DELETE", to, signal }).catch(() => undefined);
  signal.throwIfAborted();
  answer?.body.cancel();
}

async function send(
  session: Session,
  blob: UploadBlob,
  location: URL,
  options: UploadOptions,
): Promise<void> {
  const upload = new Upload(session, blob, await blob.path(), location, options);
  const { timing } = session.client;
  for (let failures = 0; ; ) {
    const before = upload.at;
    try {
      await upload.goOn();
      return;
    } catch (error) {
      if (!(error instanceof Transient)) throw error;
      failures = upload.at - before >= PROGRESS_BYTES ? 1 : failures + 1;
      if (failures > session.retries) throw error.error;
      await timing.sleep(waitMs(failures, timing.random(), error.retryAfterMs), options.signal);
      await upload.ask();
    }
  }
}

class Upload {
  readonly #session: Session;
  readonly #blob: UploadBlob;
  readonly #path: string;
  readonly #options: UploadOptions;
  readonly #what: string;
  #location: URL;
  #chunkBytes = Number.MAX_SAFE_INTEGER;
  /** Bytes that the registry has. */
  at = 0;

  constructor(
    session: Session,
    blob: UploadBlob,
    path: string,
    location: URL,
    options: UploadOptions,
  ) {
    this.#session = session;
    this.#blob = blob;
    this.#path = path;
    this.#location = location;
    this.#options = options;
    this.#what = `Cannot push blob "${blob.digest}"`;
  }

  /** Sends what is missing. @throws Transient where something was cut */
  async goOn(): Promise<void> {
    const isSmall = this.#blob.size <= Math.min(SINGLE_BYTES_MAX, this.#chunkBytes);
    if (this.at === 0 && isSmall) return await this.#finish(this.#blob.size);
    while (this.at < this.#blob.size) await this.#patch();
    await this.#finish(0);
  }

  /** After a failure: how much has arrived. */
  async ask(): Promise<void> {
    const answer = await this.#send({ method: "GET", to: this.#location });
    if (answer.status === 204) {
      this.#location = locationOf(answer, this.#session);
      this.at = receivedOf(answer);
      this.#options.onProgress?.(this.at);
      return;
    }
    // It has forgotten the upload, or cannot say: from the beginning, in a new one.
    answer.body.cancel();
    this.#location = locationOf(
      await begin(this.#session, this.#blob, "", this.#options),
      this.#session,
    );
    this.at = 0;
  }

  async #patch(): Promise<void> {
    const end = Math.min(this.#blob.size, this.at + this.#chunkBytes);
    const answer = await this.#send({
      method: "PATCH",
      to: this.#location,
      headers: {
        "Content-Type": "application/octet-stream",
        "Content-Length": `${end - this.at}`,
        "Content-Range": `${this.at}-${end - 1}`,
      },
      body: () => this.#bytes(end),
    });
    if (answer.status === 413 && end - this.at > CHUNK_BYTES_MIN) {
      this.#chunkBytes = Math.max(CHUNK_BYTES_MIN, Math.ceil((end - this.at) / 2));
      answer.body.cancel();
      return;
    }
    if (answer.status === 416) {
      answer.body.cancel();
      throw new Transient(new TareError("system", `${this.#what}: the registry has lost count`), 0);
    }
    if (answer.status !== 202) throw await refusal(this.#what, answer);
    answer.body.cancel();
    this.#location = locationOf(answer, this.#session);
    this.at = answer.headers.has("range") ? receivedOf(answer) : end;
  }

  /** Names the digest; the registry checks it. With `bytes`, the body is the whole blob. */
  async #finish(bytes: number): Promise<void> {
    const url = new URL(this.#location);
    url.searchParams.set("digest", this.#blob.digest);
    const answer = await this.#send({
      method: "PUT",
      to: url,
      headers: { "Content-Type": "application/octet-stream", "Content-Length": `${bytes}` },
      ...(bytes === 0 ? {} : { body: () => this.#bytes(bytes) }),
    });
    if (answer.status !== 201 && answer.status !== 204) throw await refusal(this.#what, answer);
    answer.body.cancel();
    this.#options.onProgress?.(this.#blob.size);
  }

  async #send(request: SessionRequest): Promise<Answer> {
    return await this.#session.send({ ...request, signal: this.#options.signal });
  }

  /** The file from where we are up to `end`, read as it is taken. */
  #bytes(end: number): ReadableStream<Uint8Array> {
    const path = this.#path;
    let at = this.at;
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        const next = Math.min(end, at + READ_BYTES);
        const chunk = at < end ? await Bun.file(path).slice(at, next).bytes() : new Uint8Array(0);
        if (chunk.length === 0) {
          controller.close();
          return;
        }
        at += chunk.length;
        this.#options.onProgress?.(at);
        controller.enqueue(chunk);
      },
    });
  }
}

/** How many bytes a `Range: 0-N` says; none where there is no such header. */
function receivedOf(answer: Answer): number {
  const match = /^(?:bytes=)?0-(\d{1,15})$/.exec(answer.headers.get("range")?.trim() ?? "");
  const last = match === null ? 0 : Number(match[1]);
  // An upload with nothing in it says 0-0, as one with a single byte.
  return last === 0 ? 0 : last + 1;
}

/**
 * Where the upload goes on. A registry behind a proxy that ends TLS often names itself by http: it is
 * meant all the same, by https. Another host gets the bytes, never by http, and never our name.
 */
function locationOf(answer: Answer, session: Session): URL {
  const text = answer.headers.get("location") ?? "";
  const url = URL.canParse(text, answer.url.href) ? new URL(text, answer.url.href) : undefined;
  const isWeb = url?.protocol === "https:" || url?.protocol === "http:";
  const { registry, insecure } = session.endpoint;
  if (url === undefined || text === "" || !isWeb) {
    throw new TareError("bad_input", `Cannot push to ${registry}: it does not say where to`);
  }
  url.username = "";
  url.password = "";
  if (url.protocol === "https:" || answer.url.protocol === "http:") return url;
  if (url.hostname === answer.url.hostname) {
    return new URL(`${url.pathname}${url.search}`, answer.url.origin);
  }
  if (insecure) return url;
  throw new TareError(
    "no_permission",
    `Cannot push to ${registry}: it sends us to ${url.host} without TLS`,
  );
}
