/**
 * Garbage collection: what the records reach is kept, all else goes. Reached are images with their
 * layers, what names and `name@digest` stand for, what leases hold, all that those documents name, and
 * documents that speak of a kept one (signatures and the like).
 */
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { type Digest, digestHex } from "@tare/spec/digest.ts";
import { forgetLostDamage } from "./damage.ts";
import { endDeadLeases } from "./leases.ts";
import { Staging, type Store } from "./store.ts";

export type Collected = {
  /** Of blobs, and of file content in layers. */
  readonly bytes: number;
};

const MARKED_BLOBS = `WITH RECURSIVE marked (digest) AS (
    SELECT id FROM images
    UNION SELECT blob FROM layers
    UNION SELECT digest FROM blobs WHERE image IS NOT NULL
    UNION SELECT target FROM names WHERE target IS NOT NULL
    UNION SELECT digest FROM repo_digests
    UNION SELECT digest FROM leases
    UNION SELECT child FROM blob_references JOIN marked ON parent = marked.digest WHERE role <> 'subject'
    UNION SELECT parent FROM blob_references JOIN marked ON child = marked.digest WHERE role = 'subject'
  )`;

/**
 * Deletes layers and blobs that nothing reaches. First their rows: killed in between, this leaves files
 * without a row, which the next collection finds, and never a row without its file. Files are moved
 * aside under the lock under which images come in, so none is taken that is just being written; the
 * deleting itself holds nobody up.
 */
export function collectGarbage(store: Store): Collected {
  using staging = new Staging(store);
  const bytes = store.db.transaction(() => dropRows(store)).immediate();
  store.db.transaction(() => moveUnknownFiles(store, staging.path)).immediate();
  return { bytes };
}

/** Answers the bytes of what went. */
function dropRows(store: Store): number {
  const { db } = store;
  endDeadLeases(store);
  const layers = drop(
    store,
    `DELETE FROM layers WHERE chain_id NOT IN (SELECT chain_id FROM image_layers)
     AND chain_id NOT IN (SELECT digest FROM leases) RETURNING size`,
  );
  db.run("CREATE TEMP TABLE IF NOT EXISTS kept (digest TEXT PRIMARY KEY) WITHOUT ROWID");
  db.run("DELETE FROM kept");
  db.run(`INSERT INTO kept ${MARKED_BLOBS} SELECT digest FROM marked`);
  const blobs = drop(
    store,
    "DELETE FROM blobs WHERE digest NOT IN (SELECT digest FROM kept) RETURNING size",
  );
  forgetLostDamage(db);
  db.run("DELETE FROM blob_sources WHERE digest NOT IN (SELECT digest FROM kept)");
  return layers + blobs;
}

function drop(store: Store, sql: string): number {
  const rows = store.db.query<{ size: number }, []>(sql).all();
  return rows.reduce((sum, { size }) => sum + size, 0);
}

function moveUnknownFiles(store: Store, aside: string): void {
  moveUnknown(
    `${store.root}/layers`,
    hexes(store, "SELECT chain_id AS digest FROM layers"),
    `${aside}/layers`,
  );
  moveUnknown(
    `${store.root}/blobs/sha256`,
    hexes(store, "SELECT digest FROM blobs"),
    `${aside}/blobs`,
  );
}

function moveUnknown(room: string, known: ReadonlySet<string>, aside: string): void {
  mkdirSync(aside, { mode: 0o700 });
  for (const name of readdirSync(room)) {
    if (isStoredName(name) && !known.has(name)) renameSync(`${room}/${name}`, `${aside}/${name}`);
  }
}

/** Whether a blob or a layer can be called so; whatever else lies beside them is not ours to take. */
export function isStoredName(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name);
}

function hexes(store: Store, sql: string): ReadonlySet<string> {
  const rows = store.db.query<{ digest: string }, []>(sql).all();
  return new Set(rows.map(({ digest }) => digestHex(digest as Digest)));
}
