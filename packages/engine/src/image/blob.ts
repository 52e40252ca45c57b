/** Blobs on their way into the store's staging: written, hashed and counted in one pass. */
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { writeWhole } from "../write-whole.ts";
import type { Piece } from "./archive.ts";
import { finishDigest } from "./digest.ts";

const CHUNK_BYTES = 256 * 1024;
/** Of a blob whose size nobody named. */
const BLOB_BYTES_MAX = 1024 ** 4;

/** What is known of a blob before it is there; what is undefined is not checked. */
export type KnownBlob = {
  readonly digest?: Digest | undefined;
  readonly size?: number | undefined;
};

/** Writes a blob that comes in pieces to a new file, hashing and counting; without a path only that. */
export class BlobWriter {
  readonly #known: KnownBlob;
  readonly #hasher = new Bun.CryptoHasher("sha256");
  #fd: number | undefined;
  #size = 0;
  #digest: Digest | undefined;
  #endsInHole = false;

  constructor(path: string | undefined, known: KnownBlob) {
    this.#fd = path === undefined ? undefined : openSync(path, "wx", 0o600);
    this.#known = known;
  }

  /** Bytes until now. */
  get size(): number {
    return this.#size;
  }

  /** @throws TareError `corrupt` as soon as there are more bytes than were named. */
  write(chunk: Uint8Array): void {
    this.#size += chunk.length;
    if (this.#size > (this.#known.size ?? BLOB_BYTES_MAX)) throw this.#wrongSize("more");
    this.#hasher.update(chunk);
    if (this.#fd === undefined) return;
    this.#endsInHole = isHole(chunk);
    const place = this.#size - chunk.length;
    if (!this.#endsInHole) writeWhole(this.#fd, chunk, writeFrom(place));
  }

  /**
   * What was written; may be asked again.
   * @throws TareError `corrupt` where it is not what was named.
   */
  finish(): { readonly digest: Digest; readonly size: number } {
    const { digest, size } = this.#known;
    if (size !== undefined && this.#size < size) throw this.#wrongSize(`${this.#size}`);
    if (this.#fd !== undefined && this.#endsInHole) ftruncateSync(this.#fd, this.#size);
    this.#digest ??= finishDigest(this.#hasher);
    if (digest !== undefined) checkDigest(this.#digest, digest, "blob");
    return { digest: this.#digest, size: this.#size };
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #wrongSize(actual: string): TareError {
    const { digest, size } = this.#known;
    const subject = digest === undefined ? "the blob" : `blob "${digest}"`;
    const wanted = size === undefined ? "1 TiB" : `${size} bytes`;
    return new TareError("corrupt", `Cannot use ${subject}: it has ${actual}, not ${wanted}`);
  }
}

const ZEROS = new Uint8Array(64 * 1024);

/** Whether nothing needs to be written: a plain layer has the holes of files as zeros. */
function isHole(chunk: Uint8Array): boolean {
  for (let at = 0; at < chunk.length; at += ZEROS.length) {
    const part = chunk.subarray(at, at + ZEROS.length);
    if (Buffer.compare(part, ZEROS.subarray(0, part.length)) !== 0) return false;
  }
  return true;
}

/** As `writeSync` with a place in the bytes, which go to `place` of the file. */
function writeFrom(place: number): typeof writeSync {
  return ((fd: number, bytes: Uint8Array, at: number) =>
    writeSync(fd, bytes, at, bytes.length - at, place + at)) as typeof writeSync;
}

/** The bytes of a piece, in chunks. */
export async function* pieceChunks(piece: Piece): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < piece.size; ) {
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, piece.size - at));
    const count = readSync(piece.fd, chunk, 0, chunk.length, piece.offset + at);
    if (count === 0) throw new TareError("corrupt", "Cannot read the archive: it is cut off");
    at += count;
    yield chunk.subarray(0, count);
  }
}

/** @throws TareError `corrupt` where the bytes are not what was named. */
export function checkDigest(actual: Digest, wanted: Digest, what: string): void {
  if (actual === wanted) return;
  throw new TareError("corrupt", `Cannot use ${what} "${wanted}": its content hashes to ${actual}`);
}
