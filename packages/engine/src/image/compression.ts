/** Tells compressed streams by their first bytes, as every image tool does, and opens them in process. */
import { TareError } from "@tare/spec/error.ts";

export type Compression = "plain" | "gzip" | "zstd";

/** As many first bytes as `detectCompression` wants. */
export const MAGIC_BYTES = 6;

const SKIPPABLE = [...Array(16).keys()].map((low) => 0x50 + low);
const MAGICS: readonly (readonly [name: string, magic: readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  // A frame to be skipped may be the first one (RFC 8878, 3.1.2).
  ...SKIPPABLE.map((first) => ["zstd", [first, 0x2a, 0x4d, 0x18]] as const),
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];

/** @throws TareError `unsupported` for formats that no image has had for years. */
export function detectCompression(head: Uint8Array): Compression {
  const known = MAGICS.find(([, magic]) => magic.every((byte, index) => head[index] === byte));
  if (known === undefined) return "plain";
  const [name] = known;
  if (name === "gzip" || name === "zstd") return name;
  throw new TareError("unsupported", `Cannot read the archive: it is compressed with ${name}`, {
    hint: `Decompress it first: ${name} -dc ARCHIVE | tare load`,
  });
}

/**
 * The stream, decompressed: all members of gzip, all frames of zstd.
 * @throws TareError `corrupt` for a damaged one; what the source fails with, as it is
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncGenerator<Uint8Array> {
  if (compression === "plain") {
    yield* source;
    return;
  }
  // Bun knows zstd too, the types do not.
  const { readable, writable } = new DecompressionStream(compression as "gzip");
  let failure: { readonly reason: unknown } | undefined;
  const watched = watch(source, (reason) => {
    failure = { reason };
  });
  const fed = pass(watched, writable.getWriter());
  try {
    yield* readable as unknown as AsyncIterable<Uint8Array>;
  } catch (cause) {
    await fed;
    if (failure !== undefined) throw failure.reason;
    throw new TareError("corrupt", `Cannot decompress the ${compression} stream: it is damaged`, {
      cause,
    });
  }
}

/** Tells a failure of the source from one of who reads it. */
async function* watch(
  source: AsyncIterable<Uint8Array>,
  failed: (reason: unknown) => void,
): AsyncGenerator<Uint8Array> {
  try {
    yield* source;
  } catch (reason) {
    failed(reason);
    throw reason;
  }
}

/** Ends with the source, or where the reader has stopped or failed; who reads then knows why. */
async function pass(
  source: AsyncIterable<Uint8Array>,
  writer: ReturnType<DecompressionStream["writable"]["getWriter"]>,
): Promise<void> {
  try {
    for await (const chunk of source) await writer.write(chunk as Uint8Array<ArrayBuffer>);
    await writer.close();
  } catch (reason) {
    await writer.abort(reason).catch(() => {});
  }
}
