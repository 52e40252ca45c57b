/** Lists images: a row for each name, and one for each image without a name. */
import type { Digest } from "@tare/spec/digest.ts";
import {
  familiarName,
  formatReference,
  parseNamed,
  parseReference,
  type Reference,
} from "@tare/spec/reference.ts";
import type { Store } from "../store/store.ts";

export type ListedImage = {
  readonly id: Digest;
  readonly repository: string | undefined;
  readonly tag: string | undefined;
  /** The manifest or index that the name stands for. */
  readonly target: Digest | undefined;
  /** ISO 8601; empty where the image does not say. */
  readonly created: string;
  /** Bytes of file content in all layers. */
  readonly size: number;
};

type Row = {
  readonly id: string;
  readonly name: string | null;
  readonly target: string | null;
  readonly created: string;
  readonly size: number;
};

/** Newest first. With `filter`, those of a repository, or of one tag of it. */
export function listImages(store: Store, filter: string | undefined): ListedImage[] {
  const rows = store.db
    .query<Row, []>(
      `SELECT images.id AS id, name, target, created, size FROM images
       LEFT JOIN names ON names.image = images.id ORDER BY created DESC, name`,
    )
    .all();
  const wanted = filter === undefined ? undefined : parseNamed(filter);
  return rows.flatMap((row) => {
    const reference = row.name === null ? undefined : parseReference(row.name);
    return matches(reference, wanted) ? [toListed(row, reference)] : [];
  });
}

function matches(reference: Reference | undefined, wanted: Reference | undefined): boolean {
  if (wanted === undefined) return true;
  if (reference === undefined) return false;
  if (wanted.tag !== undefined) return formatReference(reference) === formatReference(wanted);
  return reference.domain === wanted.domain && reference.path === wanted.path;
}

function toListed(row: Row, reference: Reference | undefined): ListedImage {
  return {
    id: row.id as Digest,
    repository: reference === undefined ? undefined : familiarName(reference),
    tag: reference?.tag,
    target: (row.target ?? undefined) as Digest | undefined,
    created: row.created,
    size: row.size,
  };
}
