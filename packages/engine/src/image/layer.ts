/**
 * Unpacks one layer: this process decompresses and hashes, tare-helper writes the files. Both work
 * at the same time on two processors; a plain layer the helper reads from the file itself.
 */
import { closeSync, fstatSync, mkdirSync, openSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import type { Engine } from "../engine.ts";
import { helperError } from "../helper.ts";
import { readPiece } from "./archive.ts";
import { checkDigest, hashPiece } from "./blob.ts";
import { type Compression, decompress, detectCompression, MAGIC_BYTES } from "./compression.ts";
import { finishDigest } from "./digest.ts";

export type UnpackedLayer = {
  /** Digest of the plain archive. */
  readonly diffId: Digest;
  /** Bytes of file content. */
  readonly size: number;
};

/**
 * Unpacks the blob at `blob` into the new directory `to`. `lower` are the layers below, topmost first.
 * @throws TareError `corrupt` where the content is no layer, or not the one that was named.
 */
export async function unpackLayer(
  engine: Engine,
  blob: string,
  to: string,
  lower: readonly string[],
): Promise<UnpackedLayer> {
  mkdirSync(to, { mode: 0o755 });
  const compression = compressionOf(blob);
  const marks = engine.settings.rootless ? "user" : "trusted";
  const command = [engine.settings.helper, "unpack", "--dir", to, "--marks", marks];
  const child = Bun.spawn([...command, "--lower", lower.join(":")], {
    stdio: [compression === "plain" ? Bun.file(blob) : "pipe", "pipe", "pipe"],
    env: {},
  });
  const said = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const feeding = feed(child.stdin, blob, compression);
  const [fed] = await Promise.allSettled([feeding, child.exited]);
  const [stdout, stderr] = await said;
  // A helper that gave up closes its end, so its reason comes before ours.
  if (child.exitCode !== 0) throw helperError(stderr);
  if (fed.status === "rejected") throw fed.reason;
  return { diffId: fed.value, size: (JSON.parse(stdout) as { bytes: number }).bytes };
}

/** As `unpackLayer`, for a layer whose digest is known. */
export async function unpackKnownLayer(
  engine: Engine,
  blob: string,
  to: string,
  lower: readonly string[],
  diffId: Digest,
): Promise<UnpackedLayer> {
  const layer = await unpackLayer(engine, blob, to, lower);
  checkDigest(layer.diffId, diffId, "layer");
  return layer;
}

type Sink = Bun.FileSink | number | undefined;

/** The digest of the plain archive, once the helper has it all. */
async function feed(sink: Sink, blob: string, compression: Compression): Promise<Digest> {
  if (typeof sink !== "object") return hashFile(blob);
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of decompress(Bun.file(blob).stream(), compression)) {
    hasher.update(chunk);
    await sink.write(chunk);
    await sink.flush();
  }
  await sink.end();
  return finishDigest(hasher);
}

function hashFile(path: string): Digest {
  const fd = openSync(path, "r");
  try {
    return hashPiece({ fd, offset: 0, size: fstatSync(fd).size });
  } finally {
    closeSync(fd);
  }
}

function compressionOf(blob: string): Compression {
  const fd = openSync(blob, "r");
  try {
    return detectCompression(readPiece({ fd, offset: 0, size: MAGIC_BYTES }));
  } finally {
    closeSync(fd);
  }
}
