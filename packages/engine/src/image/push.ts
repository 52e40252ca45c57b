/**
 * `push`: blobs first, each only where the repository lacks it, then what names them; the tag last. So a
 * push that is cut off changes nothing that others see. Source: OCI distribution-spec 1.1, "Push".
 */
import { type Digest, digestHex } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { formatFamiliar, type Reference, repositoryName } from "@tare/spec/reference.ts";
import type { Engine } from "../engine.ts";
import type { RegistryClient } from "../registry/client.ts";
import { endpointsOf } from "../registry/endpoints.ts";
import { putManifest } from "../registry/manifests.ts";
import { Session } from "../registry/session.ts";
import { type Uploaded, uploadBlob } from "../registry/upload.ts";
import { addSources, dropSource, knownBlob, sourcesOf } from "../store/blobs.ts";
import { Lease } from "../store/leases.ts";
import { addRepoDigest, findName } from "../store/names.ts";
import { blobPath, Staging } from "../store/store.ts";
import { copyBlob } from "./copy-blob.ts";
import { completeDocuments } from "./list-members.ts";
import { wantList } from "./manifest-list.ts";
import { type PushedBlob, type PushPlan, planPush, planWhole } from "./push-plan.ts";

export type PushEvent =
  /** The layers, in the order of the manifest, each by the digest of its plain archive where that is known. */
  | { readonly kind: "layers"; readonly layers: readonly Digest[] }
  | { readonly kind: "layer"; readonly id: Digest; readonly state: "preparing" | Uploaded }
  | {
      readonly kind: "progress";
      readonly id: Digest;
      readonly bytes: number;
      readonly total: number;
    };

export type PushOptions = {
  readonly onEvent?: (event: PushEvent) => void;
  readonly signal?: AbortSignal;
};

export type PushedImage = {
  /** What the tag is now. */
  readonly digest: Digest;
  /** Bytes of that document. */
  readonly size: number;
};

/** A registry is asked for a mount from as many repositories, not more. */
const MOUNTS_MAX = 3;

/**
 * Pushes what a name with a tag stands for.
 * @throws TareError `not_found`, `no_permission`, `corrupt`, `system`
 */
export async function pushImage(
  engine: Engine,
  client: RegistryClient,
  reference: Reference,
  options: PushOptions = {},
): Promise<PushedImage> {
  const { store } = engine;
  const { signal = new AbortController().signal } = options;
  const name = formatFamiliar(reference);
  const target = findName(store, reference);
  if (target === undefined || reference.tag === undefined) {
    throw new TareError("not_found", `Cannot push "${name}": the store has no image of that name`, {
      hint: `Give it one first: tare tag IMAGE ${name}`,
    });
  }
  using lease = new Lease(store);
  const plan = await planPush(engine, target, lease, signal);
  return await sendPlan(engine, client, reference, plan, {
    ...options,
    signal,
    image: target.image,
  });
}

/**
 * Pushes a manifest list with all of its members, under another name than its own where one is given. What
 * the registry has in another repository is mounted, what the store lacks is copied.
 * @throws TareError `not_found`, `no_permission`, `corrupt`, `system`
 */
export async function pushList(
  engine: Engine,
  client: RegistryClient,
  name: Reference,
  to: Reference,
  options: PushOptions = {},
): Promise<PushedImage> {
  const { store } = engine;
  const { signal = new AbortController().signal } = options;
  using lease = new Lease(store);
  const { digest, text } = wantList(store, name);
  lease.hold([digest]);
  const index = { text, repository: repositoryName(name) };
  await completeDocuments(engine, client, lease, index, signal);
  const plan = await planWhole(engine, digest, lease, signal);
  return await sendPlan(engine, client, to, plan, { ...options, signal, image: undefined });
}

async function sendPlan(
  engine: Engine,
  client: RegistryClient,
  reference: Reference,
  plan: PushPlan,
  options: PushOptions & { readonly signal: AbortSignal; readonly image: Digest | undefined },
): Promise<PushedImage> {
  const { store } = engine;
  const { tag = "latest" } = reference;
  using staging = new Staging(store);
  const push = new Push(engine, client, reference, plan, options, options.signal, staging.path);
  await push.sendBlobs();
  const last = await push.sendDocuments(tag);
  const repository = repositoryName(reference);
  addSources(
    store,
    repository,
    plan.blobs.map(({ digest }) => digest),
  );
  addRepoDigest(store, { repository, digest: last.digest }, options.image);
  return { digest: last.digest, size: Buffer.byteLength(last.text) };
}

