/** `image prune`: removes images that nobody calls by a tag, or with `all` those that nobody uses. */
import type { Digest } from "@tare/spec/digest.ts";
import { collectGarbage } from "../store/collect.ts";
import { type Filter, passes } from "../store/filter.ts";
import { namesOf } from "../store/names.ts";
import { dropPartials } from "../store/partials.ts";
import { withReserve } from "../store/reserve.ts";
import type { Store } from "../store/store.ts";
import { labelsOf } from "./config.ts";
import { findUse, type RemovedImage, takeAway } from "./remove.ts";

export type PrunedImages = RemovedImage & {
  /** Bytes of blobs and layers that went. */
  readonly bytes: number;
};

type Row = { readonly id: string; readonly config: string; readonly created: string };

/** Removes all images that pass, but those of containers, each in one step with the look at its use. */
export function pruneImages(store: Store, all: boolean, filter: Filter): PrunedImages {
  const rows = store.db.query<Row, []>("SELECT id, config, created FROM images").all();
  const untagged: string[] = [];
  const deleted: Digest[] = [];
  for (const { id, config, created } of rows) {
    if (!passes(filter, labelsOf(config), created)) continue;
    const prune = store.db.transaction(() => pruneOne(store, id as Digest, all));
    const removed = withReserve(store, () => prune.immediate());
    untagged.push(...removed.untagged);
    deleted.push(...removed.deleted);
  }
  const { bytes } = withReserve(store, () => collectGarbage(store));
  const isFiltered = filter.labels.length > 0 || filter.beforeMs !== undefined;
  return { untagged, deleted, bytes: bytes + (isFiltered ? 0 : dropPartials(store)) };
}

const NOTHING: RemovedImage = { untagged: [], deleted: [] };

function pruneOne(store: Store, id: Digest, all: boolean): RemovedImage {
  const isThere = store.db.query("SELECT 1 FROM images WHERE id = ?").get(id) !== null;
  if (!isThere || findUse(store, id) !== undefined) return NOTHING;
  if (!all && namesOf(store, id).length > 0) return NOTHING;
  return takeAway(store, id, { force: true });
}
