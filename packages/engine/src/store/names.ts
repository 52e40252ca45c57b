/**
 * Names: `registry/path:tag` stands for a manifest or an index and for the image that was chosen of it;
 * `registry/path@digest` says that a repository has (or had) a document.
 */
import type { Database } from "bun:sqlite";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { formatReference, type Reference, repositoryName } from "@tare/spec/reference.ts";
import type { Store } from "./store.ts";

/** What a name stands for; one of the first two is there. */
export type NameTarget = {
  /** The manifest or index that it was given for; absent where none is known, as after `import`. */
  readonly target: Digest | undefined;
  /** Absent for an artifact. */
  readonly image: Digest | undefined;
};

export type NameRecord = NameTarget & {
  /** The complete name, as `formatReference` writes it. */
  readonly name: string;
  /** ISO 8601; empty for a name of an old store. */
  readonly tagged: string;
};

/** A document by the repository that has it. */
export type RepoDigest = { readonly repository: string; readonly digest: Digest };

type Row = {
  readonly name: string;
  readonly target: string | null;
  readonly image: string | null;
  readonly tagged: string;
};

/** What a name with a tag stands for. */
export function findName(store: Store, reference: Reference): NameRecord | undefined {
  const sql = "SELECT name, target, image, tagged FROM names WHERE name = ?";
  const row = store.db.query<Row, [string]>(sql).get(formatReference(reference));
  return row === null ? undefined : toRecord(row);
}

/** The names of an image, in their order. */
export function namesOf(store: Store, image: Digest): NameRecord[] {
  const sql = "SELECT name, target, image, tagged FROM names WHERE image = ? ORDER BY name";
  return store.db.query<Row, [string]>(sql).all(image).map(toRecord);
}

function toRecord(row: Row): NameRecord {
  return {
    name: row.name,
    target: (row.target ?? undefined) as Digest | undefined,
    image: (row.image ?? undefined) as Digest | undefined,
    tagged: row.tagged,
  };
}

/** `name@digest` of an image, in their order. */
export function repoDigestsOf(store: Store, image: Digest): RepoDigest[] {
  const sql =
    "SELECT repository, digest FROM repo_digests WHERE image = ? ORDER BY repository, digest";
  return store.db.query<RepoDigest, [string]>(sql).all(image);
}

/** Gives a name, taking it from what had it. */
export function setName(store: Store, reference: Reference, target: NameTarget): void {
  store.db.transaction(() => writeName(store.db, reference, target)).immediate();
}

/** `sha256:abc` would be a name and the start of an id, and names come first. */
const LIKE_IDS = "docker.io/library/sha256";

/**
 * As `setName`, inside of the caller's transaction.
 * @throws TareError `bad_input` for a name that reads as an id
 */
export function writeName(db: Database, reference: Reference, target: NameTarget): void {
  if (repositoryName(reference) === LIKE_IDS) {
    const message = `Cannot give the name "sha256:${reference.tag}": it would stand for an image id`;
    throw new TareError("bad_input", message);
  }
  db.run(
    `INSERT INTO names (name, target, image, tagged) VALUES (?, ?, ?, ?) ON CONFLICT (name)
     DO UPDATE SET target = excluded.target, image = excluded.image, tagged = excluded.tagged`,
    [
      formatReference(reference),
      target.target ?? null,
      target.image ?? null,
      new Date().toISOString(),
    ],
  );
}

/** Remembers that a repository has a document, as after a push. */
export function addRepoDigest(store: Store, known: RepoDigest, image: Digest | undefined): void {
  store.db.transaction(() => writeRepoDigest(store.db, known, image)).immediate();
}

/** As `addRepoDigest`, inside of the caller's transaction. */
export function writeRepoDigest(db: Database, known: RepoDigest, image: Digest | undefined): void {
  db.run(
    `INSERT INTO repo_digests VALUES (?, ?, ?) ON CONFLICT (repository, digest)
     DO UPDATE SET image = coalesce(excluded.image, image)`,
    [known.repository, known.digest, image ?? null],
  );
}
