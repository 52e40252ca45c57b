/** `import`: an image of one layer, made of the tarball of a root file system. */
import { closeSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Platform } from "@tare/spec/platform.ts";
import type { Reference } from "@tare/spec/reference.ts";
import type { Engine } from "../engine.ts";
import type { RegistryClient } from "../registry/client.ts";
import { fetchWhole } from "../registry/web.ts";
import { type ArchiveSource, openRegular, openStandardInput } from "./archive.ts";
import { applyChanges } from "./changes.ts";
import { decompress, detect, isLayerCompression } from "./compression.ts";
import { machinePlatform } from "./config.ts";
import { makeImage } from "./make.ts";

export type ImportOptions = {
  readonly name: Reference | undefined;
  /** Instructions of a Dockerfile. */
  readonly changes: readonly string[];
  /** What the history says of it. */
  readonly message: string | undefined;
  /** What the programs in it run on; undefined: this machine. */
  readonly platform: Platform | undefined;
  /** ISO 8601. */
  readonly created: string;
  readonly signal?: AbortSignal | undefined;
};

/** A tarball on a web server. */
export type WebSource = { readonly url: URL; readonly client: RegistryClient };

/**
 * Makes an image; answers its id.
 * @throws TareError `not_found`, `corrupt`, `unsupported`, `bad_input`
 */
export async function importImage(
  engine: Engine,
  source: ArchiveSource | WebSource,
  options: ImportOptions,
): Promise<Digest> {
  const config = applyChanges({}, options.changes);
  return await makeImage(engine, {
    below: [],
    layer: await openTarball(source, options.signal),
    signal: options.signal,
    created: options.created,
    names: options.name === undefined ? [] : [options.name],
    describe: (diffIds) => {
      const comment = options.message ?? "imported";
      return JSON.stringify({
        created: options.created,
        ...(options.platform ?? machinePlatform()),
        config,
        rootfs: { type: "layers", diff_ids: diffIds },
        history: [{ created: options.created, comment }],
      });
    },
  });
}

/**
 * The bytes of a tarball as a layer may have them: plain, gzip or zstd. xz and bzip2 are opened.
 * @throws TareError `not_found` where there is no such file, `bad_input` where it is empty
 */
export async function openTarball(
  source: ArchiveSource | WebSource,
  signal?: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const stream =
    source !== "stdin" && "url" in source
      ? await fetchWhole(source.client, source.url, signal)
      : openStream(source);
  const { compression, bytes } = await detect(nonEmpty(stream));
  return isLayerCompression(compression) ? bytes : decompress(bytes, compression);
}

async function* nonEmpty(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    yield chunk;
  }
  if (size === 0) throw new TareError("bad_input", "Cannot import: the tarball is empty");
}

function openStream(source: ArchiveSource): AsyncIterable<Uint8Array> {
  if (source === "stdin") return openStandardInput();
  closeSync(openRegular(source.path));
  return Bun.file(source.path).stream();
}
