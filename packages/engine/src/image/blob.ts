/** Copies blobs into the store's staging, hashing what is written. */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Piece } from "./archive.ts";
import { finishDigest } from "./digest.ts";

const CHUNK_BYTES = 1024 * 1024;

/**
 * Copies a piece to a new file and answers the digest of the bytes that are there now.
 * @throws TareError `corrupt` where the source ends early.
 */
export function copyBlob(piece: Piece, to: string): Digest {
  const out = openSync(to, "wx", 0o600);
  try {
    return copyHashed(piece, (chunk) => {
      for (let at = 0; at < chunk.length; ) at += writeSync(out, chunk, at);
    });
  } finally {
    closeSync(out);
  }
}

/** The digest of a piece. */
export function hashPiece(piece: Piece): Digest {
  return copyHashed(piece, () => {});
}

function copyHashed(piece: Piece, use: (chunk: Uint8Array) => void): Digest {
  const hasher = new Bun.CryptoHasher("sha256");
  const buffer = new Uint8Array(CHUNK_BYTES);
  for (let at = 0; at < piece.size; ) {
    const wanted = Math.min(CHUNK_BYTES, piece.size - at);
    const count = readSync(piece.fd, buffer, 0, wanted, piece.offset + at);
    if (count === 0) throw new TareError("corrupt", "Cannot read the archive: it is cut off");
    const chunk = buffer.subarray(0, count);
    hasher.update(chunk);
    use(chunk);
    at += count;
  }
  return finishDigest(hasher);
}

/** @throws TareError `corrupt` where the bytes are not what was named. */
export function checkDigest(actual: Digest, wanted: Digest, what: string): void {
  if (actual === wanted) return;
  throw new TareError("corrupt", `Cannot use ${what} "${wanted}": its content hashes to ${actual}`);
}
