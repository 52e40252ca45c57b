/**
 * Brings a staged image into the store: all that is not there yet is renamed into place and the rows
 * are written, under one lock, so that two commands that bring the same layer cannot collide.
 */
import { existsSync, renameSync, rmSync, statSync } from "node:fs";
import { type Digest, digestHex } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Reference } from "@tare/spec/reference.ts";
import type { Accounts } from "../helper.ts";
import { type StagedDocument, writeBlob, writeDocument, writeSources } from "../store/blob-rows.ts";
import { knownBlob } from "../store/blobs.ts";
import { forgetDamage, isBlobSound, isLayerSound } from "../store/damage.ts";
import { syncDirectory, syncFileSystem } from "../store/durable.ts";
import { type RepoDigest, writeName, writeRepoDigest } from "../store/names.ts";
import { blobPath, layerPath, type Store } from "../store/store.ts";
import { layerUser, replaceLayer } from "./replace-layer.ts";

export type StagedLayer = {
  readonly chainId: Digest;
  readonly diffId: Digest;
  readonly blob: Digest;
  readonly size: number;
  /** Where the unpacked layer is; undefined: in the store already. */
  readonly path: string | undefined;
};

/** What comes in with an image, or with an artifact alone. */
export type StagedContent = {
  /** Staged files by digest: every blob that the store may lack. */
  readonly blobs: ReadonlyMap<Digest, string>;
  /** Manifests and indexes to keep as they are; each is staged among `blobs` or in the store. */
  readonly documents?: readonly StagedDocument[];
  readonly names: readonly Reference[];
  /** The manifest or index that the names stand for. */
  readonly target?: Digest | undefined;
  readonly repoDigests?: readonly RepoDigest[];
  /** Blobs that a repository is known to have. */
  readonly sources?: readonly {
    readonly repository: string;
    readonly digests: readonly Digest[];
  }[];
};

export type StagedImage = StagedContent & {
  readonly id: Digest;
  readonly config: string;
  readonly created: string;
  readonly accounts: Accounts;
  /** Bottom first. */
  readonly layers: readonly StagedLayer[];
  /** The image that this one was made of, here. */
  readonly parent?: Digest | undefined;
};

/**
 * @throws TareError `conflict` where a layer that was there has been removed meanwhile.
 */
export async function commitImage(store: Store, image: StagedImage): Promise<void> {
  await syncFileSystem(store.root);
  store.db
    .transaction(() => {
      for (const layer of image.layers) placeLayer(store, layer);
      placeBlobs(store, image);
      writeImage(store, image);
      writeContent(store, image, image.id);
    })
    .immediate();
}

/** Brings in documents and blobs that are no image of this machine: artifacts, referrers, indexes. */
export async function commitContent(store: Store, content: StagedContent): Promise<void> {
  await syncFileSystem(store.root);
  store.db
    .transaction(() => {
      placeBlobs(store, content);
      writeContent(store, content, undefined);
    })
    .immediate();
}

function placeLayer(store: Store, layer: StagedLayer): void {
  const known = store.db
    .query<{ chain_id: string }, [string]>("SELECT chain_id FROM layers WHERE chain_id = ?")
    .get(layer.chainId);
  if (known !== null) {
    if (layer.path !== undefined) mendLayer(store, layer, layer.path);
    return;
  }
  if (layer.path === undefined) throw gone("a layer");
  const place = layerPath(store, layer.chainId);
  // A directory without a row is what a crash left.
  rmSync(place, { recursive: true, force: true });
  renameSync(layer.path, place);
  store.db.run("INSERT INTO layers (chain_id, diff_id, blob, size) VALUES (?, ?, ?, ?)", [
    layer.chainId,
    layer.diffId,
    layer.blob,
    layer.size,
  ]);
}

/**
 * A layer that is there came again. It is exchanged where it is damaged, or where nobody can tell, since its
 * blob is, and no container runs on it. Where another command was only quicker to bring it, others may be
 * reading what is there: it stays.
 */
function mendLayer(store: Store, { chainId, blob, size }: StagedLayer, path: string): void {
  const known = knownLayer(store, chainId)?.blob ?? blob;
  const isTold = isBlobSound(store, known) || layerUser(store, chainId) !== undefined;
  if (!isLayerSound(store, chainId) || !isTold) {
    replaceLayer(store, chainId, path, `${path}-old`);
    forgetDamage(store.db, chainId);
  }
  store.db.run("UPDATE layers SET blob = ?, size = ? WHERE chain_id = ?", [blob, size, chainId]);
}

function placeBlobs(store: Store, content: StagedContent): void {
  for (const [digest, path] of content.blobs) {
    const place = blobPath(store, digest);
    // Also over one that is there: what is staged was checked, that one may be damaged by now.
    if (existsSync(path)) renameSync(path, place);
    const { size } = statSync(place);
    writeBlob(store.db, { digest, size, mediaType: "", diffId: undefined });
    forgetDamage(store.db, digest);
  }
  // The renames are to be on disk before the rows are.
  for (const room of ["layers", "blobs/sha256"]) syncDirectory(`${store.root}/${room}`);
}

function writeImage(store: Store, image: StagedImage): void {
  const { db } = store;
  const size = image.layers.reduce((sum, layer) => sum + layer.size, 0);
  const { passwd, group } = image.accounts;
  const added = new Date().toISOString();
  db.run(
    `INSERT INTO images (id, config, created, size, passwd, groups, parent, added)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
    [image.id, image.config, image.created, size, passwd, group, image.parent ?? null, added],
  );
  for (const [position, layer] of image.layers.entries()) {
    db.run(
      "INSERT INTO image_layers (image, position, chain_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
      [image.id, position, layer.chainId],
    );
    db.run("UPDATE blobs SET diff_id = ? WHERE digest = ?", [layer.diffId, layer.blob]);
  }
}

function writeContent(store: Store, content: StagedContent, image: Digest | undefined): void {
  const { db } = store;
  for (const document of content.documents ?? []) {
    if (knownBlob(store, document.digest) === undefined) throw gone("a manifest");
    writeDocument(db, document);
  }
  const { target } = content;
  for (const name of content.names) writeName(db, name, { target, image });
  for (const known of content.repoDigests ?? []) writeRepoDigest(db, known, image);
  for (const { repository, digests } of content.sources ?? []) {
    writeSources(db, repository, digests);
  }
}

function gone(what: string): TareError {
  return new TareError("conflict", `Cannot bring in the image: ${what} of it was just removed`, {
    hint: "Run the command again",
  });
}

/** The row of a layer that the store has. */
export function knownLayer(store: Store, chainId: Digest): StagedLayer | undefined {
  const row = store.db
    .query<{ diff_id: string; blob: string; size: number }, [string]>(
      "SELECT diff_id, blob, size FROM layers WHERE chain_id = ?",
    )
    .get(chainId);
  if (row === null) return undefined;
  const { diff_id: diffId, blob, size } = row;
  return { chainId, diffId: diffId as Digest, blob: blob as Digest, size, path: undefined };
}

/** As `knownLayer`; undefined also where it or its blob is known to be damaged, or gone. */
export function soundLayer(store: Store, chainId: Digest): StagedLayer | undefined {
  const known = knownLayer(store, chainId);
  const isSound = known !== undefined && isLayerSound(store, chainId);
  return isSound && isBlobSound(store, known.blob) ? known : undefined;
}

/** Where staged blobs lie. */
export function stagedBlob(staging: string, digest: Digest): string {
  return `${staging}/blob-${digestHex(digest)}`;
}
