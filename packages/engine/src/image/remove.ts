/**
 * `rmi`: takes a name away, and with the last name the image. What nothing refers to any more is
 * collected afterwards. The rules are Docker's, but that no image goes from under a container.
 */
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import {
  formatFamiliar,
  parseReference,
  type Reference,
  repositoryName,
} from "@tare/spec/reference.ts";
import { findUser } from "../container/records.ts";
import { collectGarbage } from "../store/collect.ts";
import {
  findName,
  type NameRecord,
  namesOf,
  type RepoDigest,
  repoDigestsOf,
} from "../store/names.ts";
import { withReserve } from "../store/reserve.ts";
import type { Store } from "../store/store.ts";
import { findImage } from "./lookup.ts";

export type RemoveOptions = {
  /** All names of an id; a name from under a container. */
  readonly force?: boolean;
  /** Leave nameless images alone of which a removed one was made. */
  readonly keepParents?: boolean;
};

export type RemovedImage = {
  /** Names that were taken away, as people write them. */
  readonly untagged: readonly string[];
  /** Images that are gone, children first. */
  readonly deleted: readonly Digest[];
};

/**
 * Removes what the word stands for: a name only that name, an id the image with its only name.
 * @throws TareError `not_found`; `conflict` while a container uses it, or an id has several names.
 */
export function removeImage(store: Store, word: string, options: RemoveOptions = {}): RemovedImage {
  return withReserve(store, () => {
    const removed = store.db.transaction(() => takeAway(store, word, options)).immediate();
    collectGarbage(store);
    return removed;
  });
}

/** As `removeImage`, inside of the caller's transaction and with the collection left to it. */
export function takeAway(store: Store, word: string, options: RemoveOptions): RemovedImage {
  const reference = tryReference(word);
  const named = reference === undefined ? undefined : findNamed(store, reference);
  if (reference !== undefined && named !== undefined && named.image === undefined) {
    dropName(store, reference);
    return { untagged: [formatFamiliar(reference)], deleted: [] };
  }
  const id = named?.image ?? findImage(store, word).id;
  if (reference !== undefined && named !== undefined) {
    return untag(store, id, reference, word, options);
  }
  const names = allNames(store, id);
  if (!isSingle(store, id) && options.force !== true) throw severalNames(word, names);
  checkUnused(store, id, word);
  return { untagged: names, deleted: deleteImage(store, id, options) };
}

/** What a tag or a `name@digest` stands for here. */
function findNamed(store: Store, reference: Reference): { image: Digest | undefined } | undefined {
  if (reference.digest === undefined) return findName(store, reference);
  const sql = "SELECT image FROM repo_digests WHERE repository = ? AND digest = ?";
  const row = store.db
    .query<{ image: string | null }, [string, string]>(sql)
    .get(repositoryName(reference), reference.digest);
  return row === null ? undefined : { image: (row.image ?? undefined) as Digest | undefined };
}

function untag(
  store: Store,
  id: Digest,
  reference: Reference,
  word: string,
  options: RemoveOptions,
): RemovedImage {
  const isLast = isSingle(store, id);
  if (isLast && options.force !== true) checkUnused(store, id, word);
  const before = allNames(store, id);
  dropName(store, reference);
  dropDigestsWithoutTag(store, id, reference);
  const left = allNames(store, id);
  const untagged = before.filter((name) => !left.includes(name));
  const stays = left.length > 0 || findUse(store, id) !== undefined;
  return { untagged, deleted: stays ? [] : deleteImage(store, id, options) };
}

function dropName(store: Store, reference: Reference): void {
  if (reference.digest === undefined) {
    const name = findName(store, reference)?.name ?? "";
    store.db.run("DELETE FROM names WHERE name = ?", [name]);
    return;
  }
  store.db.run("DELETE FROM repo_digests WHERE repository = ? AND digest = ?", [
    repositoryName(reference),
    reference.digest,
  ]);
}

/** Digests of a repository go with its last tag: nobody has asked for them. */
function dropDigestsWithoutTag(store: Store, id: Digest, reference: Reference): void {
  if (reference.digest !== undefined) return;
  const repository = repositoryName(reference);
  const isTagged = namesOf(store, id).some((each) => repositoryOf(each) === repository);
  if (isTagged) return;
  store.db.run("DELETE FROM repo_digests WHERE image = ? AND repository = ?", [id, repository]);
}

/** Removes the row, and nameless images that it was made of; answers all their ids. */
function deleteImage(store: Store, id: Digest, options: RemoveOptions): Digest[] {
  const row = store.db
    .query<{ parent: string | null }, [string]>("SELECT parent FROM images WHERE id = ?")
    .get(id);
  store.db.run("DELETE FROM images WHERE id = ?", [id]);
  const parent = (row?.parent ?? undefined) as Digest | undefined;
  const goes = parent !== undefined && options.keepParents !== true && isLeftOver(store, parent);
  return goes ? [id, ...deleteImage(store, parent, options)] : [id];
}

/** Whether an image is here that has no name, no child and no container. */
function isLeftOver(store: Store, id: Digest): boolean {
  const count = store.db
    .query<{ here: number; children: number }, [string]>(
      `SELECT (SELECT count(*) FROM images WHERE id = ?1) AS here,
              (SELECT count(*) FROM images WHERE parent = ?1) AS children`,
    )
    .get(id);
  if (count === null || count.here === 0 || count.children > 0) return false;
  return allNames(store, id).length === 0 && findUse(store, id) === undefined;
}

/** Tags and `name@digest`, as people write them. */
function allNames(store: Store, id: Digest): string[] {
  const tags = namesOf(store, id).map(({ name }) => formatFamiliar(parseReference(name)));
  return [...tags, ...repoDigestsOf(store, id).map(printRepoDigest)];
}

/** `name@digest`, as people write it. */
export function printRepoDigest({ repository, digest }: RepoDigest): string {
  return formatFamiliar(parseReference(`${repository}@${digest}`));
}

/** At most one tag, and all names of one repository: Docker's measure for "this is all of it". */
function isSingle(store: Store, id: Digest): boolean {
  const tags = namesOf(store, id);
  const repositories = new Set([
    ...tags.map(repositoryOf),
    ...repoDigestsOf(store, id).map(({ repository }) => repository),
  ]);
  return tags.length <= 1 && repositories.size <= 1;
}

function repositoryOf({ name }: NameRecord): string {
  return repositoryName(parseReference(name));
}

function tryReference(word: string): Reference | undefined {
  try {
    return parseReference(word);
  } catch {
    return undefined;
  }
}

/** A container of the image, or in which it is mounted, running or kept, as people call it. */
export function findUse(store: Store, id: Digest): string | undefined {
  const row = store.db
    .query<{ id: string; name: string | null }, [string]>(
      `SELECT id, name FROM containers WHERE image = ?1
        OR id IN (SELECT container FROM container_images WHERE image = ?1) LIMIT 1`,
    )
    .get(id);
  return row?.name ?? (row?.id ?? findUser(store, id))?.slice(0, 12);
}

function checkUnused(store: Store, id: Digest, word: string): void {
  const who = findUse(store, id);
  if (who === undefined) return;
  throw new TareError("conflict", `Cannot remove image "${word}": container ${who} uses it`, {
    hint: `End that container, or remove it with "tare rm ${who}"`,
  });
}

function severalNames(word: string, names: readonly string[]): TareError {
  const list = names.join(", ");
  return new TareError("conflict", `Cannot remove image "${word}": it has the names ${list}`, {
    hint: "Remove one of the names, or use -f for all of them",
  });
}
