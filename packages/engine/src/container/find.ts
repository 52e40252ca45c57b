/** Finds containers by what people type: a name, an id, the start of an id. */
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Engine } from "../engine.ts";
import { isIdStart } from "../image/digest.ts";
import { isAlive, type OwnerTag } from "../store/owner.ts";
import type { Store } from "../store/store.ts";

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
  /** Undefined until it has ended. */
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
 * The container of a name, an id or the unique start of an id.
 * @throws TareError `not_found`
 */
export function findContainer(engine: Engine, word: string): StoredContainer {
  const { db } = engine.store;
  const named = db
    .query<Row, [string]>(`SELECT ${COLUMNS} FROM containers WHERE name = ?`)
    .get(word);
  if (named !== null) return toContainer(named);
  const isStart = word.length >= ID_LENGTH_MIN && isIdStart(word);
  const rows = isStart
    ? db
        .query<Row, [string]>(`SELECT ${COLUMNS} FROM containers WHERE id GLOB ? LIMIT 2`)
        .all(`${word}*`)
    : [];
  const [row, another] = rows;
  if (row !== undefined && another === undefined) return toContainer(row);
  const why = another === undefined ? "there is none" : "more than one id starts so";
  throw new TareError("not_found", `Cannot find container "${word}": ${why}`);
}

/** All containers that have a record. */
export function allRecords({ db }: Store): StoredContainer[] {
  return db.query<Row, []>(`SELECT ${COLUMNS} FROM containers`).all().map(toContainer);
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
