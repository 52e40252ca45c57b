/**
 * Writes rows of blobs, and what a manifest or an index names; inside of the caller's transaction.
 */
import type { Database } from "bun:sqlite";
import type { Digest } from "@tare/spec/digest.ts";
import {
  type Descriptor,
  type Index,
  type Manifest,
  parseManifestOrIndex,
} from "@tare/spec/oci-image.ts";

/** A manifest or an index, as it came. */
export type StagedDocument = {
  readonly digest: Digest;
  /** What the registry or the descriptor called it. */
  readonly mediaType: string;
  /** The bytes, as UTF-8. */
  readonly text: string;
  /** Of the manifest that an image was chosen by: that image. */
  readonly image?: Digest | undefined;
};

/** A blob whose file is in its place. */
export type NewBlob = {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Empty where it is not known. */
  readonly mediaType: string;
  /** Of a layer. */
  readonly diffId: Digest | undefined;
};

/** What a document names something as. A subject is what a referrer speaks of. */
export type Role = "config" | "layer" | "manifest" | "subject";

/** Writes the row of a blob; what an earlier row did not know is filled in. */
export function writeBlob(db: Database, blob: NewBlob): void {
  db.run(
    `INSERT INTO blobs (digest, size, media_type, diff_id) VALUES (?, ?, ?, ?)
     ON CONFLICT (digest) DO UPDATE SET diff_id = coalesce(diff_id, excluded.diff_id),
       media_type = iif(media_type = '', excluded.media_type, media_type)`,
    [blob.digest, blob.size, blob.mediaType, blob.diffId ?? null],
  );
}

/** Writes what a document, whose blob has its row, names and says of itself. */
export function writeDocument(db: Database, document: StagedDocument): void {
  const parsed = parseManifestOrIndex(document.text, document.mediaType);
  db.run(
    "UPDATE blobs SET media_type = ?, artifact_type = ?, image = coalesce(?, image) WHERE digest = ?",
    [parsed.mediaType, artifactType(parsed), document.image ?? null, document.digest],
  );
  for (const { role, position, child } of namedBy(parsed)) {
    db.run("INSERT INTO blob_references VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", [
      document.digest,
      role,
      position,
      child.digest,
    ]);
    db.run("UPDATE blobs SET media_type = ? WHERE digest = ? AND media_type = ''", [
      child.mediaType,
      child.digest,
    ]);
  }
}

/** Everything that a document names. */
export function namedBy(
  document: Manifest | Index,
): { readonly role: Role; readonly position: number; readonly child: Descriptor }[] {
  const as = (role: Role, children: readonly Descriptor[]) =>
    children.map((child, position) => ({ role, position, child }));
  const subject = as("subject", document.subject === undefined ? [] : [document.subject]);
  if (document.kind === "index") return [...as("manifest", document.manifests), ...subject];
  return [...as("config", [document.config]), ...as("layer", document.layers), ...subject];
}

/** As the distribution specification's list of referrers has it: the config's type where nothing is said. */
function artifactType(document: Manifest | Index): string | null {
  if (document.artifactType !== undefined) return document.artifactType;
  return document.kind === "manifest" ? document.config.mediaType : null;
}

/** As `addSources`, inside of the caller's transaction. */
export function writeSources(db: Database, repository: string, digests: Iterable<Digest>): void {
  for (const digest of digests) {
    db.run("INSERT INTO blob_sources VALUES (?, ?) ON CONFLICT DO NOTHING", [digest, repository]);
  }
}
