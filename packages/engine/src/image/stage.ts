/**
 * Brings one image into the store from wherever its bytes are: an archive, a registry. Layers that the
 * store has are not fetched; of the others, some are fetched ahead while the ones below are unpacked.
 * Nothing shows in the store before all of it is right.
 */
import { renameSync, writeFileSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { assert } from "@tare/spec/error.ts";
import { checkLayerCount, type ImageConfig } from "@tare/spec/oci-image-config.ts";
import type { Reference } from "@tare/spec/reference.ts";
import type { Engine } from "../engine.ts";
import { readAccounts } from "../helper.ts";
import type { StagedDocument } from "../store/blob-rows.ts";
import { Lease } from "../store/leases.ts";
import type { RepoDigest } from "../store/names.ts";
import { layerPath, Staging } from "../store/store.ts";
import { commitImage, knownLayer, type StagedLayer, stagedBlob } from "./commit.ts";
import { chainIds, digestOf } from "./digest.ts";
import { unpackKnownLayer } from "./layer.ts";

export type IncomingLayer = {
  /**
   * Writes the blob to a new file and answers the digest of what was written, which it has checked
   * where it was named; stops with an error when the signal aborts.
   */
  readonly fetch: (to: string, signal: AbortSignal) => Promise<Digest>;
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

export type LayerEvent = "exists" | "fetched" | "unpacked";

export type StageOptions = {
  /** Layers that are fetched at the same time. */
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
  const roots = layers.map((layer) => layer.path ?? layerPath(engine.store, layer.chainId));
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
    return [{ index, chainId, diffId, known: knownLayer(engine.store, chainId), incoming }];
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
  const layers: StagedLayer[] = [];
  const below: string[] = [];
  const planned = planLayers(engine, image);
  await using ahead = new FetchAhead(planned, options, staging);
  for (const { index, chainId, diffId, known } of planned) {
    if (known !== undefined) {
      options.onLayer?.(index, "exists");
      layers.push(known);
      below.unshift(layerPath(engine.store, chainId));
      continue;
    }
    const blob = await ahead.take(index);
    options.onLayer?.(index, "fetched");
    const path = `${staging}/layer-${index}`;
    const file = stagedBlob(staging, blob);
    blobs.set(blob, file);
    const { size } = await unpackKnownLayer(engine, file, path, below, diffId);
    options.onLayer?.(index, "unpacked");
    layers.push({ chainId, diffId, blob, size, path });
    below.unshift(path);
  }
  return layers;
}

/** Fetches layers in their order, some at a time; its end stops what still runs, and waits for that. */
class FetchAhead implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #results = new Map<number, Promise<Digest>>();
  readonly #workers: Promise<void>[] = [];
  /** What went wrong first: all others then fail for having been stopped. */
  #failure: unknown;

  constructor(planned: readonly PlannedLayer[], { parallel }: StageOptions, staging: string) {
    const waiting = planned.filter(({ known }) => known === undefined);
    const starts = new Map<number, PromiseWithResolvers<Digest>>();
    for (const { index } of waiting) {
      const start = Promise.withResolvers<Digest>();
      // A failure that nobody takes any more, since an earlier one ended the whole.
      start.promise.catch(() => {});
      starts.set(index, start);
      this.#results.set(index, start.promise);
    }
    const queue = waiting.values();
    const work = async () => {
      for (const { index, incoming } of queue) {
        const fetched = this.#fetch(incoming, index, staging);
        starts.get(index)?.resolve(fetched);
        await fetched.catch((error) => this.#fail(error));
      }
    };
    for (let count = 0; count < parallel; count++) this.#workers.push(work());
  }

  async take(index: number): Promise<Digest> {
    const result = this.#results.get(index);
    assert(result !== undefined, `layer ${index} is fetched`);
    try {
      return await result;
    } catch (error) {
      throw this.#failure ?? error;
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#stop.abort();
  }

  async #fetch(incoming: IncomingLayer, index: number, staging: string): Promise<Digest> {
    this.#stop.signal.throwIfAborted();
    const aside = `${staging}/incoming-${index}`;
    const digest = await incoming.fetch(aside, this.#stop.signal);
    renameSync(aside, stagedBlob(staging, digest));
    return digest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#workers);
  }
}
