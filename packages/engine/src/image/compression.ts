/** Tells compressed streams by their first bytes, as every image tool does, and opens them in process. */
import { TareError } from "@tare/spec/error.ts";

export type Compression = "plain" | "gzip" | "zstd";

/** As many first bytes as `detectCompression` wants. */
export const MAGIC_BYTES = 6;

const MAGICS: readonly (readonly [name: string, magic: readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
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

/** The stream, decompressed; a damaged one is a TareError `corrupt`. */
export async function* decompress(
  stream: ReadableStream<Uint8Array>,
  compression: Compression,
): AsyncGenerator<Uint8Array> {
  if (compression === "plain") {
    yield* stream;
    return;
  }
  const plain = stream.pipeThrough(
    new DecompressionStream(compression as "gzip") as TransformStream<Uint8Array, Uint8Array>,
  );
  try {
    yield* plain;
  } catch (cause) {
    throw new TareError("corrupt", `Cannot decompress the ${compression} stream: it is damaged`, {
      cause,
    });
  }
}
