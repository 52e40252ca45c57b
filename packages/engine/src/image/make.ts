/** Makes an image of this machine's own: some layers that the store has, and one new on top of them. */
import { renameSync, writeFileSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { parseImageConfig } from "@tare/spec/oci-image-config.ts";
import type { Reference } from "@tare/spec/reference.ts";
import type { Engine } from "../engine.ts";
import { readAccounts } from "../helper.ts";
import { Lease } from "../store/leases.ts";
import { layerPath, Staging, sweepStaging } from "../store/store.ts";
import { commitImage, knownLayer, type StagedLayer, soundLayer, stagedBlob } from "./commit.ts";
import { chainIds, digestOf } from "./digest.ts";
import { takeLayer } from "./layer.ts";

export type NewImage = {
  /** Diff ids of the layers below, bottom first. */
  readonly below: readonly Digest[];
  /** The new layer, plain or compressed. */
  readonly layer: AsyncIterable<Uint8Array>;
  /** The text of the configuration with these layers. */
  readonly describe: (diffIds: readonly Digest[]) => string;
  /** ISO 8601. */
  readonly created: string;
  readonly names: readonly Reference[];
  /** The image that it was made of. */
  readonly parent?: Digest | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** Two blocks of zeros: of a layer that changes nothing. Docker leaves such a layer out, too. */
const EMPTY_ARCHIVE = digestOf(new Uint8Array(1024));

/**
 * Stages and commits the image; answers its id.
 * @throws TareError `corrupt` where the layer is none, `bad_input` for a configuration that nobody could
 * read again, what its source throws, and the signal's reason
 */
export async function makeImage(engine: Engine, image: NewImage): Promise<Digest> {
  const { store } = engine;
  sweepStaging(store);
  using staging = new Staging(store);
  using lease = new Lease(store);
  const chain = chainIds(image.below);
  lease.hold(chain);
  const below = chain.flatMap((chainId) => knownLayer(store, chainId) ?? []);
  const top = await stageTop(engine, image, below, staging.path);
  const layers = [...below, ...(top === undefined ? [] : [top.layer])];
  const config = image.describe(layers.map(({ diffId }) => diffId));
  // What could not be read again must not come in: commits of commits grow without end.
  parseImageConfig(config);
  const id = digestOf(config);
  writeFileSync(stagedBlob(staging.path, id), config, { mode: 0o600 });
  const roots = layers.map((layer) => layer.path ?? layerPath(store, layer.chainId));
  await commitImage(store, {
    id,
    config,
    created: image.created,
    accounts: await readAccounts(engine, roots.toReversed()),
    layers,
    names: image.names,
    parent: image.parent,
    blobs: new Map([[id, stagedBlob(staging.path, id)], ...(top?.blobs ?? [])]),
  });
  return id;
}

type Top = {
  readonly layer: StagedLayer;
  readonly blobs: readonly (readonly [Digest, string])[];
};

/** Undefined where it is empty and there are others. */
async function stageTop(
  engine: Engine,
  image: NewImage,
  below: readonly StagedLayer[],
  staging: string,
): Promise<Top | undefined> {
  const [aside, path] = [`${staging}/blob`, `${staging}/layer`];
  const lower = below.map(({ chainId }) => layerPath(engine.store, chainId)).reverse();
  const taken = await takeLayer(engine, image.layer, {
    blob: aside,
    root: path,
    lower: async () => lower,
    signal: image.signal,
  });
  const { diffId, size, digest: blob } = taken;
  if (diffId === EMPTY_ARCHIVE && below.length > 0) return undefined;
  const chainId = chainIds([...image.below, diffId]).at(-1) ?? diffId;
  const known = soundLayer(engine.store, chainId);
  if (known !== undefined) return { layer: known, blobs: [] };
  const file = stagedBlob(staging, blob);
  renameSync(aside, file);
  return { layer: { chainId, diffId, blob, size, path }, blobs: [[blob, file]] };
}
