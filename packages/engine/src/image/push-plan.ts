/**
 * What a push sends: the manifest or index that a name stands for, as it is, where the store has all of
 * it; of an index that is here in part, the manifest of the image; else a manifest that is made of what
 * is there, and kept, so that the next push finds it.
 */
import { createReadStream, createWriteStream, statSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { layerType, OCI_CONFIG, OCI_MANIFEST } from "@tare/spec/media-type.ts";
import { type Manifest, parseManifestOrIndex } from "@tare/spec/oci-image.ts";
import type { Engine } from "../engine.ts";
import { knownBlob, manifestsOf, readDocument, sourcesOf } from "../store/blobs.ts";
import type { Lease } from "../store/leases.ts";
import type { NameTarget } from "../store/names.ts";
import { blobPath, Staging, type Store } from "../store/store.ts";
import { commitContent, knownLayer, stagedBlob } from "./commit.ts";
import { type Compression, detectCompression, MAGIC_BYTES } from "./compression.ts";
import { digestOf, finishDigest } from "./digest.ts";
import { layersOf } from "./lookup.ts";

export type PushedBlob = {
  readonly digest: Digest;
  readonly size: number;
  readonly isLayer: boolean;
  /** Not in the store: it is copied from one of these repositories. */
  readonly from?: readonly string[];
};

export type PushedDocument = {
  readonly digest: Digest;
  readonly text: string;
  readonly mediaType: string;
};

export type PushPlan = {
  /** Each once. */
  readonly blobs: readonly PushedBlob[];
  /** What an index names before the index itself; the last one is what the tag will be. */
  readonly documents: readonly PushedDocument[];
};

const INDEX_DEPTH_MAX = 4;
/** Each has up to 4 MiB, and all are kept in memory. */
const DOCUMENTS_MAX = 500;

/**
 * The plan for a name's target. The lease holds all of it.
 * @throws TareError `not_found` where nothing of it can be pushed; `corrupt`; `bad_input` where indexes
 *   name too many manifests; what `signal` aborts with
 */
export async function planPush(
  engine: Engine,
  { target, image }: NameTarget,
  lease: Lease,
  signal: AbortSignal,
): Promise<PushPlan> {
  const { store } = engine;
  const manifests = image === undefined ? [] : manifestsOf(store, image);
  const candidates =
    target === undefined ? manifests : [target, ...preferred(store, target, manifests)];
  for (const candidate of candidates) {
    const plan = await new Planner(engine, lease, signal).plan(candidate, INDEX_DEPTH_MAX);
    if (plan !== undefined) return plan;
  }
  if (image !== undefined) {
    const manifest = await makeManifest(engine, image, lease);
    const made = await new Planner(engine, lease, signal).plan(manifest, 0);
    if (made !== undefined) return made;
  }
  throw new TareError("not_found", "Cannot push: parts of it are not in the store", {
    hint: "Pull it again, then push",
  });
}

/**
 * The plan for an index with all that it names, of which the store has the documents. Layers that it
 * has not are copied from where they are known to be.
 * @throws TareError as `planPush`
 */
export async function planWhole(
  engine: Engine,
  target: Digest,
  lease: Lease,
  signal: AbortSignal,
): Promise<PushPlan> {
  const plan = await new Planner(engine, lease, signal, { copies: true }).plan(
    target,
    INDEX_DEPTH_MAX,
  );
  if (plan !== undefined) return plan;
  throw new TareError(
    "not_found",
    "Cannot push: parts of it are neither here nor known elsewhere",
    {
      hint: "Add them again",
    },
  );
}

/** Those first that the target names. */
function preferred(store: Store, target: Digest, manifests: readonly Digest[]): Digest[] {
  const text = knownBlob(store, target) === undefined ? "" : readDocument(store, target);
  return [...manifests].sort((a, b) => Number(text.includes(b)) - Number(text.includes(a)));
}

/**
 * Walks down from one document. Each is read once, however often indexes name it: whose index it is may
 * wish that we read for years. What is looked at is held before.
 */
class Planner {
  readonly #store: Store;
  readonly #lease: Lease;
  readonly #signal: AbortSignal;
  readonly #copies: boolean;
  /** Whether all of a document is here. */
  readonly #seen = new Map<Digest, boolean>();
  #count = 0;
  readonly #blobs = new Map<Digest, PushedBlob>();
  readonly #documents: PushedDocument[] = [];

  /** `copies`: blobs may be elsewhere. */
  constructor(
    { store }: Engine,
    lease: Lease,
    signal: AbortSignal,
    { copies } = { copies: false },
  ) {
    this.#store = store;
    this.#lease = lease;
    this.#signal = signal;
    this.#copies = copies;
  }

  /** Undefined where the store lacks something of it. */
  async plan(digest: Digest, depth: number): Promise<PushPlan | undefined> {
    const isWhole = await this.#visit(digest, depth);
    return isWhole ? { blobs: [...this.#blobs.values()], documents: this.#documents } : undefined;
  }

  async #visit(digest: Digest, depth: number): Promise<boolean> {
    const before = this.#seen.get(digest);
    if (before !== undefined) return before;
    if (++this.#count > DOCUMENTS_MAX) {
      throw new TareError("bad_input", `Cannot push: more than ${DOCUMENTS_MAX} manifests in it`);
    }
    // Signals are heard between two documents.
    await new Promise((resolve) => setImmediate(resolve));
    this.#signal.throwIfAborted();
    const isWhole = await this.#read(digest, depth);
    this.#seen.set(digest, isWhole);
    return isWhole;
  }

  async #read(digest: Digest, depth: number): Promise<boolean> {
    this.#lease.hold([digest]);
    const known = knownBlob(this.#store, digest);
    if (known === undefined) return false;
    const text = readDocument(this.#store, digest);
    const parsed = parseManifestOrIndex(text, known.mediaType);
    if (parsed.kind === "manifest") {
      if (!this.#takeBlobs(parsed)) return false;
    } else {
      if (depth === 0) return false;
      for (const child of parsed.manifests) {
        if (!(await this.#visit(child.digest, depth - 1))) return false;
      }
    }
    this.#documents.push({ digest, text, mediaType: parsed.mediaType });
    return true;
  }

  #takeBlobs({ config, layers }: Manifest): boolean {
    const parts = [
      { digest: config.digest, size: config.size, isLayer: false },
      ...layers.map(({ digest, size }) => ({ digest, size, isLayer: true })),
    ];
    this.#lease.hold(parts.map(({ digest }) => digest));
    for (const part of parts) {
      const from = this.#copies ? sourcesOf(this.#store, part.digest) : [];
      const isHere = knownBlob(this.#store, part.digest) !== undefined;
      if (!isHere && from.length === 0) return false;
      this.#blobs.set(part.digest, isHere ? part : { ...part, from });
    }
    return true;
  }
}

type MadeLayer = {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
};

/** Makes a manifest of the image's layers as they lie here, plain ones compressed; keeps both. */
async function makeManifest(engine: Engine, image: Digest, lease: Lease): Promise<Digest> {
  const { store } = engine;
  lease.hold([image, ...layersOf(store, image)]);
  using staging = new Staging(store);
  const blobs = new Map<Digest, string>();
  const layers: MadeLayer[] = [];
  for (const chainId of layersOf(store, image).toReversed()) {
    const blob = knownLayer(store, chainId)?.blob;
    if (blob !== undefined) lease.hold([blob]);
    if (blob === undefined || knownBlob(store, blob) === undefined) {
      throw new TareError("not_found", "Cannot push: a layer of the image is not in the store");
    }
    layers.push(await packLayer(store, blob, staging.path, blobs));
  }
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: OCI_CONFIG, digest: image, size: statSync(blobPath(store, image)).size },
    layers,
  });
  const digest = digestOf(text);
  const path = stagedBlob(staging.path, digest);
  await Bun.write(path, text);
  blobs.set(digest, path);
  const documents = [{ digest, mediaType: OCI_MANIFEST, text, image }];
  await commitContent(store, { blobs, documents, names: [] });
  return digest;
}

async function packLayer(
  store: Store,
  blob: Digest,
  staging: string,
  blobs: Map<Digest, string>,
): Promise<MadeLayer> {
  const from = blobPath(store, blob);
  const head = await Bun.file(from).slice(0, MAGIC_BYTES).bytes();
  const compression: Compression = detectCompression(head);
  if (compression === "gzip" || compression === "zstd") {
    return { mediaType: layerType(compression), digest: blob, size: statSync(from).size };
  }
  const aside = `${staging}/packed-${blobs.size}`;
  // The same bytes each time: no name and no time is in there.
  await pipeline(createReadStream(from), createGzip(), createWriteStream(aside, { mode: 0o600 }));
  const digest = await hashFile(aside);
  blobs.set(digest, aside);
  return { mediaType: layerType("gzip"), digest, size: statSync(aside).size };
}

async function hashFile(path: string): Promise<Digest> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(path).stream()) hasher.update(chunk);
  return finishDigest(hasher);
}
