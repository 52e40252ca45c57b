/**
 * Takes a layer in, in one pass: the bytes as they come are written aside, hashed and counted, opened,
 * hashed again and unpacked by tare-helper, all at the same time and with bounded memory. A layer
 * that is not what was named, or no layer, leaves nothing behind.
 *
 * Layers of one image may be taken in at the same time: one waits for those below it only where it
 * leaves out a directory or links to a file that is not in it.
 */
import { chmodSync, chownSync, closeSync, mkdirSync, rmSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Engine } from "../engine.ts";
import { helperError, startHelper } from "../helper.ts";
import { writeWhole } from "../write-whole.ts";
import { BlobWriter, checkDigest } from "./blob.ts";
import { decompress, detect, isLayerCompression } from "./compression.ts";
import { finishDigest } from "./digest.ts";

/** What is to be done with a layer, and what is known of it; what is undefined is not checked. */
export type LayerTask = {
  /** The new file for the bytes as they come; undefined where they lie in one already. */
  readonly blob: string | undefined;
  /** The new directory, in one that nobody else reaches. */
  readonly root: string;
  /** Of the bytes as they come. */
  readonly digest?: Digest | undefined;
  readonly size?: number | undefined;
  /** Of the plain archive. */
  readonly diffId?: Digest | undefined;
  /**
   * The directories of the layers below, topmost first, once these are finished. Only called where the
   * layer needs them; while it waits, nothing more is read from the source.
   */
  readonly lower: () => Promise<readonly string[]>;
  readonly signal?: AbortSignal | undefined;
  /** Given the file of the bytes as they came, as far as they did, before it is removed. */
  readonly keep?: ((path: string) => void) | undefined;
  /** No layer, but any tree: nothing in it is a mark, and its top looks so where the archive does not say. */
  readonly top?: { readonly uid: number; readonly gid: number; readonly mode: number } | undefined;
};

export type TakenLayer = {
  readonly digest: Digest;
  /** Bytes as they came. */
  readonly blobSize: number;
  readonly diffId: Digest;
  /** Bytes of file content. */
  readonly size: number;
};

/**
 * Takes in one layer.
 * @throws TareError `corrupt` where the content is no layer, or not the one that was named; what the
 * source or the signal fails with, as it is.
 */
export async function takeLayer(
  engine: Engine,
  source: AsyncIterable<Uint8Array>,
  task: LayerTask,
): Promise<TakenLayer> {
  const blob = new BlobWriter(task.blob, task);
  const work = new AbortController();
  const abort = (): void => work.abort(task.signal?.reason);
  try {
    if (task.signal?.aborted === true) throw task.signal.reason;
    task.signal?.addEventListener("abort", abort);
    makeTop(task);
    return await takeInto(engine, recorded(source, blob, work.signal), blob, task, work);
  } catch (error) {
    if (task.blob !== undefined) task.keep?.(task.blob);
    for (const path of [task.root, task.blob]) {
      if (path !== undefined) rmSync(path, { recursive: true, force: true });
    }
    throw error;
  } finally {
    task.signal?.removeEventListener("abort", abort);
    blob.close();
  }
}

/**
 * Takes the layers of an image, bottom first, so many at a time. The first failure aborts the signal and
 * comes out once the others have stopped. `below` gives what was taken under one, topmost first, when
 * all of it is there.
 */
export async function takeInOrder<Item, Taken>(
  items: readonly Item[],
  atOnce: number,
  take: (item: Item, below: () => Promise<Taken[]>, signal: AbortSignal) => Promise<Taken>,
): Promise<Taken[]> {
  const failed = new AbortController();
  const taken: Promise<Taken>[] = [];
  const running = new Set<Promise<void>>();
  for (const [index, item] of items.entries()) {
    // A lower one never waits for a higher, so the lowest of those that run always goes on.
    while (running.size >= atOnce) await Promise.race(running);
    if (failed.signal.aborted) break;
    const one = take(item, () => Promise.all(taken.slice(0, index).reverse()), failed.signal);
    taken.push(one);
    const over: Promise<void> = one
      .then(
        () => {},
        (error) => failed.abort(error),
      )
      .finally(() => running.delete(over));
    running.add(over);
  }
  await Promise.all(running);
  if (failed.signal.aborted) throw failed.signal.reason;
  return await Promise.all(taken);
}

function makeTop({ root, top }: LayerTask): void {
  mkdirSync(root, { mode: 0o755 });
  if (top === undefined) return;
  chownSync(root, top.uid, top.gid);
  chmodSync(root, top.mode & 0o7777);
}

