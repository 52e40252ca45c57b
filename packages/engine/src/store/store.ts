/**
 * The engine's place on disk:
 *   tare.db                  records
 *   blobs/sha256/<hex>       manifests, configs and layers as they came
 *   layers/<hex of chain id> a layer unpacked, once for all images that have it
 *   containers/<id>          bundle and writable layer of a container
 *   volumes/<name>/data      content of a volume
 *   reserve                  space for removing things on a full disk
 *   tmp/<owner>-<random>     what is being made; a dead owner's is swept
 *   tmp/partial/<hex>        the beginning of a blob whose download was cut off
 * Layers hold setuid programs (CVE-2021-41091): no other user gets past the first level. There, some
 * rooms let pass (x, no r), so that the root of a user namespace reaches what belongs to it alone.
 */

import type { Database } from "bun:sqlite";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
} from "node:fs";
import { type Digest, digestHex } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { reasonOf } from "../host/failure.ts";
import { openDatabase } from "./database.ts";
import { isAlive, ownerOf, ownTag } from "./owner.ts";
import { keepPartial, sweepPartials } from "./partials.ts";
import { makeReserve } from "./reserve.ts";

export class Store {
  readonly root: string;
  #db: Database | undefined;

  /** Use `openStore`. */
  constructor(root: string) {
    this.root = root;
  }

  /** Opened when it is first asked for: a container without an image and a name needs none. */
  get db(): Database {
    this.#db ??= openDatabase(this.root);
    return this.#db;
  }
}

/** `reserve` is explained in reserve.ts. */
const FILES: readonly string[] = ["tare.db", "reserve"];

const ROOMS: readonly (readonly [path: string, mode: number])[] = [
  ["blobs", 0o700],
  ["blobs/sha256", 0o700],
  ["layers", 0o700],
  ["containers", 0o711],
  ["volumes", 0o711],
  ["tmp", 0o700],
];

/**
 * Opens the store at `root`, which is made where it is missing.
 * @throws TareError `no_permission` where the caller may not.
 */
export function openStore(root: string): Store {
  if (!root.startsWith("/") || root.includes(":") || root.includes(",")) {
    throw new TareError(
      "bad_input",
      `Cannot use data root "${root}": want an absolute path without ":" and ","`,
    );
  }
  if (!existsSync(`${root}/tare.db`)) {
    refuseForeign(root);
    makeRooms(root);
  }
  return new Store(root);
}

/** Rooms get modes of ours: a mistyped path must not do that to a directory of someone else's. */
function refuseForeign(root: string): void {
  const names = existsSync(root) && statSync(root).isDirectory() ? readdirSync(root) : [];
  // The database too: another command may have made it since we looked for it.
  const foreign = names.find((name) => !isStoreName(name));
  if (foreign === undefined) return;
  throw new TareError(
    "bad_input",
    `Cannot use data root "${root}": it is not tare's, it has "${foreign}" in it`,
    { hint: "Name an empty directory, or one that does not exist yet" },
  );
}

/** Whether a name at the top of the data root is ours: a room, the database or its journal. */
export function isStoreName(name: string): boolean {
  return (
    ROOMS.some(([room]) => room === name) || FILES.includes(name) || name === "tare.db-journal"
  );
}

function makeRooms(root: string): void {
  try {
    mkdirSync(root, { recursive: true });
    chmodSync(root, 0o711);
    for (const [room, mode] of ROOMS) {
      mkdirSync(`${root}/${room}`, { recursive: true });
      chmodSync(`${root}/${room}`, mode);
    }
    makeReserve(root);
    closeSync(openSync(`${root}/tare.db`, "a", 0o600));
  } catch (cause) {
    throw new TareError("no_permission", `Cannot use data root "${root}": ${reasonOf(cause)}`, {
      cause,
    });
  }
}

/** Path of a blob, there or not. */
export function blobPath(store: Store, digest: Digest): string {
  return `${store.root}/blobs/sha256/${digestHex(digest)}`;
}

/** Path of an unpacked layer, there or not. */
export function layerPath(store: Store, chainId: Digest): string {
  return `${store.root}/layers/${digestHex(chainId)}`;
}

/** A new directory for what is being made; it goes with its scope, or after a crash with `sweepStaging`. */
export class Staging implements Disposable {
  readonly path: string;

  constructor(store: Store) {
    this.path = `${store.root}/tmp/${ownTag()}-${crypto.randomUUID()}`;
    mkdirSync(this.path, { mode: 0o700 });
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/**
 * Removes what processes that are gone left in `tmp`, and nothing that has another form; answers what
 * went wrong, a sentence each. Of a download the beginning is kept for a while.
 */
export function sweepStaging(store: Store): string[] {
  const faults = readdirSync(`${store.root}/tmp`).flatMap((name) => {
    const owner = ownerOf(name);
    if (owner === undefined || isAlive(owner)) return [];
    const path = `${store.root}/tmp/${name}`;
    rescueDownloads(store, path);
    return removeLeftover(path);
  });
  sweepPartials(store);
  return faults;
}

/** What a download of a blob is called while it lasts: its place among others, then the digest of the whole. */
export function downloadName(index: number, digest: Digest): string {
  return `download-${index}-${digestHex(digest)}`;
}

function rescueDownloads(store: Store, directory: string): void {
  for (const name of namesIn(directory)) {
    const hex = /^download-\d{1,6}-([0-9a-f]{64})$/.exec(name)?.[1];
    if (hex !== undefined) keepPartial(store, `sha256:${hex}` as Digest, `${directory}/${name}`);
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/**
 * Removes a directory that nobody uses. That it cannot be removed (an immutable file, say) must not
 * keep a command from its own work, so this throws nothing and answers what to tell.
 */
function removeLeftover(path: string): string[] {
  try {
    rmSync(path, { recursive: true, force: true });
    return [];
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    return BY_ANOTHER.has(code) ? [] : [`Cannot remove "${path}": ${reasonOf(error)}`];
  }
}

/** What removing says where another command removes the same at the same time. */
const BY_ANOTHER: ReadonlySet<string> = new Set(["ENOENT", "ENOTEMPTY"]);
