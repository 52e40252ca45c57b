/** Finds images by what people type: a name, an id, the start of an id. */

import { type Digest, digestHex, isDigest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { parseReference, type Reference } from "@tare/spec/reference.ts";
import { findName } from "../store/names.ts";
import type { Store } from "../store/store.ts";
import { isIdStart } from "./digest.ts";

export type StoredImage = {
  readonly id: Digest;
  /** The text of the image's configuration. */
  readonly config: string;
  readonly passwd: string;
  readonly groups: string;
};

/**
 * The image of a name, an id or the unique start of an id.
 * @throws TareError `not_found`, with what can be done; `bad_input` for a word that is no name.
 */
export function findImage(store: Store, word: string): StoredImage {
  const reference = tryReference(word);
  const image = (reference && imageOfReference(store, reference)) ?? imageOfId(store, word);
  if (image !== undefined) return image;
  if (reference === undefined) parseReference(word);
  throw new TareError("not_found", `Cannot find image "${word}": it is not in the store`, {
    hint: 'Bring it in with "tare pull NAME", "tare load -i ARCHIVE" or "tare import TARBALL NAME"; the image @host is this machine\'s own root file system, copied on write',
  });
}

/** Whether `findImage` would find one. */
export function hasImage(store: Store, word: string): boolean {
  const reference = tryReference(word);
  const image = (reference && imageOfReference(store, reference)) ?? imageOfId(store, word);
  return image !== undefined;
}

/** Layers of an image as chain ids, topmost first. */
export function layersOf(store: Store, id: Digest): Digest[] {
  const rows = store.db
    .query<{ chain_id: string }, [string]>(
      "SELECT chain_id FROM image_layers WHERE image = ? ORDER BY position DESC",
    )
    .all(id);
  return rows.map((row) => row.chain_id as Digest);
}

const COLUMNS = "images.id AS id, config, passwd, groups";

function imageOfReference(store: Store, reference: Reference): StoredImage | undefined {
  const { digest } = reference;
  const id =
    digest === undefined ? findName(store, reference)?.image : imageOfDocument(store, digest);
  if (id === undefined) return undefined;
  const sql = `SELECT ${COLUMNS} FROM images WHERE id = ?`;
  return store.db.query<StoredImage, [string]>(sql).get(id) ?? undefined;
}

/** The image that a manifest describes; of an index the first platform's that is here. */
function imageOfDocument(store: Store, digest: Digest): Digest | undefined {
  const sql = `SELECT image FROM blobs WHERE digest = ?1 AND image IS NOT NULL UNION ALL
    SELECT image FROM repo_digests WHERE digest = ?1 AND image IS NOT NULL UNION ALL
    SELECT image FROM blob_references JOIN blobs ON digest = child
      WHERE parent = ?1 AND role = 'manifest' AND image IS NOT NULL`;
  const row = store.db.query<{ image: string }, [string]>(`${sql} LIMIT 1`).get(digest);
  return (row?.image ?? undefined) as Digest | undefined;
}

function imageOfId(store: Store, word: string): StoredImage | undefined {
  const hex = isDigest(word) ? digestHex(word) : word;
  if (!isIdStart(hex)) return undefined;
  const sql = `SELECT ${COLUMNS} FROM images WHERE id GLOB ? LIMIT 2`;
  const rows = store.db.query<StoredImage, [string]>(sql).all(`sha256:${hex}*`);
  if (rows.length > 1) {
    throw new TareError("bad_input", `Cannot find image "${word}": more than one id starts so`);
  }
  return rows[0];
}

function tryReference(word: string): Reference | undefined {
  try {
    return parseReference(word);
  } catch {
    return undefined;
  }
}