async function takeInto(
  engine: Engine,
  bytes: AsyncGenerator<Uint8Array>,
  blob: BlobWriter,
  task: LayerTask,
  work: AbortController,
): Promise<TakenLayer> {
  const helper = startUnpack(engine, task);
  work.signal.addEventListener("abort", helper.kill);
  // Whatever fails first stops the rest, and is what comes out.
  const stop = (error: unknown): never => {
    if (!(error instanceof ClosedPipe)) work.abort(error);
    throw error;
  };
  const [fed, unpacked] = await Promise.allSettled([
    feed(bytes, helper.input).catch(stop),
    helper.result.catch(stop),
  ]);
  if (work.signal.aborted) throw work.signal.reason;
  if (fed.status === "rejected") throw fed.reason;
  if (unpacked.status === "rejected") throw unpacked.reason;
  const diffId = fed.value;
  if (task.diffId !== undefined) checkDigest(diffId, task.diffId, "layer");
  const { digest, size } = blob.finish();
  return { digest, blobSize: size, diffId, size: unpacked.value };
}

/** Passes bytes on, kept and counted; ends with the signal's reason where that comes first. */
async function* recorded(
  source: AsyncIterable<Uint8Array>,
  blob: BlobWriter,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const reader = source[Symbol.asyncIterator]();
  let stop: (reason: unknown) => void = () => {};
  signal.addEventListener("abort", () => stop(signal.reason));
  const next = (): Promise<IteratorResult<Uint8Array>> =>
    new Promise((resolve, reject) => {
      stop = reject;
      if (signal.aborted) reject(signal.reason);
      else reader.next().then(resolve, reject);
    });
  try {
    for (let part = await next(); part.done !== true; part = await next()) {
      blob.write(part.value);
      yield part.value;
    }
    blob.finish();
  } finally {
    // Not waited for: a source that is stuck must not keep us.
    reader.return?.().catch(() => {});
  }
}

/** The helper reads no more: why, it says itself. */
class ClosedPipe extends Error {}

/** The digest of the plain archive, once the helper has it all. */
async function feed(bytes: AsyncGenerator<Uint8Array>, input: Bun.FileSink): Promise<Digest> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of opened(bytes)) {
    hasher.update(chunk);
    try {
      await input.write(chunk);
      await input.flush();
    } catch (cause) {
      throw new ClosedPipe("tare-helper reads no more", { cause });
    }
  }
  await input.end();
  return finishDigest(hasher);
}

/** The plain archive; which compression it has, its first bytes say. */
async function* opened(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { compression, bytes } = await detect(source);
  if (!isLayerCompression(compression)) {
    throw new TareError(
      "unsupported",
      `Cannot use the layer: it is compressed with ${compression}`,
      {
        hint: "Image layers are plain, or compressed with gzip or zstd",
      },
    );
  }
  yield* decompress(bytes, compression);
}

type Helper = {
  readonly input: Bun.FileSink;
  /** Bytes of file content; the helper's error, where it fails. */
  readonly result: Promise<number>;
  readonly kill: () => void;
};

function startUnpack(engine: Engine, task: LayerTask): Helper {
  const marks = engine.settings.rootless ? "user" : "trusted";
  const tree = task.top === undefined ? [] : ["--tree"];
  const words = ["unpack", "--dir", task.root, "--marks", marks, "--ask", ...tree];
  const child = startHelper(engine, words, ["pipe", "pipe", "pipe", "pipe"]);
  const kill = (): void => child.kill("SIGKILL");
  // A pipe beyond the first three is a bare descriptor, ours to close.
  const answer = new Answer(child.stdio[3] as unknown as number);
  const said = listen(child.stdout, answer, task).catch((error) => {
    kill();
    throw error;
  });
  const complaint = new Response(child.stderr).text();
  return { input: child.stdin, kill, result: settle(child, said, complaint) };
}

/** The helper's own reason comes first, unless it was killed. */
async function settle(
  child: Bun.Subprocess,
  result: Promise<number>,
  complaint: Promise<string>,
): Promise<number> {
  const [said, stderr] = await Promise.allSettled([result, complaint, child.exited]);
  const failed = child.exitCode !== 0 && child.signalCode === null;
  if (failed) throw helperError(stderr.status === "fulfilled" ? stderr.value : "");
  if (said.status === "rejected") throw said.reason;
  return said.value;
}

/** Reads what a helper says, and tells it the layers below when it asks. */
async function listen(
  stdout: ReadableStream<Uint8Array>,
  answer: Answer,
  task: LayerTask,
): Promise<number> {
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const piece of stdout) {
      text += decoder.decode(piece, { stream: true });
      if (text !== "lower\n") continue;
      text = "";
      answer.give(`${(await task.lower()).join("\n")}\n`);
    }
  } finally {
    answer.close();
  }
  if (text === "") throw new TareError("internal", "tare-helper ended without a word");
  return (JSON.parse(text) as { bytes: number }).bytes;
}

/** The engine's end of the helper's descriptor for answers: one text, then its end. */
class Answer {
  #fd: number | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  give(text: string): void {
    if (this.#fd !== undefined) writeWhole(this.#fd, text);
    this.close();
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
