/**
 * `rmi`: takes a name away, and with the last name the image. Layers and blobs that nothing refers
 * to are found afterwards by looking at all of them, so what a crash left goes too.
 */
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { formatFamiliar, formatReference, parseReference } from "@tare/spec/reference.ts";
import { findUser } from "../container/records.ts";
import { collectGarbage } from "../store/collect.ts";
import type { Store } from "../store/store.ts";
import { findImage } from "./lookup.ts";

export type RemovedImage = {
  /** Names that were taken away, as people write them. */
  readonly untagged: readonly string[];
  /** The image, if it is gone. */
  readonly deleted: Digest | undefined;
};

/**
 * Removes what the word stands for: a name only that name, an id the image with its only name.
 * `force` takes all names of an id; it never takes an image from under a container.
 * @throws TareError `not_found`; `conflict` while a container uses it, or an id has several names.
 */
export function removeImage(store: Store, word: string, force: boolean): RemovedImage {
  const removed = store.db
    .transaction((): RemovedImage => {
      const { id } = findImage(store, word);
      const names = namesOf(store, id);
      const named = names.find((name) => name === fullName(word));
      if (named === undefined && names.length > 1 && !force) throw severalNames(word, names);
      const dropped = named === undefined ? names : [named];
      if (dropped.length === names.length) checkUnused(store, id, word);
      for (const name of dropped) store.db.run("DELETE FROM names WHERE name = ?", [name]);
      const untagged = dropped.map((name) => formatFamiliar(parseReference(name)));
      if (dropped.length < names.length) return { untagged, deleted: undefined };
      store.db.run("DELETE FROM images WHERE id = ?", [id]);
      return { untagged, deleted: id };
    })
    .immediate();
  if (removed.deleted !== undefined) collectGarbage(store);
  return removed;
}

function namesOf(store: Store, id: Digest): string[] {
  const rows = store.db
    .query<{ name: string }, [string]>("SELECT name FROM names WHERE image = ? ORDER BY name")
    .all(id);
  return rows.map(({ name }) => name);
}

function fullName(word: string): string | undefined {
  try {
    return formatReference(parseReference(word));
  } catch {
    return undefined;
  }
}

function checkUnused(store: Store, id: Digest, word: string): void {
  const row = store.db
    .query<{ id: string; name: string | null }, [string]>(
      "SELECT id, name FROM containers WHERE image = ? LIMIT 1",
    )
    .get(id);
  const user = row?.id ?? findUser(store, id);
  if (user === undefined) return;
  const who = row?.name ?? user.slice(0, 12);
  throw new TareError("conflict", `Cannot remove image "${word}": container ${who} uses it`, {
    hint: `End that container, or remove it with "tare rm ${who}"`,
  });
}

function severalNames(word: string, names: readonly string[]): TareError {
  const list = names.map((name) => formatFamiliar(parseReference(name))).join(", ");
  return new TareError("conflict", `Cannot remove image "${word}": it has the names ${list}`, {
    hint: "Remove one of the names, or use -f for all of them",
  });
}
