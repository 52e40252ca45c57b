/**
 * Volumes: a row, and for most a directory `volumes/<name>/data`. The directory is made first and goes
 * first, in one transaction with its row; what a crash leaves of that, `sweepVolumes` tells apart.
 */

import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
} from "node:fs";
import { TareError } from "@tare/spec/error.ts";
import type { OwnerIds } from "@tare/spec/storage-work.ts";
import { readOwner } from "../container/records.ts";
import { type Filter, passes } from "../store/filter.ts";
import { isAlive, ownTag } from "../store/owner.ts";
import { withReserve } from "../store/reserve.ts";
import type { Store } from "../store/store.ts";
import { diskUsage } from "../store/usage.ts";
import { volumeForm } from "./options.ts";

export type Volume = {
  readonly name: string;
  readonly driver: string;
  readonly options: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  /** ISO 8601. */
  readonly created: string;
  /** Made for a container that named none. */
  readonly anonymous: boolean;
};

const NAME_BYTES = 32;
const NAME_LENGTH_MAX = 255;

type Row = {
  readonly name: string;
  readonly driver: string;
  readonly options: string;
  readonly labels: string;
  readonly created: string;
  readonly anonymous: number;
};

/** A new name, as Docker gives to volumes without one. */
export function randomName(): string {
  return crypto.getRandomValues(new Uint8Array(NAME_BYTES)).toHex();
}

/** Letters, digits, "_", ".", "-", and the first a letter or digit; at least two of them. */
export function isVolumeName(text: string): boolean {
  return text.length <= NAME_LENGTH_MAX && /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(text);
}

/** The directory that holds `data`. */
export function volumeRoom(store: Store, name: string): string {
  return `${store.root}/volumes/${name}`;
}

export function findVolume(store: Store, name: string): Volume | undefined {
  const row = store.db.query<Row, [string]>("SELECT * FROM volumes WHERE name = ?").get(name);
  return row === null ? undefined : toVolume(row);
}

/** All of them, by name. */
export function listVolumes(store: Store): Volume[] {
  return store.db.query<Row, []>("SELECT * FROM volumes ORDER BY name").all().map(toVolume);
}

function toVolume(row: Row): Volume {
  const mapOf = (text: string) =>
    new Map(Object.entries(JSON.parse(text) as Record<string, string>));
  const { name, driver, created } = row;
  return {
    name,
    driver,
    created,
    options: mapOf(row.options),
    labels: mapOf(row.labels),
    anonymous: row.anonymous !== 0,
  };
}

/**
 * Makes a volume; one that is there with the same driver and options is answered as it is.
 * @throws TareError `bad_input` for a name or options that cannot be; `conflict` for other options.
 */
export function createVolume(
  store: Store,
  wanted: Omit<Volume, "created">,
  owner: OwnerIds = { uid: 0, gid: 0 },
  limit: Limit = refuseLimit,
): Volume {
  if (!isVolumeName(wanted.name)) {
    throw new TareError("bad_input", `Cannot make volume "${wanted.name}": it is no volume name`, {
      hint: 'Letters, digits, "_", "." and "-", at least two, a letter or digit first',
    });
  }
  const form = volumeForm(wanted.options);
  const bytesMax = form.kind === "directory" ? form.bytesMax : undefined;
  const fill = (room: string) => {
    if (bytesMax !== undefined) limitRoom(room, bytesMax, limit);
    makeRoom(room, owner);
  };
  return store.db.transaction(() => makeVolume(store, wanted, fill)).immediate();
}

/** Lets no more than so many bytes into an empty directory, whatever is made in it. */
export type Limit = (directory: string, bytesMax: bigint) => void;

function refuseLimit(): never {
  throw new TareError("unsupported", "Cannot make a volume with a size here");
}

function limitRoom(room: string, bytesMax: bigint, limit: Limit): void {
  mkdirSync(room);
  try {
    limit(room, bytesMax);
  } catch (error) {
    rmdirSync(room);
    throw error;
  }
}

function makeVolume(
  store: Store,
  wanted: Omit<Volume, "created">,
  fill: (room: string) => void,
): Volume {
  const { name, driver } = wanted;
  const there = findVolume(store, name);
  const [options, labels] = [wanted.options, wanted.labels].map((map) =>
    JSON.stringify(Object.fromEntries(map)),
  );
  if (there !== undefined) {
    if (JSON.stringify(Object.fromEntries(there.options)) === options) return there;
    throw new TareError("conflict", `Cannot make volume "${name}": it exists with other options`);
  }
  const room = volumeRoom(store, name);
  if (isHalfMade(store, name)) rmSync(room, { recursive: true, force: true });
  if (existsSync(room)) throw inTheWay(name);
  fill(room);
  const created = new Date().toISOString();
  store.db.run("INSERT INTO volumes VALUES (?, ?, ?, ?, ?, ?)", [
    name,
    driver,
    options ?? "{}",
    labels ?? "{}",
    created,
    wanted.anonymous ? 1 : 0,
  ]);
  return { ...wanted, created };
}

/**
 * The directories of a volume, or what is missing of them. Only the group of the container's root may
 * pass: below are programs with setuid bits.
 */
export function makeRoom(room: string, owner: OwnerIds): void {
  mkdirSync(`${room}/data`, { recursive: true, mode: 0o755 });
  chmodSync(room, 0o710);
  chownSync(room, 0, owner.gid);
  chownSync(`${room}/data`, owner.uid, owner.gid);
}

