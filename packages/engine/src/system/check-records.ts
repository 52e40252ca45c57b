/** The database itself, images against their layers, containers and volumes against their directories. */

import { existsSync, readdirSync, statSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { parseImageConfig } from "@tare/spec/oci-image-config.ts";
import type { OwnerIds } from "@tare/spec/storage-work.ts";
import { containerPath, readOwner } from "../container/records.ts";
import { chainIds, digestOf } from "../image/digest.ts";
import { takeAway } from "../image/remove.ts";
import { isStoredName } from "../store/collect.ts";
import { ownerOf } from "../store/owner.ts";
import { PARTIAL_ROOM } from "../store/partials.ts";
import { isStoreName, type Store } from "../store/store.ts";
import { adoptVolume, isVolumeRoom, listVolumes, makeRoom, volumeRoom } from "../volume/records.ts";
import type { Fault } from "./check.ts";

export function recordFaults(store: Store): Fault[] {
  return [
    ...databaseFaults(store),
    ...imageFaults(store),
    ...containerFaults(store),
    ...volumeFaults(store),
    ...strangers(store),
  ];
}

function databaseFaults(store: Store): Fault[] {
  type Line = { readonly integrity_check: string };
  const lines = store.db.query<Line, []>("PRAGMA integrity_check").all();
  const texts = lines.map(({ integrity_check: text }) => text).filter((text) => text !== "ok");
  const loose = store.db.query("PRAGMA foreign_key_check").all();
  const all = [...texts, ...loose.map((row) => `a row without its parent: ${JSON.stringify(row)}`)];
  return all.map((text) => ({ message: `The database is damaged: ${text}`, repair: undefined }));
}

type ImageRow = { readonly id: string; readonly config: string };

function imageFaults(store: Store): Fault[] {
  const rows = store.db.query<ImageRow, []>("SELECT id, config FROM images ORDER BY id").all();
  return rows.flatMap((row) => {
    const why = imageFault(store, row);
    if (why === undefined) return [];
    const remove = () => {
      store.db.transaction(() => takeAway(store, row.id, { force: true })).immediate();
      return "removed: pull or load it again";
    };
    return [{ message: `Image "${row.id}" ${why}`, repair: remove }];
  });
}

function imageFault(store: Store, { id, config }: ImageRow): string | undefined {
  if (digestOf(config) !== id) return "has another configuration than its id says";
  const sql = "SELECT chain_id FROM image_layers WHERE image = ? ORDER BY position";
  const rows = store.db.query<{ chain_id: string }, [string]>(sql).all(id);
  const wanted = readChain(config);
  if (wanted === undefined) return "has a configuration that cannot be read";
  const same =
    wanted.length === rows.length && wanted.every((each, at) => each === rows[at]?.chain_id);
  return same ? undefined : "has other layers than its configuration says";
}

function readChain(config: string): readonly Digest[] | undefined {
  try {
    return chainIds(parseImageConfig(config).diffIds);
  } catch {
    return undefined;
  }
}

/** Rows alone are what a crash left of a removal; directories alone have gone in the sweep. */
function containerFaults(store: Store): Fault[] {
  type Row = { readonly id: string; readonly name: string | null };
  const rows = store.db.query<Row, []>("SELECT id, name FROM containers").all();
  const lost = rows
    .filter(({ id }) => !existsSync(containerPath(store, id)))
    .map(({ id, name }) => ({
      message: `Container "${name ?? id}" has no directory`,
      repair: () => {
        store.db.run("DELETE FROM containers WHERE id = ?", [id]);
        return "record removed";
      },
    }));
  const odd = readdirSync(`${store.root}/containers`)
    .filter((id) => readOwner(store, id) === undefined)
    .map((id) => ({ message: `Directory "containers/${id}" is no container`, repair: undefined }));
  return [...lost, ...odd];
}

function volumeFaults(store: Store): Fault[] {
  const rows = listVolumes(store).map(({ name }) => name);
  const lost = rows
    .filter((name) => !existsSync(`${volumeRoom(store, name)}/data`))
    .map((name) => ({
      message: `Volume "${name}" has lost its directory`,
      repair: () => {
        const room = volumeRoom(store, name);
        makeRoom(room, ownerLeft(room));
        return "made again, empty";
      },
    }));
  const known = new Set(rows);
  const unknown = readdirSync(`${store.root}/volumes`)
    .filter((name) => !known.has(name))
    .map((name) => (isVolumeRoom(store, name) ? unknownVolume(store, name) : noVolume(name)));
  return [...lost, ...unknown];
}

/** By the group of what is left of a volume: nothing else says whose it was. Ids of users and groups mostly start alike. */
function ownerLeft(room: string): OwnerIds {
  const gid = statSync(room, { throwIfNoEntry: false })?.gid ?? 0;
  return { uid: gid, gid };
}

function unknownVolume(store: Store, name: string): Fault {
  const repair = () => {
    adoptVolume(store, name);
    return "recorded as a volume";
  };
  return { message: `Directory "volumes/${name}" has no record`, repair };
}

function noVolume(name: string): Fault {
  return { message: `"volumes/${name}" is no volume`, repair: undefined };
}

/** What is not ours stays where it is, whatever is repaired. */
function strangers(store: Store): Fault[] {
  const rooms: readonly (readonly [room: string, isOurs: (name: string) => boolean])[] = [
    ["", isStoreName],
    ["blobs/", (name) => name === "sha256"],
    ["blobs/sha256/", isStoredName],
    ["layers/", isStoredName],
    ["tmp/", (name) => name === PARTIAL_ROOM || ownerOf(name) !== undefined],
    [`tmp/${PARTIAL_ROOM}/`, isStoredName],
  ];
  return rooms.flatMap(([room, isOurs]) =>
    namesIn(`${store.root}/${room}`)
      .filter((name) => !isOurs(name))
      .map((name) => `"${room}${name}" in the data root is not tare's`)
      .map((message) => ({ message, repair: undefined })),
  );
}

/** The last of the rooms is there at times only. */
function namesIn(room: string): string[] {
  return existsSync(room) ? readdirSync(room) : [];
}
