/**
 * How the database came to be what it is. Step n takes one from version n to n + 1, in one transaction
 * with all the others that are missing. A released step is never edited.
 */
import type { Database } from "bun:sqlite";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { type Digest, digestHex } from "@tare/spec/digest.ts";
import { parseManifest } from "@tare/spec/oci-image.ts";
import { writeDocument } from "./blob-rows.ts";

/** Statements, or what also looks at the files of the store at `root`. */
export type Migration = string | ((db: Database, root: string) => void);

const FIRST = `CREATE TABLE images (
     id TEXT PRIMARY KEY,
     config TEXT NOT NULL,
     manifest_digest TEXT,
     created TEXT NOT NULL,
     size INTEGER NOT NULL,
     passwd TEXT NOT NULL,
     groups TEXT NOT NULL
   ) STRICT;
   CREATE TABLE image_layers (
     image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
     position INTEGER NOT NULL,
     chain_id TEXT NOT NULL REFERENCES layers (chain_id),
     PRIMARY KEY (image, position)
   ) STRICT;
   CREATE TABLE layers (
     chain_id TEXT PRIMARY KEY,
     diff_id TEXT NOT NULL,
     blob TEXT NOT NULL,
     size INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE names (
     name TEXT PRIMARY KEY,
     image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
   ) STRICT;
   CREATE TABLE containers (
     id TEXT PRIMARY KEY,
     name TEXT UNIQUE,
     image TEXT REFERENCES images (id),
     image_name TEXT NOT NULL,
     command TEXT NOT NULL,
     created TEXT NOT NULL,
     owner TEXT NOT NULL,
     runtime TEXT NOT NULL,
     removes INTEGER NOT NULL,
     exit_code INTEGER
   ) STRICT;
   CREATE INDEX names_by_image ON names (image);
   CREATE INDEX layers_in_images ON image_layers (chain_id);
   CREATE INDEX containers_by_image ON containers (image);`;

/**
 * Blobs have rows of their own, and what names what is written down, so that what is kept can be told
 * by the records alone. A name stands for a manifest or an index, and for the image that was chosen of it.
 */
const RECORDS = `CREATE TABLE blobs (
     digest TEXT PRIMARY KEY,
     size INTEGER NOT NULL,
     media_type TEXT NOT NULL,
     artifact_type TEXT,
     diff_id TEXT,
     image TEXT REFERENCES images (id) ON DELETE SET NULL
   ) STRICT;
   CREATE TABLE blob_references (
     parent TEXT NOT NULL REFERENCES blobs (digest) ON DELETE CASCADE,
     role TEXT NOT NULL,
     position INTEGER NOT NULL,
     child TEXT NOT NULL,
     PRIMARY KEY (parent, role, position)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE blob_sources (
     digest TEXT NOT NULL,
     repository TEXT NOT NULL,
     PRIMARY KEY (digest, repository)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE repo_digests (
     repository TEXT NOT NULL,
     digest TEXT NOT NULL,
     image TEXT REFERENCES images (id) ON DELETE CASCADE,
     PRIMARY KEY (repository, digest)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE leases (
     owner TEXT NOT NULL,
     digest TEXT NOT NULL,
     PRIMARY KEY (owner, digest)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE named (
     name TEXT PRIMARY KEY,
     target TEXT,
     image TEXT REFERENCES images (id) ON DELETE CASCADE,
     tagged TEXT NOT NULL,
     CHECK (target IS NOT NULL OR image IS NOT NULL)
   ) STRICT;
   INSERT INTO named SELECT name, manifest_digest, images.id, '' FROM names
     JOIN images ON images.id = names.image;
   DROP TABLE names;
   ALTER TABLE named RENAME TO names;
   ALTER TABLE images ADD COLUMN parent TEXT;
   ALTER TABLE images ADD COLUMN added TEXT NOT NULL DEFAULT '';
   ALTER TABLE images ADD COLUMN used TEXT NOT NULL DEFAULT '';
   CREATE TABLE volumes (
     name TEXT PRIMARY KEY,
     driver TEXT NOT NULL,
     options TEXT NOT NULL,
     labels TEXT NOT NULL,
     created TEXT NOT NULL,
     anonymous INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE container_volumes (
     container TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
     volume TEXT NOT NULL REFERENCES volumes (name),
     PRIMARY KEY (container, volume)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX names_by_image ON names (image);
   CREATE INDEX blobs_by_image ON blobs (image);
   CREATE INDEX references_by_child ON blob_references (child);
   CREATE INDEX repo_digests_by_image ON repo_digests (image);
   CREATE INDEX volumes_in_containers ON container_volumes (volume);`;

/** Writes the rows of what a store of the first version has on disk. */
function describeFirstStore(db: Database, root: string): void {
  const path = (digest: string) => `${root}/blobs/sha256/${digestHex(digest as Digest)}`;
  const insert = (digest: string, type: string, diffId: string | null) => {
    if (!existsSync(path(digest))) return;
    db.run(
      "INSERT INTO blobs (digest, size, media_type, diff_id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
      [digest, statSync(path(digest)).size, type, diffId],
    );
  };
  type Layer = { readonly blob: string; readonly diff_id: string };
  for (const { blob, diff_id } of db.query<Layer, []>("SELECT blob, diff_id FROM layers").all()) {
    insert(blob, "", diff_id);
  }
  type Image = { readonly id: string; readonly manifest_digest: string | null };
  const images = db.query<Image, []>("SELECT id, manifest_digest FROM images").all();
  for (const { id, manifest_digest: digest } of images) {
    insert(id, "", null);
    if (digest === null || !existsSync(path(digest))) continue;
    const text = readFileSync(path(digest), "utf8");
    const { mediaType } = parseManifest(text);
    insert(digest, mediaType, null);
    writeDocument(db, { digest: digest as Digest, mediaType, text, image: id as Digest });
  }
  db.run("ALTER TABLE images DROP COLUMN manifest_digest");
  for (const name of existsSync(`${root}/volumes`) ? readdirSync(`${root}/volumes`) : []) {
    db.run("INSERT INTO volumes VALUES (?, 'local', '{}', '{}', ?, 0)", [
      name,
      statSync(`${root}/volumes/${name}`).mtime.toISOString(),
    ]);
  }
}

/** Images that are mounted in containers, besides those that they are made of. */
const MOUNTED_IMAGES = `CREATE TABLE container_images (
     container TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
     image TEXT NOT NULL REFERENCES images (id),
     PRIMARY KEY (container, image)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX images_in_containers ON container_images (image);`;

/** Blobs by digest and unpacked layers by chain id that a check found damaged; see damage.ts. */
const DAMAGED = "CREATE TABLE damaged (digest TEXT PRIMARY KEY) STRICT, WITHOUT ROWID";

/** All steps, the oldest first; several may make one version. */
export const MIGRATIONS: readonly (readonly Migration[])[] = [
  [FIRST],
  [RECORDS, describeFirstStore],
  [MOUNTED_IMAGES],
  [DAMAGED],
];
