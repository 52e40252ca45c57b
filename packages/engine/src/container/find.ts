/** Finds containers by what people type: a name, an id, the start of an id. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { formatFamiliar, parseReference } from "@tare/spec/reference.ts";
import type { Engine } from "../engine.ts";
import { isIdStart } from "../image/digest.ts";
import { namesOf } from "../store/names.ts";
import { isAlive, type OwnerTag } from "../store/owner.ts";
import type { Store } from "../store/store.ts";
import { containerPath, type OwnerFile, readOwner } from "./records.ts";

export type StoredContainer = {
  readonly id: string;
  readonly name: string | undefined;
  readonly image: Digest | undefined;
  /** As it was typed; `@host` or a directory where there is no image. */
  readonly imageName: string;
  readonly command: readonly string[];
  /** ISO 8601. */
  readonly created: string;
  readonly owner: OwnerTag;
  /** Absolute path of the runtime. */
  readonly runtime: string;
  /** Undefined until it has ended, or where a crash kept that from being written. */
  readonly exitCode: number | undefined;
};

type Row = {
  readonly id: string;
  readonly name: string | null;
  readonly image: string | null;
  readonly image_name: string;
  readonly command: string;
  readonly created: string;
  readonly owner: string;
  readonly runtime: string;
  readonly exit_code: number | null;
};

const ID_LENGTH_MIN = 2;
const COLUMNS = "id, name, image, image_name, command, created, owner, runtime, exit_code";

/**
 * The container of a name, an id or the unique start of an id; a running one need have no record.
 * @throws TareError `not_found`
 */
export function findContainer({ store }: Engine, word: string): StoredContainer {
  const { db } = store;
  const named = db
    .query<Row, [string]>(`SELECT ${COLUMNS} FROM containers WHERE name = ?`)
    .get(word);
  if (named !== null) return toContainer(named);
  const isStart = word.length >= ID_LENGTH_MIN && isIdStart(word);
  const sql = `SELECT ${COLUMNS} FROM containers WHERE id GLOB ? LIMIT 2`;
  const rows = isStart ? db.query<Row, [string]>(sql).all(`${word}*`) : [];
  const unrecorded = isStart ? runningWithoutRecord(store, word) : [];
  const [found, another] = [...rows.map(toContainer), ...unrecorded];
  if (found !== undefined && another === undefined) return found;
  const why = another === undefined ? "there is none" : "more than one id starts so";
  throw new TareError("not_found", `Cannot find container "${word}": ${why}`);
}

/** All containers that have a record. */
export function allRecords({ db }: Store): StoredContainer[] {
  return db.query<Row, []>(`SELECT ${COLUMNS} FROM containers`).all().map(toContainer);
}

/**
 * Running containers that are removed at their end and have no name: their directory alone tells of them.
 * Those whose id begins so; what ends meanwhile is left out.
 */
export function runningWithoutRecord(store: Store, start = ""): StoredContainer[] {
  const isRecorded = store.db.query<object, [string]>("SELECT 1 FROM containers WHERE id = ?");
  return readdirSync(`${store.root}/containers`).flatMap((id) => {
    if (!id.startsWith(start) || isRecorded.get(id) !== null) return [];
    const owner = readOwner(store, id);
    return owner === undefined || !isAlive(owner.owner) ? [] : ofDirectory(store, id, owner);
  });
}

function ofDirectory(store: Store, id: string, file: OwnerFile): StoredContainer[] {
  const { image, owner, runtime } = file;
  const path = containerPath(store, id);
  try {
    const { root, process } = JSON.parse(readFileSync(`${path}/config.json`, "utf8")) as {
      readonly root?: { readonly path?: string };
      readonly process?: { readonly args?: readonly string[] };
    };
    const place = root?.path?.startsWith("/") === true ? root.path : "@host";
    const imageName = image === undefined ? place : nameOf(store, image);
    const created = statSync(`${path}/owner.json`).mtime.toISOString();
    const said = { imageName, command: process?.args ?? [], created };
    return [{ ...said, id, image, owner, runtime, name: undefined, exitCode: undefined }];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw new TareError("corrupt", `Cannot read container "${id}"`, { cause: error });
  }
}

function nameOf(store: Store, image: Digest): string {
  const [name] = namesOf(store, image);
  return name === undefined ? image : formatFamiliar(parseReference(name.name));
}

function toContainer(row: Row): StoredContainer {
  const { id, created, owner, runtime } = row;
  return {
    id,
    created,
    owner,
    runtime,
    name: row.name ?? undefined,
    image: (row.image ?? undefined) as Digest | undefined,
    imageName: row.image_name,
    command: JSON.parse(row.command) as string[],
    exitCode: row.exit_code ?? undefined,
  };
}

/** Whether it has not ended yet. */
export function isRunning(container: StoredContainer): boolean {
  return container.exitCode === undefined && isAlive(container.owner);
}
