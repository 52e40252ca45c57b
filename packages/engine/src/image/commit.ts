/**
 * Brings a staged image into the store: all that is not there yet is renamed into place and the rows
 * are written, under one lock, so that two commands that bring the same layer cannot collide.
 */
import { existsSync, renameSync, rmSync } from "node:fs";
import { type Digest, digestHex } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { formatReference, type Reference } from "@tare/spec/reference.ts";
import type { Accounts } from "../helper.ts";
import { syncFileSystem } from "../store/durable.ts";
import { blobPath, layerPath, type Store } from "../store/store.ts";

export type StagedLayer = {
  readonly chainId: Digest;
  readonly diffId: Digest;
  readonly blob: Digest;
  readonly size: number;
  /** Where the unpacked layer is; undefined: in the store already. */
  readonly path: string | undefined;
};

export type StagedImage = {
  readonly id: Digest;
  readonly config: string;
  readonly manifestDigest: Digest | undefined;
  readonly created: string;
  readonly accounts: Accounts;
  /** Bottom first. */
  readonly layers: readonly StagedLayer[];
  readonly names: readonly Reference[];
  /** Staged files by digest. */
  readonly blobs: ReadonlyMap<Digest, string>;
};

/**
 * @throws TareError `conflict` where a layer that was there has been removed meanwhile.
 */
export async function commitImage(store: Store, image: StagedImage): Promise<void> {
  await syncFileSystem(store.root);
  store.db
    .transaction(() => {
      for (const layer of image.layers) placeLayer(store, layer);
      for (const [digest, path] of image.blobs) placeBlob(store, digest, path);
      writeRows(store, image);
    })
    .immediate();
}

function placeLayer(store: Store, layer: StagedLayer): void {
  const known = store.db
    .query<{ chain_id: string }, [string]>("SELECT chain_id FROM layers WHERE chain_id = ?")
    .get(layer.chainId);
  if (known !== null) return;
  if (layer.path === undefined) {
    throw new TareError("conflict", "Cannot bring in the image: a layer of it was just removed", {
      hint: "Run the command again",
    });
  }
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

function placeBlob(store: Store, digest: Digest, path: string): void {
  const place = blobPath(store, digest);
  if (!existsSync(place)) renameSync(path, place);
}

function writeRows(store: Store, image: StagedImage): void {
  const { db } = store;
  db.run(
    `INSERT INTO images (id, config, manifest_digest, created, size, passwd, groups)
     VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
    [
      image.id,
      image.config,
      image.manifestDigest ?? null,
      image.created,
      image.layers.reduce((sum, layer) => sum + layer.size, 0),
      image.accounts.passwd,
      image.accounts.group,
    ],
  );
  for (const [position, layer] of image.layers.entries()) {
    db.run(
      "INSERT INTO image_layers (image, position, chain_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
      [image.id, position, layer.chainId],
    );
  }
  for (const name of image.names) {
    db.run(
      "INSERT INTO names (name, image) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET image = excluded.image",
      [formatReference(name), image.id],
    );
  }
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

/** Where staged blobs lie. */
export function stagedBlob(staging: string, digest: Digest): string {
  return `${staging}/blob-${digestHex(digest)}`;
}