class Push {
  readonly #engine: Engine;
  readonly #client: RegistryClient;
  readonly #plan: PushPlan;
  readonly #options: PushOptions;
  readonly #signal: AbortSignal;
  readonly #session: Session;
  readonly #reference: Reference;
  readonly #mounts: ReadonlyMap<Digest, readonly string[]>;
  /** For what is copied. */
  readonly #staging: string;

  constructor(
    engine: Engine,
    client: RegistryClient,
    reference: Reference,
    plan: PushPlan,
    options: PushOptions,
    signal: AbortSignal,
    staging: string,
  ) {
    this.#staging = staging;
    this.#engine = engine;
    this.#client = client;
    this.#plan = plan;
    this.#options = options;
    this.#signal = signal;
    this.#reference = reference;
    this.#mounts = new Map(plan.blobs.map((blob) => [blob.digest, this.#mountsOf(blob)]));
    const [endpoint] = endpointsOf(client.settings, reference, "push");
    if (endpoint === undefined) throw new RangeError("a repository has an endpoint");
    const alsoPull = [...new Set([...this.#mounts.values()].flat())];
    this.#session = new Session(client, endpoint, { access: "push", alsoPull, signal });
  }

  async sendBlobs(): Promise<void> {
    const layers = this.#plan.blobs.filter(({ isLayer }) => isLayer);
    this.#options.onEvent?.({ kind: "layers", layers: layers.map((blob) => this.#idOf(blob)) });
    for (const blob of layers) this.#tell(blob, "preparing");
    const stop = new AbortController();
    const queue = this.#plan.blobs.values();
    const signal = AbortSignal.any([stop.signal, this.#signal]);
    let failure: unknown;
    const work = async () => {
      for (const blob of queue) {
        try {
          await this.#sendBlob(blob, signal);
        } catch (error) {
          failure ??= error;
          stop.abort(error);
          return;
        }
      }
    };
    const { parallel } = this.#client.settings.transfer;
    await Promise.all(Array.from({ length: parallel }, work));
    if (failure !== undefined) throw failure;
  }

  /** Answers the last one, which the tag stands for. */
  async sendDocuments(tag: string): Promise<PushPlan["documents"][number]> {
    const { documents } = this.#plan;
    const last = documents.at(-1);
    if (last === undefined) throw new RangeError("a plan has a document");
    const what = `Cannot push "${formatFamiliar(this.#reference)}"`;
    for (const document of documents.slice(0, -1)) {
      await putManifest(this.#session, document.digest, document, what);
    }
    await putManifest(this.#session, tag, last, what);
    return last;
  }

  async #sendBlob(blob: PushedBlob, signal: AbortSignal): Promise<void> {
    const { store } = this.#engine;
    const { digest, size } = blob;
    const mountFrom = this.#mounts.get(digest) ?? [];
    const id = this.#idOf(blob);
    const uploaded = await uploadBlob(
      this.#session,
      { digest, size, path: async () => await this.#pathOf(blob, signal) },
      {
        signal,
        mountFrom,
        onProgress: (bytes) => {
          if (blob.isLayer) this.#options.onEvent?.({ kind: "progress", id, bytes, total: size });
        },
      },
    );
    // Who would not give it has it no longer, or not for us. Of what is not here it may be all that is
    // known: a registry need not mount, and a push that fails is to be tried again.
    if (uploaded.kind === "sent" && blob.from === undefined) {
      for (const path of mountFrom) dropSource(store, `${this.#reference.domain}/${path}`, digest);
    }
    if (blob.isLayer) this.#tell(blob, uploaded);
  }

  /** A file with the blob: of the store, or a copy. */
  async #pathOf({ digest, size, from }: PushedBlob, signal: AbortSignal): Promise<string> {
    if (from === undefined) return blobPath(this.#engine.store, digest);
    const path = `${this.#staging}/${digestHex(digest)}`;
    await copyBlob(this.#client, { digest, size, from, path }, signal);
    return path;
  }

  /** Repositories at the same registry that had the blob. */
  #mountsOf({ digest }: PushedBlob): readonly string[] {
    const { domain, path } = this.#reference;
    const prefix = `${domain}/`;
    return sourcesOf(this.#engine.store, digest)
      .filter((source) => source.startsWith(prefix) && source !== `${prefix}${path}`)
      .map((source) => source.slice(prefix.length))
      .slice(0, MOUNTS_MAX);
  }

  #idOf({ digest }: PushedBlob): Digest {
    return knownBlob(this.#engine.store, digest)?.diffId ?? digest;
  }

  #tell(blob: PushedBlob, state: "preparing" | Uploaded): void {
    this.#options.onEvent?.({ kind: "layer", id: this.#idOf(blob), state });
  }
}
