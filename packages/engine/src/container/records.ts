/** Rows of containers, and the sweep of what crashed commands left behind. */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError, toReport } from "@tare/spec/error.ts";
import type { Engine } from "../engine.ts";
import { isAlive, type OwnerTag, ownTag } from "../store/owner.ts";
import { withReserve } from "../store/reserve.ts";
import { type Store, sweepStaging } from "../store/store.ts";

export type ContainerRecord = {
  readonly id: string;
  readonly name: string | undefined;
  readonly image: Digest | undefined;
  readonly imageName: string;
  readonly command: readonly string[];
  readonly owner: OwnerTag;
  /** Absolute path of the runtime. */
  readonly runtime: string;
  readonly removes: boolean;
  /** Names of the volumes that it uses. */
  readonly volumes: readonly string[];
  /** Images that are mounted in it, besides its own. */
  readonly mountedImages: readonly Digest[];
};

/** What the directory of a container says without the database. */
export type OwnerFile = {
  readonly owner: OwnerTag;
  readonly runtime: string;
  readonly image: Digest | undefined;
  /** Absent in directories of an older version. */
  readonly mountedImages?: readonly Digest[];
  /** Names of volumes; absent in directories of an older version. */
  readonly volumes?: readonly string[];
  /** Whether a row says the same. */
  readonly hasRow?: boolean;
};

/**
 * Whether a container has a row. One that nobody can name and that is removed at its end is only
 * its directory: its loss is harmless, and a row would be written and synced twice.
 */
export function hasRow(record: {
  readonly name: string | undefined;
  readonly removes: boolean;
}): boolean {
  return record.name !== undefined || !record.removes;
}

/** Directory of a container. */
export function containerPath(store: Store, id: string): string {
  return `${store.root}/containers/${id}`;
}

/**
 * Writes the row.
 * @throws TareError `conflict` where the name is taken; `not_found` where the image went meanwhile.
 */
