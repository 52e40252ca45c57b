/** `import`: an image of one layer, made of the tarball of a root file system. */
import { closeSync, renameSync, writeFileSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Reference } from "@tare/spec/reference.ts";
import type { Engine } from "../engine.ts";
import { readAccounts } from "../helper.ts";
import { layerPath, Staging, sweepStaging } from "../store/store.ts";
import { type ArchiveSource, openRegular } from "./archive.ts";
import { commitImage, knownLayer, stagedBlob } from "./commit.ts";
import { machinePlatform } from "./config.ts";
import { digestOf } from "./digest.ts";
import { type TakenLayer, takeLayer } from "./layer.ts";

export type ImportOptions = {
  readonly name: Reference | undefined;
  /** The image's default command, if any. */
  readonly command: readonly string[];
  /** ISO 8601. */
  readonly created: string;
};

/**
 * Makes an image; answers its id.
 * @throws TareError `not_found`, `corrupt`, `unsupported`
 */
export async function importImage(
  engine: Engine,
  source: ArchiveSource,
  options: ImportOptions,
): Promise<Digest> {
  sweepStaging(engine.store);
  using staging = new Staging(engine.store);
  const path = `${staging.path}/layer`;
  const aside = `${staging.path}/blob`;
  const layer = await takeLayer(engine, nonEmpty(openStream(source)), {
    blob: aside,
    root: path,
    lower: async () => [],
  });
  const blob = layer.digest;
  renameSync(aside, stagedBlob(staging.path, blob));
  const config = describe(layer, options);
  const id = digestOf(config);
  writeFileSync(stagedBlob(staging.path, id), config, { mode: 0o600 });
  const known = knownLayer(engine.store, layer.diffId);
  const { diffId, size } = layer;
  const root = known === undefined ? path : layerPath(engine.store, diffId);
  await commitImage(engine.store, {
    id,
    config,
    created: options.created,
    accounts: await readAccounts(engine, [root]),
    layers: [known ?? { chainId: diffId, diffId, blob, size, path }],
    names: options.name === undefined ? [] : [options.name],
    blobs: new Map(
      (known === undefined ? [id, blob] : [id]).map((digest) => [
        digest,
        stagedBlob(staging.path, digest),
      ]),
    ),
  });
  return id;
}

function describe(layer: TakenLayer, options: ImportOptions): string {
  return JSON.stringify({
    created: options.created,
    ...machinePlatform(),
    config: options.command.length === 0 ? {} : { Cmd: options.command },
    rootfs: { type: "layers", diff_ids: [layer.diffId] },
    history: [{ created: options.created, comment: "imported" }],
  });
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
  if (source === "stdin") return Bun.stdin.stream();
  closeSync(openRegular(source.path));
  return Bun.file(source.path).stream();
}
