/**
 * `system df`: everything below the data root, by what it is for. The sum is what du(1) says of the
 * root: blocks, directories too, a file of many names once.
 */
import { existsSync, lstatSync, readdirSync } from "node:fs";
import { type Digest, digestHex } from "@tare/spec/digest.ts";
import { type ListedContainer, listContainers } from "../container/list.ts";
import { findUse } from "../image/remove.ts";
import { namesOf } from "../store/names.ts";
import type { Store } from "../store/store.ts";
import { UsageCount } from "../store/usage.ts";
import { listVolumes, usersOf } from "../volume/records.ts";

/** A kind of thing, as a row of the table. */
export type UsageRow = {
  readonly type: "Images" | "Containers" | "Local Volumes" | "Work in Progress" | "Records";
  readonly count: number;
  /** In use now. */
  readonly active: number;
  readonly bytes: number;
  /** What prune would give back. */
  readonly reclaimable: number;
};

export type ImageUsage = {
  readonly id: Digest;
  /** Complete, as the store has them. */
  readonly names: readonly string[];
  /** ISO 8601; empty where the image does not say. */
  readonly created: string;
  /** With all that others have, too. */
  readonly bytes: number;
  /** Of which no other image has. */
  readonly ownBytes: number;
  readonly containers: number;
};

export type ContainerUsage = ListedContainer & {
  readonly bytes: number;
  readonly logBytes: number;
};

export type VolumeUsage = { readonly name: string; readonly bytes: number; readonly users: number };

export type StoreUsage = {
  readonly rows: readonly UsageRow[];
  readonly images: readonly ImageUsage[];
  readonly containers: readonly ContainerUsage[];
  readonly volumes: readonly VolumeUsage[];
  /** All of it. */
  readonly bytes: number;
};

/** Measures the whole store. */
export function measureStore(store: Store): StoreUsage {
  const meter = new Meter(store.root);
  const pieces = meter.children(["layers", "blobs/sha256"]);
  const images = imageUsages(store, pieces);
  const containers = containerUsages(store, meter);
  const volumes = volumeUsages(store, meter);
  const imageBytes = sum([...pieces.values()]);
  const kept = keptPieces(store);
  const idle = [...pieces].filter(([name]) => !kept.has(name)).map(([, bytes]) => bytes);
  const work = meter.measure("tmp");
  const rows: UsageRow[] = [
    {
      type: "Images",
      count: images.length,
      active: images.filter((image) => image.containers > 0).length,
      bytes: imageBytes,
      reclaimable: sum(idle),
    },
    rowOf("Containers", containers, ({ running }) => running),
    rowOf("Local Volumes", volumes, ({ users }) => users > 0),
    {
      type: "Work in Progress",
      count: work.files - 1,
      active: 0,
      bytes: work.bytes,
      reclaimable: 0,
    },
  ];
  const rest = meter.rest();
  rows.push({ type: "Records", count: 1, active: 1, bytes: rest, reclaimable: 0 });
  return { rows, images, containers, volumes, bytes: sum(rows.map(({ bytes }) => bytes)) };
}

