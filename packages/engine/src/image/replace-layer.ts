/** Puts an unpacked layer in the place of a damaged one, but not under a running container. */
import { existsSync, renameSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { findUser } from "../container/records.ts";
import { layerPath, type Store } from "../store/store.ts";

/** The container that runs on a layer, or undefined. */
export function layerUser(store: Store, chainId: Digest): string | undefined {
  const sql = "SELECT DISTINCT image FROM image_layers WHERE chain_id = ?";
  const images = store.db.query<{ image: string }, [string]>(sql).all(chainId);
  for (const { image } of images) {
    const user = findUser(store, image as Digest);
    if (user !== undefined) return user;
  }
  return undefined;
}

/**
 * Moves `fresh` to the layer's place and what is there to `aside`; inside of the caller's transaction.
 * @throws TareError `conflict`: what a running container sees must not change under it.
 */
export function replaceLayer(store: Store, chainId: Digest, fresh: string, aside: string): void {
  const user = layerUser(store, chainId);
  if (user !== undefined) {
    const message = `Cannot replace layer "${chainId}": container ${user.slice(0, 12)} runs on it`;
    throw new TareError("conflict", message);
  }
  const place = layerPath(store, chainId);
  if (existsSync(place)) renameSync(place, aside);
  renameSync(fresh, place);
}
