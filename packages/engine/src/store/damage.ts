/**
 * What is known to be damaged: blobs by digest and unpacked layers by chain id that a check found to be
 * other than their records say. Who brings content in takes such a thing as absent, so the next pull
 * or load replaces it.
 */
import type { Database } from "bun:sqlite";
import { existsSync, statSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { knownBlob } from "./blobs.ts";
import { blobPath, layerPath, type Store } from "./store.ts";

/** Writes down what a check found; one that is `whole`, in place of what earlier ones did. */
export function recordDamage(
  store: Store,
  found: ReadonlySet<Digest>,
  { whole }: { readonly whole: boolean },
): void {
  const { db } = store;
  // Mostly there is nothing: then nothing is written, as on a full disk nothing can be.
  if (found.size === 0 && (!whole || noneKnown(db))) return;
  db.transaction(() => {
    if (whole) db.run("DELETE FROM damaged");
    for (const digest of found) {
      db.run("INSERT INTO damaged VALUES (?) ON CONFLICT DO NOTHING", [digest]);
    }
  }).immediate();
}

function noneKnown(db: Database): boolean {
  return db.query("SELECT digest FROM damaged LIMIT 1").get() === null;
}

/** It has been replaced; inside of the caller's transaction. */
export function forgetDamage(db: Database, digest: Digest): void {
  db.run("DELETE FROM damaged WHERE digest = ?", [digest]);
}

/** Marks of what is gone for good; inside of the caller's transaction. */
export function forgetLostDamage(db: Database): void {
  db.run(`DELETE FROM damaged WHERE digest NOT IN (SELECT digest FROM blobs)
    AND digest NOT IN (SELECT chain_id FROM layers)`);
}

export function isMarkedDamaged(store: Store, digest: Digest): boolean {
  const sql = "SELECT digest FROM damaged WHERE digest = ?";
  return store.db.query<{ digest: string }, [string]>(sql).get(digest) !== null;
}

/** Whether the store has the blob, as far as can be seen without reading it. */
export function isBlobSound(store: Store, digest: Digest): boolean {
  const record = knownBlob(store, digest);
  if (record === undefined || isMarkedDamaged(store, digest)) return false;
  const stat = statSync(blobPath(store, digest), { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size === record.size;
}

/** Whether the unpacked layer is there, as far as can be seen without comparing it. */
export function isLayerSound(store: Store, chainId: Digest): boolean {
  return !isMarkedDamaged(store, chainId) && existsSync(layerPath(store, chainId));
}
