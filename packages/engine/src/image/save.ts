/**
 * `save`: images as one archive. It is an OCI layout and what `docker save` writes at once, over the
 * same blobs, as Docker's own since version 25; or one of the two alone. The same images give the same
 * bytes. What is written is hashed on its way, so a damaged store makes no archive that looks whole.
 */

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { type Digest, digestHex } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Platform } from "@tare/spec/platform.ts";
import { paddingOf } from "@tare/spec/tar-fields.ts";
import { END_OF_ARCHIVE, plainEntry, writeHeader } from "@tare/spec/tar-write.ts";
import type { Engine } from "../engine.ts";
import { ReaderGone, reasonOf } from "../host/failure.ts";
import { Lease } from "../store/leases.ts";
import { blobPath, Staging, type Store, sweepStaging } from "../store/store.ts";
import { writeWhole } from "../write-whole.ts";
import { decompress } from "./compression.ts";
import { finishDigest } from "./digest.ts";
import { chooseImages } from "./save-choice.ts";
import {
  type ArchiveFile,
  planArchive,
  type SavedImage,
  type SavedLayer,
  type SaveFormat,
} from "./save-plan.ts";

export type SaveOptions = {
  readonly format: SaveFormat;
  /** Undefined: whatever the name stands for. */
  readonly platform: Platform | undefined;
};

const CHUNK_BYTES = 1024 * 1024;
const PLAIN_BYTES_MAX = 1024 ** 4;

/**
 * Writes the images that the words name to the descriptor `out`.
 * @throws TareError `not_found`; `corrupt` where a blob of the store is damaged
 */
export async function saveImages(
  engine: Engine,
  words: readonly string[],
  options: SaveOptions,
  out: number,
): Promise<void> {
  const { store } = engine;
  sweepStaging(store);
  using lease = new Lease(store);
  using staging = new Staging(store);
  const choose = () => chooseImages(store, words, options.platform);
  lease.hold(choose().flatMap(blobsOf));
  // Once more: what went between the look and the lease is missed now, not in the middle of the archive.
  const images = choose();
  lease.hold(images.flatMap(blobsOf));
  for (const file of planArchive(images, options.format)) {
    if (file.kind === "layer") {
      const plain = options.format === "docker" ? `${staging.path}/plain` : undefined;
      await writeLayer(store, file.path, file.layer, plain, out);
    } else writeSmall(file, out);
  }
  write(out, END_OF_ARCHIVE);
}

function blobsOf({ id, layers }: SavedImage): Digest[] {
  return [id, ...layers.map(({ blob }) => blob)];
}

function writeSmall(file: Exclude<ArchiveFile, { kind: "layer" }>, out: number): void {
  if (file.kind === "directory") {
    const entry = plainEntry(`${file.path}/`, 0);
    return write(out, writeHeader({ ...entry, kind: "directory", mode: 0o755 }));
  }
  const bytes = new TextEncoder().encode(file.text);
  for (const part of [writeHeader(plainEntry(file.path, bytes.length)), bytes]) {
    write(out, part);
  }
  write(out, new Uint8Array(paddingOf(bytes.length)));
}

/** With a path for it, the layer is opened into that file first: its length stands in front of it. */
async function writeLayer(
  store: Store,
  name: string,
  layer: SavedLayer,
  plain: string | undefined,
  out: number,
): Promise<void> {
  const path = blobPath(store, layer.blob);
  if (plain === undefined) return copyHashed(path, layer.blob, name, out);
  if (layer.compression === "plain") return copyHashed(path, layer.diffId, name, out);
  const fd = openSync(plain, "w", 0o600);
  try {
    let size = 0;
    for await (const chunk of decompress(Bun.file(path).stream(), layer.compression)) {
      size += chunk.length;
      if (size > PLAIN_BYTES_MAX) throw damaged(layer.blob);
      write(fd, chunk);
    }
  } finally {
    closeSync(fd);
  }
  copyHashed(plain, layer.diffId, name, out);
}

/** One entry with the bytes of a file, which must be what their digest says. */
function copyHashed(path: string, digest: Digest, name: string, out: number): void {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    write(out, writeHeader(plainEntry(name, size)));
    const hasher = new Bun.CryptoHasher("sha256");
    const buffer = new Uint8Array(CHUNK_BYTES);
    for (let left = size; left > 0; ) {
      const chunk = buffer.subarray(0, readSync(fd, buffer, 0, Math.min(left, CHUNK_BYTES), null));
      if (chunk.length === 0) throw damaged(digest);
      hasher.update(chunk);
      write(out, chunk);
      left -= chunk.length;
    }
    if (finishDigest(hasher) !== digest) throw damaged(digest);
    write(out, new Uint8Array(paddingOf(size)));
  } finally {
    closeSync(fd);
  }
}

function damaged(digest: Digest): TareError {
  return new TareError("corrupt", `Cannot save the image: blob "${digestHex(digest)}" is damaged`, {
    hint: 'Find out what else is: "tare system check"',
  });
}

function write(fd: number, bytes: Uint8Array): void {
  try {
    writeWhole(fd, bytes);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EPIPE") throw new ReaderGone(cause);
    throw new TareError("system", `Cannot write the archive: ${reasonOf(cause)}`, { cause });
  }
}