function rowOf<T extends { readonly bytes: number }>(
  type: UsageRow["type"],
  all: readonly T[],
  isActive: (each: T) => boolean,
): UsageRow {
  const idle = all.filter((each) => !isActive(each));
  return {
    type,
    count: all.length,
    active: all.length - idle.length,
    bytes: sum(all.map(({ bytes }) => bytes)),
    reclaimable: sum(idle.map(({ bytes }) => bytes)),
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** Measures parts of the data root, each file once, whatever the order. */
class Meter {
  readonly #root: string;
  readonly #count = new UsageCount();

  constructor(root: string) {
    this.#root = root;
  }

  measure(path: string): { bytes: number; files: number } {
    const { bytes, files } = this.#count;
    if (existsSync(`${this.#root}/${path}`)) this.#count.add(`${this.#root}/${path}`);
    return { bytes: this.#count.bytes - bytes, files: this.#count.files - files };
  }

  /** Bytes of each child of some rooms, by `<room>/<name>`. */
  children(rooms: readonly string[]): Map<string, number> {
    const found = new Map<string, number>();
    for (const room of rooms) {
      for (const name of readdirSync(`${this.#root}/${room}`)) {
        found.set(`${room}/${name}`, this.measure(`${room}/${name}`).bytes);
      }
    }
    return found;
  }

  /** The rooms themselves, the root, and the files in it: the database. */
  rest(): number {
    const BLOCK_BYTES = 512;
    const rooms = ["", "blobs", "blobs/sha256", "layers", "containers", "volumes"];
    const own = rooms.map((room) => lstatSync(`${this.#root}/${room}`).blocks * BLOCK_BYTES);
    const others = readdirSync(this.#root).filter((name) => !MEASURED.includes(name));
    return sum(own) + sum(others.map((name) => this.measure(name).bytes));
  }
}

const MEASURED = ["blobs", "layers", "containers", "volumes", "tmp"];

type LayerRow = { readonly image: string; readonly chain_id: string; readonly blob: string };

function imageUsages(store: Store, pieces: ReadonlyMap<string, number>): ImageUsage[] {
  const used = piecesByImage(store);
  const holders = new Map<string, number>();
  for (const piece of [...used.values()].flatMap((each) => [...each])) {
    holders.set(piece, (holders.get(piece) ?? 0) + 1);
  }
  const size = (names: readonly string[]) => sum(names.map((name) => pieces.get(name) ?? 0));
  const createdOf = store.db.query<{ created: string }, [string]>(
    "SELECT created FROM images WHERE id = ?",
  );
  return [...used].map(([id, own]) => ({
    id: id as Digest,
    names: namesOf(store, id as Digest).map(({ name }) => name),
    created: createdOf.get(id)?.created ?? "",
    bytes: size([...own]),
    ownBytes: size([...own].filter((piece) => holders.get(piece) === 1)),
    containers: containersOf(store, id as Digest),
  }));
}

function containersOf(store: Store, image: Digest): number {
  const sql = "SELECT count(*) AS count FROM containers WHERE image = ?";
  const rows = store.db.query<{ count: number }, [string]>(sql).get(image)?.count ?? 0;
  return rows > 0 ? rows : findUse(store, image) === undefined ? 0 : 1;
}

/** Layers and blobs of each image, as paths below the data root. */
function piecesByImage(store: Store): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const blob = (digest: string) => `blobs/sha256/${digestHex(digest as Digest)}`;
  for (const { id } of store.db.query<{ id: string }, []>("SELECT id FROM images").all()) {
    found.set(id, new Set([blob(id)]));
  }
  const sql = "SELECT image, chain_id, blob FROM image_layers JOIN layers USING (chain_id)";
  for (const row of store.db.query<LayerRow, []>(sql).all()) {
    found
      .get(row.image)
      ?.add(`layers/${digestHex(row.chain_id as Digest)}`)
      .add(blob(row.blob));
  }
  type Document = { readonly image: string; readonly digest: string };
  const documents = `SELECT image, digest FROM blobs WHERE image IS NOT NULL
    UNION SELECT image, parent FROM blobs JOIN blob_references ON child = digest
      WHERE image IS NOT NULL AND role = 'manifest'`;
  for (const { image, digest } of store.db.query<Document, []>(documents).all()) {
    found.get(image)?.add(blob(digest));
  }
  return found;
}

/** What `image prune -a` leaves: the pieces of images with containers. */
function keptPieces(store: Store): ReadonlySet<string> {
  const used = [...piecesByImage(store)].filter(
    ([id]) => findUse(store, id as Digest) !== undefined,
  );
  return new Set(used.flatMap(([, pieces]) => [...pieces]));
}

function containerUsages(store: Store, meter: Meter): ContainerUsage[] {
  const listed = new Map(listContainers(store).map((each) => [each.id, each]));
  return readdirSync(`${store.root}/containers`).map((id) => {
    const log = lstatSync(`${store.root}/containers/${id}/runtime.log`, { throwIfNoEntry: false });
    const { bytes } = meter.measure(`containers/${id}`);
    return { ...(listed.get(id) ?? leftOver(id)), bytes, logBytes: log?.size ?? 0 };
  });
}

/** What a crash left: the next command that removes takes it away. */
function leftOver(id: string): ListedContainer {
  const nothing = { name: undefined, image: undefined, exitCode: undefined };
  const ended = { imageName: "", command: [], created: "", running: false, volumes: [] };
  return { id, ...nothing, ...ended };
}

/** Directories without a record count, too: they take space. */
function volumeUsages(store: Store, meter: Meter): VolumeUsage[] {
  const known = listVolumes(store).map(({ name }) => name);
  const there = readdirSync(`${store.root}/volumes`);
  return [...new Set([...known, ...there])].map((name) => ({
    name,
    bytes: meter.measure(`volumes/${name}`).bytes,
    users: usersOf(store, name).length,
  }));
}
