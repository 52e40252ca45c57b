/**
 * Tells compressed streams by their first bytes, as every image tool does, and opens them: gzip and
 * zstd, which layers have, in process; xz and bzip2, which only tarballs have, by the host's programs.
 * Those are named by absolute paths and started in the host's tree, so that nothing of an image can
 * stand in for them (CVE-2014-9357, CVE-2019-14271).
 */
import { existsSync } from "node:fs";
import { TareError } from "@tare/spec/error.ts";

export type Compression = "plain" | "gzip" | "zstd" | "xz" | "bzip2";

/** As many first bytes as `detectCompression` wants. */
export const MAGIC_BYTES = 6;

const SKIPPABLE = [...Array(16).keys()].map((low) => 0x50 + low);
const MAGICS: readonly (readonly [name: Compression, magic: readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  // A frame to be skipped may be the first one (RFC 8878, 3.1.2).
  ...SKIPPABLE.map((first) => ["zstd", [first, 0x2a, 0x4d, 0x18]] as const),
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];

/** What the first bytes say. */
export function detectCompression(head: Uint8Array): Compression {
  const known = MAGICS.find(([, magic]) => magic.every((byte, index) => head[index] === byte));
  return known?.[0] ?? "plain";
}

/** Whether media types know it for layers (OCI image-spec, layer.md, "+gzip" and "+zstd"). */
export function isLayerCompression(compression: Compression): boolean {
  return compression !== "xz" && compression !== "bzip2";
}

/** How far a stream may expand: so many bytes at least, and so many times what went in. */
export type Expansion = { readonly freeBytes: number; readonly ratioMax: number };

/** Past what any file of use expands to; zstd makes terabytes of a megabyte, xz and bzip2 not much less. */
const EXPANSION: Expansion = { freeBytes: 8 * 1024 ** 3, ratioMax: 500 };

/**
 * Holds what came out of a stream against what went in.
 * @throws TareError `corrupt` where it is too much
 */
export function checkExpansion(plain: number, compressed: number, limit = EXPANSION): void {
  if (plain <= limit.freeBytes || plain <= compressed * limit.ratioMax) return;
  throw new TareError(
    "corrupt",
    `Cannot decompress the stream: ${compressed} bytes have become more than ${plain - 1}`,
  );
}

/** What a stream is compressed with, and all of its bytes. */
export async function detect(source: AsyncIterable<Uint8Array>): Promise<{
  readonly compression: Compression;
  readonly bytes: AsyncIterable<Uint8Array>;
}> {
  const reader = source[Symbol.asyncIterator]();
  let head = new Uint8Array(0);
  while (head.length < MAGIC_BYTES) {
    const { value, done } = await reader.next();
    if (done === true) break;
    head = Buffer.concat([head, value]);
  }
  return { compression: detectCompression(head), bytes: startingWith(head, reader) };
}

async function* startingWith(
  head: Uint8Array,
  reader: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    yield head;
    for (let part = await reader.next(); part.done !== true; part = await reader.next()) {
      yield part.value;
    }
  } finally {
    await reader.return?.();
  }
}

/** xz -9 wants 65 MiB; a header may ask for 4 GiB. */
const PROGRAMS = {
  xz: ["/usr/bin/xz", "-dc", "--memlimit-decompress=100MiB"],
  bzip2: ["/usr/bin/bzip2", "-dc"],
} as const;

/** What takes compressed bytes at one end and gives plain ones at the other. */
type Opener = {
  readonly plain: AsyncIterable<Uint8Array>;
  readonly write: (chunk: Uint8Array) => Promise<unknown>;
  readonly end: () => Promise<unknown>;
  /** Ends it early. */
  readonly stop: () => void;
};

/**
 * The stream, decompressed: all members of gzip, all frames of zstd.
 * @throws TareError `corrupt` for a damaged one and for one that expands too far, `not_found` where the machine cannot open it; what the
 * source fails with, as it is
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  compression: Compression,
  limit: Expansion = EXPANSION,
): AsyncGenerator<Uint8Array> {
  if (compression === "plain") {
    yield* source;
    return;
  }
  const opener =
    compression === "xz" || compression === "bzip2"
      ? openByProgram(compression)
      : openInProcess(compression);
  let failure: { readonly reason: unknown } | undefined;
  const [taken, given] = [{ bytes: 0 }, { bytes: 0 }];
  const watched = watch(counted(source, taken), (reason) => {
    failure = { reason };
  });
  const fed = pass(watched, opener);
  try {
    for await (const chunk of counted(opener.plain, given)) {
      checkExpansion(given.bytes, taken.bytes, limit);
      yield chunk;
    }
  } catch (cause) {
    if (cause instanceof TareError) throw cause;
    await fed;
    if (failure !== undefined) throw failure.reason;
    throw new TareError("corrupt", `Cannot decompress the ${compression} stream: it is damaged`, {
      cause,
    });
  } finally {
    opener.stop();
  }
}

function openInProcess(compression: "gzip" | "zstd"): Opener {
  // Bun knows zstd too, the types do not.
  const { readable, writable } = new DecompressionStream(compression as "gzip");
  const writer = writable.getWriter();
  return {
    plain: readable as unknown as AsyncIterable<Uint8Array>,
    write: (chunk) => writer.write(chunk as Uint8Array<ArrayBuffer>),
    end: () => writer.close(),
    stop: () => void writer.abort().catch(() => {}),
  };
}

function openByProgram(compression: keyof typeof PROGRAMS): Opener {
  const [program, ...words] = PROGRAMS[compression];
  if (!existsSync(program)) {
    throw new TareError("not_found", `Cannot decompress the ${compression} stream: no ${program}`, {
      hint: `Install ${compression}, or decompress it first: ${compression} -dc ARCHIVE | tare load`,
    });
  }
  const child = Bun.spawn([program, ...words], { stdio: ["pipe", "pipe", "ignore"], env: {} });
  return {
    plain: untilExit(child.stdout, child.exited),
    write: async (chunk) => {
      await child.stdin.write(chunk);
      await child.stdin.flush();
    },
    end: async () => child.stdin.end(),
    stop: () => child.kill("SIGKILL"),
  };
}

async function* untilExit(
  stdout: ReadableStream<Uint8Array>,
  exited: Promise<number>,
): AsyncGenerator<Uint8Array> {
  yield* stdout;
  const status = await exited;
  if (status !== 0) throw new Error(`exit status ${status}`);
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  count: { bytes: number },
): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    count.bytes += chunk.length;
    yield chunk;
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
async function pass(source: AsyncIterable<Uint8Array>, opener: Opener): Promise<void> {
  try {
    for await (const chunk of source) await opener.write(chunk);
    await opener.end();
  } catch {
    opener.stop();
  }
}
