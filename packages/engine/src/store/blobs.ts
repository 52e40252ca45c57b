/**
 * Rows of blobs: what is in `blobs/sha256`, what each document there names, and which repositories
 * have a blob. Documents are manifests and indexes; their bytes are kept as they came.
 */
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { digestOf } from "../image/digest.ts";
import { DOCUMENT_BYTES_MAX } from "../image/document.ts";
import { type Role, writeSources } from "./blob-rows.ts";
import { blobPath, type Store } from "./store.ts";

export type BlobRecord = {
  readonly digest: Digest;
  /** Bytes in the store. */
  readonly size: number;
  /** Empty where nobody has said it. */
  readonly mediaType: string;
  /** Of a layer that was unpacked here: the digest of its plain archive. */
  readonly diffId: Digest | undefined;
  /** Of a manifest: the image of this store that it describes. */
  readonly image: Digest | undefined;
  /** Of a manifest that is no container image, or that says it. */
  readonly artifactType: string | undefined;
};

/** What a document names, there or not: of an index often only some platforms are. */
export type BlobReference = {
  readonly role: Role;
  readonly position: number;
  readonly child: Digest;
};

type Row = {
  readonly digest: string;
  readonly size: number;
  readonly media_type: string;
  readonly diff_id: string | null;
  readonly image: string | null;
  readonly artifact_type: string | null;
};

const COLUMNS = "digest, size, media_type, diff_id, image, artifact_type";

/** The row of a blob that the store has. */
export function knownBlob(store: Store, digest: Digest): BlobRecord | undefined {
  const sql = `SELECT ${COLUMNS} FROM blobs WHERE digest = ?`;
  const row = store.db.query<Row, [string]>(sql).get(digest);
  return row === null ? undefined : toRecord(row);
}

/** All rows of blobs. */
export function allBlobs(store: Store): BlobRecord[] {
  return store.db
    .query<Row, []>(`SELECT ${COLUMNS} FROM blobs ORDER BY digest`)
    .all()
    .map(toRecord);
}

function toRecord(row: Row): BlobRecord {
  return {
    digest: row.digest as Digest,
    size: row.size,
    mediaType: row.media_type,
    diffId: (row.diff_id ?? undefined) as Digest | undefined,
    image: (row.image ?? undefined) as Digest | undefined,
    artifactType: row.artifact_type ?? undefined,
  };
}

/** What the document names, in its order. */
export function referencesOf(store: Store, parent: Digest): BlobReference[] {
  const sql =
    "SELECT role, position, child FROM blob_references WHERE parent = ? ORDER BY role, position";
  return store.db.query<BlobReference, [string]>(sql).all(parent);
}

/** Manifests of this store that name `subject` as what they speak of. */
export function referrersOf(store: Store, subject: Digest): BlobRecord[] {
  const sql = `SELECT ${COLUMNS} FROM blobs JOIN blob_references ON parent = digest
    WHERE child = ? AND role = 'subject' ORDER BY digest`;
  return store.db.query<Row, [string]>(sql).all(subject).map(toRecord);
}

/** Manifests that describe an image. */
export function manifestsOf(store: Store, image: Digest): Digest[] {
  const sql = "SELECT digest FROM blobs WHERE image = ? ORDER BY digest";
  const rows = store.db.query<{ digest: string }, [string]>(sql).all(image);
  return rows.map(({ digest }) => digest as Digest);
}

/**
 * The text of a document of the store.
 * @throws TareError `not_found`; `bad_input` where it is too large to be one, such as a layer that
 *   somebody calls a manifest; `corrupt` where its bytes are not what its name says.
 */
export function readDocument(store: Store, digest: Digest): string {
  const bytes = readSmall(blobPath(store, digest), `Cannot read document "${digest}"`);
  if (digestOf(bytes) === digest) return bytes.toString("utf8");
  throw new TareError("corrupt", `Cannot read document "${digest}": it is damaged`, {
    hint: 'Find out what else is: "tare system check"',
  });
}

function readSmall(path: string, what: string): Buffer {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (cause) {
    throw new TareError("not_found", `${what}: it is not in the store`, { cause });
  }
  try {
    const { size } = fstatSync(fd);
    if (size <= DOCUMENT_BYTES_MAX) return readFileSync(fd);
    throw new TareError("bad_input", `${what}: it has ${size} bytes`);
  } finally {
    closeSync(fd);
  }
}

/** Repositories, such as `quay.io/a/b`, from which or to which a blob has gone. */
export function sourcesOf(store: Store, digest: Digest): string[] {
  const sql = "SELECT repository FROM blob_sources WHERE digest = ? ORDER BY repository";
  const rows = store.db.query<{ repository: string }, [string]>(sql).all(digest);
  return rows.map(({ repository }) => repository);
}

/** Remembers that a repository has these blobs, so that a push elsewhere can mount them. */
export function addSources(store: Store, repository: string, digests: Iterable<Digest>): void {
  store.db.transaction(() => writeSources(store.db, repository, digests)).immediate();
}

/** A registry said that it has a blob no longer. */
export function dropSource(store: Store, repository: string, digest: Digest): void {
  store.db.run("DELETE FROM blob_sources WHERE digest = ? AND repository = ?", [
    digest,
    repository,
  ]);
}
