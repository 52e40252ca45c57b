/**
 * Manifest lists: indexes that are made here, of images of the store and of registries. A list is a name
 * whose document is written anew at each change; blobs of its members may be only where they came from.
 */
import { closeSync, fsyncSync, openSync, renameSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { isIndexType, OCI_INDEX } from "@tare/spec/media-type.ts";
import { formatFamiliar, type Reference } from "@tare/spec/reference.ts";
import type { Engine } from "../engine.ts";
import type { RegistryClient } from "../registry/client.ts";
import { writeBlob, writeDocument } from "../store/blob-rows.ts";
import { knownBlob, readDocument } from "../store/blobs.ts";
import { Lease } from "../store/leases.ts";
import { findName, writeName } from "../store/names.ts";
import { blobPath, Staging, type Store } from "../store/store.ts";
import { writeWhole } from "../write-whole.ts";
import { digestOf } from "./digest.ts";
import { DOCUMENT_BYTES_MAX } from "./document.ts";
import {
  addMember,
  annotateList,
  changeMember,
  type MemberChanges,
  newList,
  removeMember,
} from "./list-edit.ts";
import { findMembers } from "./list-members.ts";

export type ListOptions = {
  /** Of a member that is an index all of its members, not only that for this machine. */
  readonly all: boolean;
  readonly signal: AbortSignal;
};

/**
 * Makes a list of what the words name; answers its digest.
 * @throws TareError `conflict` where the name is taken, but by a list that is to be `amended`; what
 *   finding a member throws
 */
export async function createList(
  engine: Engine,
  client: RegistryClient,
  name: Reference,
  words: readonly string[],
  options: ListOptions & {
    readonly amend: boolean;
    readonly annotations: readonly (readonly [string, string])[];
  },
): Promise<Digest> {
  const { store } = engine;
  const check = () => {
    if (findName(store, name) === undefined || options.amend) return;
    throw new TareError("conflict", `Cannot make list "${formatFamiliar(name)}": it is there`, {
      hint: "Use --amend, or remove it: tare manifest rm",
    });
  };
  check();
  using lease = new Lease(store);
  const members = await findMembers(engine, client, lease, words, options);
  return editList(store, name, (text) => {
    if (text === undefined) check();
    const list = members.reduce(addMember, text ?? newList());
    return annotateList(list, options.annotations);
  });
}

/** Adds what the word names, described as it is and then as `changes` say; answers the list's digest. */
export async function addToList(
  engine: Engine,
  client: RegistryClient,
  name: Reference,
  word: string,
  options: ListOptions & { readonly changes: MemberChanges },
): Promise<Digest> {
  wantList(engine.store, name);
  using lease = new Lease(engine.store);
  const members = await findMembers(engine, client, lease, [word], options);
  return editList(engine.store, name, (text) =>
    members.reduce(
      (list, member) => changeMember(addMember(list, member), member.digest, options.changes),
      text ?? newList(),
    ),
  );
}

/** Describes a member, which is named by its digest or as it was when it was added. */
export async function annotateMember(
  engine: Engine,
  client: RegistryClient,
  name: Reference,
  word: string,
  options: ListOptions & { readonly changes: MemberChanges },
): Promise<Digest> {
  const { text } = wantList(engine.store, name);
  using lease = new Lease(engine.store);
  const digest = text.includes(`"${word}"`)
    ? (word as Digest)
    : (await findMembers(engine, client, lease, [word], options))[0]?.digest;
  if (digest === undefined) throw new RangeError("a word names a member");
  return editList(engine.store, name, (list) =>
    changeMember(list ?? newList(), digest, options.changes),
  );
}

/** Takes members out of a list by their digests; answers the list's digest. */
export function removeFromList(store: Store, name: Reference, digests: readonly Digest[]): Digest {
  wantList(store, name);
  return editList(store, name, (text) => digests.reduce(removeMember, text ?? newList()));
}

/** @throws TareError `not_found`, `bad_input` where the name is an image's */
export function removeList(store: Store, name: Reference): void {
  const { name: complete } = wantList(store, name);
  store.db.run("DELETE FROM names WHERE name = ?", [complete]);
}

/** A list as it is now. */
export type StoredList = { readonly name: string; readonly digest: Digest; readonly text: string };

/** The list of that name; undefined where there is no such name, or it is an image's. */
export function findList(store: Store, name: Reference): StoredList | undefined {
  const known = findName(store, name);
  if (known?.target === undefined || known.image !== undefined) return undefined;
  const type = knownBlob(store, known.target)?.mediaType ?? "";
  if (!isIndexType(type)) return undefined;
  return { name: known.name, digest: known.target, text: readDocument(store, known.target) };
}

/** @throws TareError `not_found`, `bad_input` where the name is an image's */
export function wantList(store: Store, name: Reference): StoredList {
  const list = findList(store, name);
  if (list !== undefined) return list;
  const word = formatFamiliar(name);
  if (findName(store, name) !== undefined) {
    throw new TareError("bad_input", `Cannot use "${word}" as a list: it is an image`);
  }
  throw new TareError("not_found", `Cannot find list "${word}": it is not in the store`, {
    hint: `Make it first: tare manifest create ${word}`,
  });
}

/** Writes what `edit` makes of the text as it is then; undefined: there is none yet. */
function editList(
  store: Store,
  name: Reference,
  edit: (text: string | undefined) => string,
): Digest {
  using staging = new Staging(store);
  const write = (): Digest => {
    if (findName(store, name) !== undefined) wantList(store, name);
    const text = edit(findList(store, name)?.text);
    const digest = placeDocument(store, `${staging.path}/list`, text);
    writeDocument(store.db, { digest, mediaType: OCI_INDEX, text });
    writeName(store.db, name, { target: digest, image: undefined });
    return digest;
  };
  return store.db.transaction(write).immediate();
}

/** Small, so it is synced under the lock. */
function placeDocument(store: Store, aside: string, text: string): Digest {
  const size = Buffer.byteLength(text);
  if (size > DOCUMENT_BYTES_MAX) {
    throw new TareError("bad_input", `Cannot write the list: it would have ${size} bytes`);
  }
  const digest = digestOf(text);
  const fd = openSync(aside, "w", 0o600);
  try {
    writeWhole(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(aside, blobPath(store, digest));
  writeBlob(store.db, { digest, size, mediaType: "", diffId: undefined });
  return digest;
}