/** Containers that use a volume, as people call them: kept ones, and running ones without a row. */
export function usersOf(store: Store, volume: string): string[] {
  const rows = store.db
    .query<{ id: string; name: string | null }, [string]>(
      `SELECT id, name FROM containers JOIN container_volumes ON container = id WHERE volume = ?`,
    )
    .all(volume);
  const kept = rows.map(({ id, name }) => name ?? id.slice(0, 12));
  return [...kept, ...runningUsers(store, volume)];
}

function runningUsers(store: Store, volume: string): string[] {
  const ids = readdirSync(`${store.root}/containers`).filter((id) => {
    const file = readOwner(store, id);
    return file?.hasRow !== true && file?.volumes?.includes(volume) === true && isAlive(file.owner);
  });
  return ids.map((id) => id.slice(0, 12));
}

/**
 * Removes a volume with its content; `force` minds no missing one.
 * @throws TareError `not_found`; `conflict` while a container, running or kept, uses it.
 */
export function removeVolume(store: Store, name: string, options: { force?: boolean } = {}): void {
  withReserve(store, () => takeAway(store, name, options.force === true));
}

function takeAway(store: Store, name: string, force: boolean): void {
  const aside = `${store.root}/tmp/${ownTag()}-${crypto.randomUUID()}`;
  const room = volumeRoom(store, name);
  let isAside = false;
  try {
    const isThere = store.db
      .transaction(() => {
        if (findVolume(store, name) === undefined) return false;
        const [user] = usersOf(store, name);
        if (user !== undefined) throw inUse(name, user);
        store.db.run("DELETE FROM volumes WHERE name = ?", [name]);
        isAside = existsSync(room);
        if (isAside) renameSync(room, aside);
        return true;
      })
      .immediate();
    if (!isThere && !force) throw noVolume(name);
  } catch (error) {
    if (isAside) renameSync(aside, room);
    throw error;
  }
  rmSync(aside, { recursive: true, force: true });
}

/**
 * Makes good what a killed command left: a record whose directory is gone was being removed, an empty
 * directory without a record was being made.
 */
export function sweepVolumes(store: Store): void {
  store.db
    .transaction(() => {
      for (const { name } of listVolumes(store)) {
        if (existsSync(volumeRoom(store, name)) || usersOf(store, name).length > 0) continue;
        store.db.run("DELETE FROM volumes WHERE name = ?", [name]);
      }
      for (const name of readdirSync(`${store.root}/volumes`)) {
        if (findVolume(store, name) === undefined && isHalfMade(store, name)) {
          rmSync(volumeRoom(store, name), { recursive: true, force: true });
        }
      }
    })
    .immediate();
}

/** What a crash leaves of making a volume: its directory with at most an empty `data` in it. */
function isHalfMade(store: Store, name: string): boolean {
  const room = volumeRoom(store, name);
  if (!isVolumeName(name) || !isDirectory(room)) return false;
  const entries = readdirSync(room);
  if (entries.length === 0) return true;
  const data = `${room}/data`;
  return entries.join("/") === "data" && isDirectory(data) && readdirSync(data).length === 0;
}

/** Whether a name in `volumes` can be that of a volume which lost its record. */
export function isVolumeRoom(store: Store, name: string): boolean {
  const room = volumeRoom(store, name);
  return isVolumeName(name) && isDirectory(room) && isDirectory(`${room}/data`);
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Records a directory that has none, with its content: nothing of a user's is thrown away. */
export function adoptVolume(store: Store, name: string): void {
  const created = new Date().toISOString();
  const sql = "INSERT INTO volumes VALUES (?, 'local', '{}', '{}', ?, 0) ON CONFLICT DO NOTHING";
  store.db.run(sql, [name, created]);
}

export function noVolume(name: string): TareError {
  return new TareError("not_found", `Cannot find volume "${name}": there is none`);
}

/** A volume that lost its record may hold what somebody wants back. */
function inTheWay(name: string): TareError {
  const message = `Cannot make volume "${name}": there is a "volumes/${name}" without a record`;
  return new TareError("conflict", message, {
    hint: `"tare system check --repair" records it, if it is a volume`,
  });
}

function inUse(name: string, user: string): TareError {
  return new TareError("conflict", `Cannot remove volume "${name}": container ${user} uses it`, {
    hint: `End that container, or remove it with "tare rm ${user}"`,
  });
}

export type PrunedVolumes = { readonly names: readonly string[]; readonly bytes: number };

/** Removes volumes that nobody uses: those without a name of their own, or all. */
export function pruneVolumes(store: Store, all: boolean, filter: Filter): PrunedVolumes {
  const names: string[] = [];
  let bytes = 0;
  for (const volume of listVolumes(store)) {
    const { name, labels, created } = volume;
    if ((!all && !volume.anonymous) || !passes(filter, labels, created)) continue;
    if (usersOf(store, name).length > 0) continue;
    const size = diskUsage(volumeRoom(store, name)).bytes;
    try {
      removeVolume(store, name);
    } catch (error) {
      // Somebody has begun to use it, or has removed it.
      if (error instanceof TareError) continue;
      throw error;
    }
    names.push(name);
    bytes += size;
  }
  return { names, bytes };
}

/** Volumes that were made for a container without a name, in use by nobody else. */
export function anonymousVolumesOf(store: Store, container: string): string[] {
  const sql = `SELECT name FROM volumes JOIN container_volumes ON volume = name
    WHERE container = ?1 AND anonymous = 1
    AND name NOT IN (SELECT volume FROM container_volumes WHERE container <> ?1)`;
  const rows = store.db.query<{ name: string }, [string]>(sql).all(container);
  return rows.map(({ name }) => name);
}
