/** Finds images by what people type: a name, `name@digest`, an id, the start of an id. */

import { type Digest, isDigest, isSha256Hex } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { parseImageConfig } from "@tare/spec/oci-image-config.ts";
import { fitsPlatform, formatPlatform, type Platform } from "@tare/spec/platform.ts";
import { parseReference, type Reference, repositoryName } from "@tare/spec/reference.ts";
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
 * The image of a name, an id or the unique start of an id, with `sha256:` before it or without.
 * @throws TareError `not_found`, with what can be done; `bad_input` for a word that is no name.
 */
export function findImage(store: Store, word: string): StoredImage {
  const image = lookUp(store, word);
  if (image !== undefined) return image;
  if (!isImageId(word)) parseReference(word);
  throw noImage(word);
}

/** Whether `findImage` would find one. */
export function hasImage(store: Store, word: string): boolean {
  return lookUp(store, word) !== undefined;
}

/** Whether `findImage` would find one that is for the platform; any is, where none is asked for. */
export function hasImageFor(store: Store, word: string, platform: Platform | undefined): boolean {
  const image = lookUp(store, word);
  if (image === undefined || platform === undefined) return image !== undefined;
  return fitsPlatform(parseImageConfig(image.config), platform);
}

/**
 * The image of a word that is here is to be for the platform, if one is asked for.
 * @throws TareError `conflict`; as `findImage`
 */
export function wantPlatform(store: Store, word: string, platform: Platform | undefined): void {
  if (platform === undefined || hasImageFor(store, word, platform)) return;
  const is = formatPlatform(parseImageConfig(findImage(store, word).config));
  const message = `Cannot use image "${word}": it is for ${is}, not for ${formatPlatform(platform)}`;
  throw new TareError("conflict", message);
}

/** Whether a word can only be an id, which no registry knows: `sha256:` or all of its digits. */
export function isImageId(word: string): boolean {
  return isSha256Hex(word) || (word.startsWith(ALGORITHM) && isIdStart(bare(word)));
}

/** What there is to say of a word that finds nothing. */
export function noImage(word: string): TareError {
  return new TareError("not_found", `Cannot find image "${word}": it is not in the store`, {
    hint: isImageId(word)
      ? 'The ids are listed by "tare images"'
      : 'Bring it in with "tare pull NAME", "tare load -i ARCHIVE" or "tare import TARBALL NAME"; the image @host is this machine\'s own root file system, copied on write',
  });
}

/** Names come first, as in Docker: one may look like the start of an id. */
function lookUp(store: Store, word: string): StoredImage | undefined {
  const reference = tryReference(word);
  return (reference && imageOfReference(store, reference)) ?? imageOfId(store, word);
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

const ALGORITHM = "sha256:";

function bare(word: string): string {
  return word.startsWith(ALGORITHM) ? word.slice(ALGORITHM.length) : word;
}

function imageOfReference(store: Store, reference: Reference): StoredImage | undefined {
  const { digest } = reference;
  const id =
    digest === undefined
      ? findName(store, reference)?.image
      : isKnownIn(store, repositoryName(reference), digest)
        ? imageOfDocument(store, digest)
        : undefined;
  return id === undefined ? undefined : imageOfWholeId(store, id);
}

function imageOfWholeId(store: Store, id: Digest): StoredImage | undefined {
  const sql = `SELECT ${COLUMNS} FROM images WHERE id = ?`;
  return store.db.query<StoredImage, [string]>(sql).get(id) ?? undefined;
}

/** Whether the repository has, or had, a document or an index that names it. */
function isKnownIn(store: Store, repository: string, digest: Digest): boolean {
  const sql = `WITH named (digest) AS (SELECT ?2 UNION SELECT parent FROM blob_references
      WHERE child = ?2 AND role = 'manifest')
    SELECT 1 FROM repo_digests JOIN named USING (digest) WHERE repository = ?1 UNION ALL
    SELECT 1 FROM names JOIN named ON target = digest
      WHERE substr(name, 1, length(?1) + 1) = ?1 || ':' LIMIT 1`;
  return store.db.query(sql).get(repository, digest) !== null;
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

/** A whole digest may also be that of a manifest, which is what `pull` prints. */
function imageOfId(store: Store, word: string): StoredImage | undefined {
  const hex = bare(word);
  if (!isIdStart(hex)) return undefined;
  const sql = `SELECT ${COLUMNS} FROM images WHERE id GLOB ? LIMIT 2`;
  const rows = store.db.query<StoredImage, [string]>(sql).all(`${ALGORITHM}${hex}*`);
  if (rows.length > 1) {
    throw new TareError("bad_input", `Cannot find image "${word}": more than one id starts so`, {
      hint: 'Whole ids are listed by "tare images --no-trunc"',
    });
  }
  const [row] = rows;
  if (row !== undefined || !isDigest(word)) return row;
  const id = imageOfDocument(store, word);
  return id === undefined ? undefined : imageOfWholeId(store, id);
}

function tryReference(word: string): Reference | undefined {
  try {
    return parseReference(word);
  } catch {
    return undefined;
  }
}
