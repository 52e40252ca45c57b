/**
 * `pull`: an image out of a registry. What a tag is, the registry says; everything else is fetched by
 * digest and checked while it is written. Indexes are kept beside the manifest that was chosen of them;
 * what is no container image (an artifact) is kept as it is.
 * Source: OCI distribution-spec 1.1, "Pull"; image-spec 1.1, image-index.md.
 */
import { statfsSync, writeFileSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { isConfigType } from "@tare/spec/media-type.ts";
import type { Descriptor, Index, Manifest } from "@tare/spec/oci-image.ts";
import { formatPlatform, type Platform, selectPlatform } from "@tare/spec/platform.ts";
import { formatFamiliar, type Reference, repositoryName } from "@tare/spec/reference.ts";
import type { Engine } from "../engine.ts";
import type { RegistryClient } from "../registry/client.ts";
import { blobBytes, readBlob } from "../registry/download.ts";
import { type FetchedDocument, getManifest } from "../registry/manifests.ts";
import type { Session } from "../registry/session.ts";
import { ruleOf } from "../registry/settings.ts";
import { Sources } from "../registry/sources.ts";
import { knownBlob, readDocument } from "../store/blobs.ts";
import { isBlobSound } from "../store/damage.ts";
import { Lease } from "../store/leases.ts";
import { findName } from "../store/names.ts";
import { claimPartial, dropPartials, keepPartial } from "../store/partials.ts";
import { downloadName, Staging, type Store, sweepStaging } from "../store/store.ts";
import { BlobWriter } from "./blob.ts";
import { commitContent, stagedBlob } from "./commit.ts";
import { checkAlgorithm, checkImageManifest, machinePlatform, readUsableConfig } from "./config.ts";
import { DOCUMENT_BYTES_MAX, decodeDocument } from "./document.ts";
import { bringIn, type LayerEvent } from "./stage.ts";

const INDEX_DEPTH_MAX = 4;

export type PullEvent =
  /** The layers, or blobs of an artifact, bottom first. */
  | { readonly kind: "layers"; readonly layers: readonly Descriptor[] }
  | { readonly kind: "layer"; readonly index: number; readonly state: LayerState }
  /** Bytes of a layer that are there. */
  | { readonly kind: "progress"; readonly index: number; readonly bytes: number }
  | { readonly kind: "mirror-failed"; readonly mirror: string; readonly why: string };

export type LayerState = "exists" | "waiting" | "downloading" | "downloaded" | "unpacking" | "done";

export type PullOptions = {
  /** Default: this machine's. */
  readonly platform?: Platform | undefined;
  readonly onEvent?: (event: PullEvent) => void;
  readonly signal?: AbortSignal;
};

export type PulledImage = {
  /** The image; absent for an artifact. */
  readonly id: Digest | undefined;
  /** What the tag is: of a manifest or an index. */
  readonly digest: Digest;
  /** Whether the name stood for something else before. */
  readonly isNew: boolean;
};

/**
 * Brings what the reference names into the store.
 * @throws TareError `not_found`, `no_permission`, `corrupt`, `unsupported`, `bad_input`, `system`
 */
export async function pullImage(
  engine: Engine,
  client: RegistryClient,
  reference: Reference,
  options: PullOptions = {},
): Promise<PulledImage> {
  sweepStaging(engine.store);
  const { signal = new AbortController().signal } = options;
  const onMirrorFailure = (mirror: string, why: string) =>
    options.onEvent?.({ kind: "mirror-failed", mirror, why });
  const attempt = async (withoutMirrors: boolean) => {
    const sources = new Sources(client, reference, { signal, onMirrorFailure, withoutMirrors });
    const pull = () => new Pull(engine, client, reference, sources, options, signal);
    const first = pull();
    try {
      return await first.run();
    } catch (error) {
      // What was there from an earlier command may be what was wrong: it is gone now.
      if (!first.resumed || first.wasCut) throw error;
      return await pull().run();
    }
  };
  const { mirrors } = ruleOf(client.settings, reference.domain);
  try {
    return await attempt(false);
  } catch (error) {
    // Bytes that were not what a digest says cannot be taken back: all anew, from the registry alone.
    const isLie = error instanceof TareError && error.code === "corrupt";
    if (!isLie || mirrors.length === 0) throw error;
    onMirrorFailure(mirrors.join(", "), error.message);
    return await attempt(true);
  }
}

class Pull {
  readonly #engine: Engine;
  readonly #client: RegistryClient;
  readonly #reference: Reference;
  readonly #sources: Sources;
  readonly #options: PullOptions;
  readonly #signal: AbortSignal;
  readonly #what: string;
  /** Beginnings of blobs from earlier commands. */
  readonly #claimed = new Map<Digest, string>();
  #staging: Staging | undefined;
  #cut = false;

  constructor(
    engine: Engine,
    client: RegistryClient,
    reference: Reference,
    sources: Sources,
    options: PullOptions,
    signal: AbortSignal,
  ) {
    this.#engine = engine;
    this.#client = client;
    this.#reference = reference;
    this.#sources = sources;
    this.#options = options;
    this.#signal = signal;
    this.#what = `Cannot pull "${formatFamiliar(reference)}"`;
  }

  /** Whether bytes of an earlier command were used. */
  get resumed(): boolean {
    return this.#claimed.size > 0;
  }

  /** Whether it ended for want of bytes, which may come another time, and not for those that came. */
  get wasCut(): boolean {
    return this.#cut || this.#signal.aborted;
  }

  async run(): Promise<PulledImage> {
    try {
      return await this.#bring();
    } finally {
      this.#staging?.[Symbol.dispose]();
    }
  }

  async #bring(): Promise<PulledImage> {
    const { store } = this.#engine;
    using lease = new Lease(store);
    const documents = await this.#findDocuments();
    const [top] = documents;
    const last = documents.at(-1);
    if (top === undefined || last?.parsed.kind !== "manifest") throw new RangeError("no manifest");
    const manifest = last.parsed;
    const parts = [manifest.config, ...manifest.layers, ...documents];
    lease.hold(parts.map(({ digest }) => digest));
    const before = this.#standsFor();
    const isImage = isConfigType(manifest.config.mediaType);
    const id = isImage
      ? await this.#bringImage(documents, manifest)
      : await this.#bringArtifact(documents, manifest);
    const isNew = before?.target !== top.digest || before.image !== id;
    return { id, digest: top.digest, isNew };
  }

  #standsFor() {
    const { domain, path, tag } = this.#reference;
    return tag === undefined ? undefined : findName(this.#engine.store, { domain, path, tag });
  }

  /** The index, perhaps further ones in it, and the manifest for the platform. */
  async #findDocuments(): Promise<FetchedDocument[]> {
    const { tag = "latest", digest } = this.#reference;
    const ask = (session: Parameters<Parameters<Sources["fetch"]>[0]>[0]) =>
      getManifest(session, tag, digest, this.#what);
    const found = digest === undefined ? this.#sources.resolve(ask) : this.#sources.fetch(ask);
    const documents = [await found];
    for (let document = documents[0]; document?.parsed.kind === "index"; ) {
      if (documents.length > INDEX_DEPTH_MAX) {
        throw new TareError("bad_input", `${this.#what}: its indexes are nested too deeply`);
      }
      document = await this.#fetchDocument(this.#choose(document.parsed));
      documents.push(document);
    }
    return documents;
  }

  #choose(index: Index): Descriptor {
    const wanted = this.#options.platform ?? machinePlatform();
    const chosen = selectPlatform(index.manifests, wanted);
    if (chosen !== undefined) return chosen;
    const there = index.manifests.flatMap(({ platform }) =>
      platform === undefined || platform.os === "unknown" ? [] : [formatPlatform(platform)],
    );
    const options = there.length === 0 ? {} : { hint: `It is there for ${there.join(", ")}` };
    const why = `there is none for ${formatPlatform(wanted)}`;
    throw new TareError("not_found", `${this.#what}: ${why}`, options);
  }

  async #fetchDocument(descriptor: Descriptor): Promise<FetchedDocument> {
    checkAlgorithm(descriptor.digest);
    const document = await this.#sources.fetch((session) =>
      getManifest(session, "", descriptor.digest, this.#what),
    );
    const { size } = descriptor;
    const actual = Buffer.byteLength(document.text);
    if (actual === size) return document;
    throw new TareError(
      "corrupt",
      `Cannot use manifest "${descriptor.digest}": it has ${actual} bytes, not ${size}`,
    );
  }

  async #bringImage(documents: readonly FetchedDocument[], manifest: Manifest): Promise<Digest> {
    checkImageManifest(manifest);
    for (const { digest } of manifest.layers) checkAlgorithm(digest);
    const text = await this.#readConfig(manifest.config);
    const config = readUsableConfig(text, this.#options.platform);
    this.#tell({ kind: "layers", layers: manifest.layers });
    return await bringIn(
      this.#engine,
      {
        names: this.#names(),
        configText: text,
        config,
        documents: documents.map(stagedOf),
        layers: manifest.layers.map((layer, index) => ({
          digest: layer.digest,
          size: layer.size,
          open: (signal: AbortSignal) => this.#openLayer(layer, index, signal),
          keep: (path: string) => this.#keepBeginning(layer, path),
        })),
        repoDigests: this.#repoDigests(documents),
        source: repositoryName(this.#reference),
      },
      {
        parallel: this.#client.settings.transfer.parallel,
        onLayer: (index, event) => this.#tell({ kind: "layer", index, state: STATES[event] }),
      },
    );
  }

  /** From the store where it is there and as it should be. */
  async #readConfig(descriptor: Descriptor): Promise<string> {
    checkAlgorithm(descriptor.digest);
    const { store } = this.#engine;
    // A manifest may call anything its configuration, such as a layer that is here.
    if (knownBlob(store, descriptor.digest)?.size === descriptor.size) {
      const text = readSound(store, descriptor.digest);
      if (text !== undefined) return text;
    }
    const { sessions } = this.#sources;
    const bytes = await readBlob(sessions, descriptor, DOCUMENT_BYTES_MAX, this.#download());
    return decodeDocument(bytes, `configuration "${descriptor.digest}"`);
  }

  async *#openLayer(
    layer: Descriptor,
    index: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    this.#checkSpace(layer);
    this.#tell({ kind: "layer", index, state: "downloading" });
    const from = this.#claim(layer);
    const before = this.#claimed.get(layer.digest);
    if (from > 0 && before !== undefined) yield* Bun.file(before).stream();
    try {
      yield* blobBytes(this.#sources.sessions, layer, {
        ...this.#download(),
        from,
        signal: AbortSignal.any([signal, this.#signal]),
        onProgress: (bytes) => this.#tell({ kind: "progress", index, bytes }),
      });
    } catch (error) {
      const isLie = error instanceof TareError && error.code === "corrupt";
      this.#cut ||= !isLie && !signal.aborted;
      throw error;
    }
    this.#tell({ kind: "layer", index, state: "downloaded" });
  }

  /** Takes over what an earlier command has of the blob; answers its bytes. */
  #claim({ digest, size }: Descriptor): number {
    if (this.#claimed.has(digest)) return 0;
    this.#staging ??= new Staging(this.#engine.store);
    const path = `${this.#staging.path}/${downloadName(0, digest)}`;
    const from = claimPartial(this.#engine.store, digest, path);
    if (from === 0 || from > size) return 0;
    this.#claimed.set(digest, path);
    return from;
  }

  /** Of a blob that has not come wholly, for a later command. */
  #keepBeginning({ digest }: Descriptor, path: string): void {
    if (!this.wasCut) return;
    for (const each of [path, this.#claimed.get(digest)]) {
      if (each !== undefined) keepPartial(this.#engine.store, digest, each);
    }
  }

  #download() {
    return {
      signal: this.#signal,
      onFailure: ({ endpoint }: Session, { message }: TareError) =>
        this.#tell({ kind: "mirror-failed", mirror: endpoint.registry, why: message }),
    };
  }

  /** Better before the disk is full than when it is. */
  #checkSpace({ digest, size }: Descriptor): void {
    const { root } = this.#engine.store;
    const isRoom = () => {
      const { bavail, bsize } = statfsSync(root);
      return size <= bavail * bsize;
    };
    if (isRoom()) return;
    dropPartials(this.#engine.store);
    if (isRoom()) return;
    const { bavail, bsize } = statfsSync(root);
    throw new TareError("system", `${this.#what}: no room on the disk for layer "${digest}"`, {
      hint: `It has ${size} bytes; there are ${bavail * bsize} left`,
    });
  }

  async #bringArtifact(
    documents: readonly FetchedDocument[],
    manifest: Manifest,
  ): Promise<undefined> {
    const { store } = this.#engine;
    using staging = new Staging(store);
    const blobs = new Map<Digest, string>();
    const parts = [manifest.config, ...manifest.layers];
    this.#tell({ kind: "layers", layers: parts });
    for (const [index, part] of parts.entries()) {
      checkAlgorithm(part.digest);
      if (blobs.has(part.digest) || isBlobSound(store, part.digest)) {
        this.#tell({ kind: "layer", index, state: "exists" });
        continue;
      }
      const path = stagedBlob(staging.path, part.digest);
      await this.#keep(part, index, path);
      blobs.set(part.digest, path);
      this.#tell({ kind: "layer", index, state: "done" });
    }
    for (const { digest, text } of documents) {
      const path = stagedBlob(staging.path, digest);
      writeFileSync(path, text, { mode: 0o600 });
      blobs.set(digest, path);
    }
    await commitContent(store, {
      blobs,
      documents: documents.map(stagedOf),
      names: this.#names(),
      target: documents[0]?.digest,
      repoDigests: this.#repoDigests(documents),
    });
    return undefined;
  }

  async #keep(part: Descriptor, index: number, path: string): Promise<void> {
    const { digest, size } = part;
    const writer = new BlobWriter(path, { digest, size });
    try {
      for await (const chunk of this.#openLayer(part, index, this.#signal)) writer.write(chunk);
      writer.finish();
    } finally {
      writer.close();
    }
  }

  /** A name with a digest names itself; only a tag is a name to keep. */
  #names(): Reference[] {
    const { domain, path, tag, digest } = this.#reference;
    return tag === undefined || digest !== undefined ? [] : [{ domain, path, tag }];
  }

  #repoDigests(documents: readonly FetchedDocument[]) {
    const repository = repositoryName(this.#reference);
    return documents.slice(0, 1).map(({ digest }) => ({ repository, digest }));
  }

  #tell(event: PullEvent): void {
    this.#options.onEvent?.(event);
  }
}

/** Undefined where the file is gone, damaged or too large: then it is fetched again, and takes its place. */
function readSound(store: Store, digest: Digest): string | undefined {
  try {
    return readDocument(store, digest);
  } catch (error) {
    if (error instanceof TareError) return undefined;
    throw error;
  }
}

const STATES: Readonly<Record<LayerEvent, LayerState>> = {
  exists: "exists",
  waiting: "waiting",
  fetched: "unpacking",
  unpacked: "done",
};

function stagedOf({ digest, text, parsed }: FetchedDocument) {
  return { digest, text, mediaType: parsed.mediaType };
}
