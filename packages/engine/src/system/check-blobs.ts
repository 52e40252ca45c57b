/** Blobs: each row has its file, of its size, with the content that its name is the hash of. */
import { closeSync, fsyncSync, openSync, readSync, renameSync, rmSync, statSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { finishDigest } from "../image/digest.ts";
import { findUse, takeAway } from "../image/remove.ts";
import { allBlobs, type BlobRecord } from "../store/blobs.ts";
import { blobPath, Staging, type Store } from "../store/store.ts";
import { writeWhole } from "../write-whole.ts";
import type { Fault } from "./check.ts";

const CHUNK_BYTES = 1024 * 1024;

export function blobFaults(store: Store, quick: boolean): Fault[] {
  return allBlobs(store).flatMap((blob) => {
    const why = blobFault(store, blob, quick);
    if (why === undefined) return [];
    const message = `Blob "${blob.digest}" ${why}`;
    return [{ message, damaged: blob.digest, repair: () => repairBlob(store, blob.digest) }];
  });
}

function blobFault(store: Store, { digest, size }: BlobRecord, quick: boolean): string | undefined {
  const path = blobPath(store, digest);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return "is missing";
  if (!stat.isFile()) return "is no file";
  if (stat.size !== size) return `has ${stat.size} bytes, not ${size}`;
  return quick || hashFile(path) === digest ? undefined : "is damaged";
}

function hashFile(path: string): Digest {
  const hasher = new Bun.CryptoHasher("sha256");
  const buffer = new Uint8Array(CHUNK_BYTES);
  const fd = openSync(path, "r");
  try {
    for (let n = readSync(fd, buffer); n > 0; n = readSync(fd, buffer)) {
      hasher.update(buffer.subarray(0, n));
    }
  } finally {
    closeSync(fd);
  }
  return finishDigest(hasher);
}

/** A configuration is in its row, too; without anything else, the images that need it cannot stay. */
function repairBlob(store: Store, digest: Digest): string {
  const row = store.db
    .query<{ config: string }, [string]>("SELECT config FROM images WHERE id = ?")
    .get(digest);
  if (row !== null) {
    writeAnew(store, digest, row.config);
    return "written again from its record";
  }
  const removed = removeNeedy(store, digest);
  return removed.length === 0
    ? "removed"
    : `removed with ${removed.join(", ")}: pull or load again`;
}

function writeAnew(store: Store, digest: Digest, text: string): void {
  using staging = new Staging(store);
  const path = `${staging.path}/blob`;
  const fd = openSync(path, "wx", 0o600);
  try {
    writeWhole(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  if (hashFile(path) !== digest) {
    throw new TareError("corrupt", `Cannot restore blob "${digest}": its record is damaged, too`);
  }
  renameSync(path, blobPath(store, digest));
}

/** Images that have the blob, by a layer or by the manifest that describes them. */
const NEEDY = `SELECT image AS id FROM image_layers JOIN layers USING (chain_id) WHERE blob = ?1
  UNION SELECT image FROM blobs WHERE digest = ?1 AND image IS NOT NULL
  UNION SELECT image FROM names WHERE target = ?1 AND image IS NOT NULL
  UNION SELECT image FROM blobs JOIN blob_references ON parent = digest
    WHERE child = ?1 AND image IS NOT NULL`;

/**
 * Takes away what cannot do without the blob, and the blob.
 * @throws TareError `conflict` while a container uses such an image.
 */
export function removeNeedy(store: Store, digest: Digest): string[] {
  const ids = store.db
    .transaction(() => {
      const rows = store.db.query<{ id: string }, [string]>(NEEDY).all(digest);
      const images = rows.map(({ id }) => id as Digest);
      for (const id of images) refuseUsed(store, id, digest);
      for (const id of images) takeAway(store, id, { force: true });
      store.db.run("DELETE FROM names WHERE target = ?", [digest]);
      store.db.run("DELETE FROM repo_digests WHERE digest = ?", [digest]);
      store.db.run("DELETE FROM layers WHERE blob = ?", [digest]);
      store.db.run("DELETE FROM blobs WHERE digest = ?", [digest]);
      return images;
    })
    .immediate();
  rmSync(blobPath(store, digest), { recursive: true, force: true });
  return ids.map((id) => `image ${id.slice(7, 19)}`);
}

function refuseUsed(store: Store, id: Digest, digest: Digest): void {
  const who = findUse(store, id);
  if (who === undefined) return;
  throw new TareError(
    "conflict",
    `Cannot remove image ${id.slice(7, 19)}, which needs "${digest}": container ${who} uses it`,
  );
}
