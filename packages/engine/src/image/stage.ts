/**
 * Brings one image into the store from wherever its bytes are: an archive, a registry. Layers that the
 * store has are not fetched; of the others, some at a time are unpacked while they are fetched.
 * Nothing shows in the store before all of it is right.
 */
import { renameSync, writeFileSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { checkLayerCount, type ImageConfig } from "@tare/spec/oci-image-config.ts";
import type { Reference } from "@tare/spec/reference.ts";
import type { Engine } from "../engine.ts";
import { readAccounts } from "../helper.ts";
import type { StagedDocument } from "../store/blob-rows.ts";
import { isMarkedDamaged } from "../store/damage.ts";
import { Lease } from "../store/leases.ts";
import type { RepoDigest } from "../store/names.ts";
import { downloadName, layerPath, Staging } from "../store/store.ts";
import { commitImage, type StagedLayer, soundLayer, stagedBlob } from "./commit.ts";
import { chainIds, digestOf } from "./digest.ts";
import { takeInOrder, takeLayer } from "./layer.ts";

export type IncomingLayer = {
  /** Of the bytes as they come; what is undefined is not checked. */
  readonly digest: Digest | undefined;
  readonly size: number | undefined;
  /** The bytes as they come: asked for once. They may end with an error when the signal aborts. */
  readonly open: (signal: AbortSignal) => AsyncIterable<Uint8Array>;
  /** Given the file with what had come when the whole failed. */
  readonly keep?: (path: string) => void;
};

export type IncomingImage = {
  readonly names: readonly Reference[];
  /** The text and what was read of it. */
  readonly configText: string;
  readonly config: ImageConfig;
  /** The manifest last; with its indexes in front of it. */
  readonly documents: readonly Omit<StagedDocument, "image">[];
  /** Bottom first. */
  readonly layers: readonly IncomingLayer[];
  readonly repoDigests?: readonly RepoDigest[];
  /** Repository that has all layers. */
  readonly source?: string | undefined;
};

export type LayerEvent = "exists" | "waiting" | "fetched" | "unpacked";

export type StageOptions = {
  /** Layers that are fetched and unpacked at the same time. */
  readonly parallel: number;
  /** Told of each layer, by its place from the bottom. */
  readonly onLayer?: (index: number, event: LayerEvent) => void;
};

/**
 * Stages the image and commits it; answers its id.
 * @throws TareError `corrupt`, `bad_input`, `unsupported`, and what fetching throws
 */
export async function bringIn(
  engine: Engine,
  image: IncomingImage,
  options: StageOptions,
): Promise<Digest> {
  const { config } = image;
  checkLayerCount(image.layers.length, config);
  using staging = new Staging(engine.store);
  using lease = new Lease(engine.store);
  lease.hold(chainIds(config.diffIds));
  const blobs = new Map<Digest, string>();
  const layers = await stageLayers(engine, image, options, staging.path, blobs);
  const id = stageDocument(image.configText, staging.path, blobs);
  for (const { text } of image.documents) stageDocument(text, staging.path, blobs);
  const roots = layers.map((layer) => rootOf(engine, layer));
  const last = image.documents.length - 1;
  await commitImage(engine.store, {
    id,
    config: image.configText,
    target: image.documents[0]?.digest,
    documents: image.documents.map((each, at) => (at === last ? { ...each, image: id } : each)),
    created: config.created ?? "",
    accounts: await readAccounts(engine, roots.toReversed()),
    layers,
    names: image.names,
    blobs,
    repoDigests: image.repoDigests ?? [],
    sources:
      image.source === undefined
        ? []
        : [{ repository: image.source, digests: layers.map(({ blob }) => blob) }],
  });
  return id;
}

function stageDocument(text: string, staging: string, blobs: Map<Digest, string>): Digest {
  const digest = digestOf(text);
  const path = stagedBlob(staging, digest);
  writeFileSync(path, text, { mode: 0o600 });
  blobs.set(digest, path);
  return digest;
}

/** A layer of the image, and what of it the store has. */
type PlannedLayer = {
  readonly index: number;
  readonly chainId: Digest;
  readonly diffId: Digest;
  readonly known: StagedLayer | undefined;
  readonly incoming: IncomingLayer;
};

function planLayers(engine: Engine, image: IncomingImage): PlannedLayer[] {
  const chain = chainIds(image.config.diffIds);
  return image.layers.flatMap((incoming, index) => {
    const [chainId, diffId] = [chain[index], image.config.diffIds[index]];
    if (chainId === undefined || diffId === undefined) return [];
    const known = soundLayer(engine.store, chainId);
    const spoiled = incoming.digest !== undefined && isMarkedDamaged(engine.store, incoming.digest);
    return [{ index, chainId, diffId, known: spoiled ? undefined : known, incoming }];
  });
}

/** Bottom first. */
async function stageLayers(
  engine: Engine,
  image: IncomingImage,
  options: StageOptions,
  staging: string,
  blobs: Map<Digest, string>,
): Promise<StagedLayer[]> {
  const stage = async (
    { index, chainId, diffId, known, incoming }: PlannedLayer,
    below: () => Promise<StagedLayer[]>,
    signal: AbortSignal,
  ): Promise<StagedLayer> => {
    if (known !== undefined) return known;
    const { digest, size } = incoming;
    const name = digest === undefined ? `incoming-${index}` : downloadName(index, digest);
    const aside = `${staging}/${name}`;
    const path = `${staging}/layer-${index}`;
    const bytes = noticed(incoming.open(signal), () => options.onLayer?.(index, "fetched"));
    const taken = await takeLayer(engine, bytes, {
      ...{ blob: aside, root: path, digest, size, diffId, signal, keep: incoming.keep },
      lower: async () => (await below()).map((it) => rootOf(engine, it)),
    });
    const file = stagedBlob(staging, taken.digest);
    renameSync(aside, file);
    blobs.set(taken.digest, file);
    options.onLayer?.(index, "unpacked");
    return { chainId, diffId, blob: taken.digest, size: taken.size, path };
  };
  const planned = planLayers(engine, image);
  for (const { index, known } of planned) {
    options.onLayer?.(index, known === undefined ? "waiting" : "exists");
  }
  return await takeInOrder(planned, options.parallel, stage);
}

function rootOf(engine: Engine, layer: StagedLayer): string {
  return layer.path ?? layerPath(engine.store, layer.chainId);
}

/** The same bytes; `ended` is called after the last one. */
async function* noticed(
  bytes: AsyncIterable<Uint8Array>,
  ended: () => void,
): AsyncGenerator<Uint8Array> {
  yield* bytes;
  ended();
}