export function insertContainer(store: Store, record: ContainerRecord): void {
  const sql = `INSERT INTO containers
    (id, name, image, image_name, command, created, owner, runtime, removes)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;
  const created = new Date().toISOString();
  try {
    store.db.transaction(() => {
      store.db.run(sql, [
        record.id,
        record.name ?? null,
        record.image ?? null,
        record.imageName,
        JSON.stringify(record.command),
        created,
        record.owner,
        record.runtime,
        record.removes ? 1 : 0,
      ]);
      for (const volume of new Set(record.volumes)) {
        store.db.run("INSERT INTO container_volumes VALUES (?, ?)", [record.id, volume]);
      }
      for (const image of new Set(record.mountedImages)) {
        store.db.run("INSERT INTO container_images VALUES (?, ?)", [record.id, image]);
      }
      store.db.run("UPDATE images SET used = ? WHERE id = ?", [created, record.image ?? ""]);
    })();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : "";
    if (message.includes("UNIQUE")) throw nameTaken(record.name ?? record.id);
    if (!message.includes("FOREIGN KEY")) throw cause;
    throw usedThingGone(record.imageName);
  }
}

/**
 * For a container without a row, once its directory stands. Who removes an image or a volume looks at
 * directories under the lock that is taken here: so either that one sees the directory, or this one
 * sees that what it uses is gone.
 * @throws TareError `not_found`
 */
export function confirmUse(store: Store, record: ContainerRecord): void {
  const { image, volumes } = record;
  const images = [...(image === undefined ? [] : [image]), ...record.mountedImages];
  if (images.length === 0 && volumes.length === 0) return;
  const has = (table: string, key: string, value: string) =>
    store.db.query(`SELECT 1 FROM ${table} WHERE ${key} = ?`).get(value) !== null;
  const isThere = store.db
    .transaction(
      () =>
        images.every((id) => has("images", "id", id)) &&
        volumes.every((volume) => has("volumes", "name", volume)),
    )
    .immediate();
  if (!isThere) throw usedThingGone(record.imageName);
}

function usedThingGone(name: string): TareError {
  const message = `Cannot run "${name}": the image or a volume was removed`;
  return new TareError("not_found", message, { hint: "Run the command again" });
}

/**
 * A row whose directory is gone is what a crash left of a removal.
 * @throws TareError `conflict` where another container has the name.
 */
export function checkNameFree(store: Store, name: string): void {
  const row = store.db
    .query<{ id: string }, [string]>("SELECT id FROM containers WHERE name = ?")
    .get(name);
  if (row === null) return;
  if (existsSync(containerPath(store, row.id))) throw nameTaken(name);
  store.db.run("DELETE FROM containers WHERE id = ?", [row.id]);
}

function nameTaken(name: string): TareError {
  return new TareError("conflict", `Cannot use the name "${name}": another container has it`, {
    hint: `Choose another name, or remove that one with "tare rm ${name}"`,
  });
}

/** Records how a container that is kept ended. */
export function recordExit(store: Store, id: string, exitCode: number): void {
  store.db.run("UPDATE containers SET exit_code = ? WHERE id = ?", [exitCode, id]);
}

/** Removes the directory of a container. */
export function deleteDirectory(store: Store, id: string): void {
  rmSync(moveAside(store, id), { recursive: true, force: true });
}

/** Removes directory and row, in this order: of a row alone, `checkNameFree` knows what it is. */
export function deleteContainer(store: Store, id: string): void {
  const aside = moveAside(store, id);
  withReserve(store, () => store.db.run("DELETE FROM containers WHERE id = ?", [id]));
  rmSync(aside, { recursive: true, force: true });
}

/** One step: half a directory would have no owner file, and nobody would know whose it was. */
function moveAside(store: Store, id: string): string {
  const aside = `${store.root}/tmp/${ownTag()}-${id}`;
  try {
    renameSync(containerPath(store, id), aside);
  } catch (error) {
    // Another command has just removed it.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  return aside;
}

/** A running container of the image, or in which it is mounted, by its id. */
export function findUser(store: Store, image: Digest): string | undefined {
  return readdirSync(`${store.root}/containers`).find((id) => {
    const file = readOwner(store, id);
    const uses = file?.image === image || file?.mountedImages?.includes(image) === true;
    return file !== undefined && uses && isAlive(file.owner);
  });
}

/**
 * Ends and removes what belongs to commands that were killed together with their runtime.
 * Containers that are to be kept stay, with the exit status of a killed one.
 * Answers what went wrong, a sentence each: the caller has work of its own and never fails by this.
 */
export async function sweepContainers(engine: Engine): Promise<string[]> {
  const { store } = engine;
  const faults = sweepStaging(store);
  for (const id of readdirSync(`${store.root}/containers`)) {
    try {
      await sweepContainer(engine, id);
    } catch (error) {
      faults.push(`Cannot clean up container "${id}": ${toReport(error).message}`);
    }
  }
  return faults;
}

async function sweepContainer(engine: Engine, id: string): Promise<void> {
  const { store } = engine;
  const file = readOwner(store, id);
  if (file === undefined || isAlive(file.owner)) return;
  const row = store.db
    .query<{ removes: number; exit_code: number | null }, [string]>(
      "SELECT removes, exit_code FROM containers WHERE id = ?",
    )
    .get(id);
  if (row !== null && row.exit_code !== null) return;
  await forceDelete(engine, file.runtime, id);
  if (row !== null && row.removes === 0) recordExit(store, id, EXIT_KILLED);
  else deleteContainer(store, id);
}

/** 128 + SIGKILL. */
const EXIT_KILLED = 137;

/** What the directory of a container says; undefined for what is none. */
export function readOwner(store: Store, id: string): OwnerFile | undefined {
  try {
    const text = readFileSync(`${containerPath(store, id)}/owner.json`, "utf8");
    return JSON.parse(text) as OwnerFile;
  } catch {
    return undefined;
  }
}

/** Ends whatever the runtime still has of a container; that it has nothing is fine. */
export async function forceDelete(engine: Engine, runtime: string, id: string): Promise<void> {
  if (!existsSync(runtime)) return;
  const child = Bun.spawn(
    [runtime, "--root", runtimeRoot(engine, runtime), "delete", "--force", id],
    { stdio: ["ignore", "ignore", "ignore"], env: RUNTIME_ENVIRONMENT },
  );
  await child.exited;
}

/** Runtimes look up newuidmap and the like here, never in the caller's PATH. */
export const RUNTIME_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
};

/** Each runtime has a state directory of its own: their formats differ. */
export function runtimeRoot(engine: Engine, runtime: string): string {
  return `${engine.settings.runRoot}/${runtime.slice(runtime.lastIndexOf("/") + 1)}`;
}
