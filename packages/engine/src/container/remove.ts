/** Removes containers that have ended. */
import { TareError } from "@tare/spec/error.ts";
import type { Engine } from "../engine.ts";
import { isIdStart } from "../image/digest.ts";
import { isAlive } from "../store/owner.ts";
import { deleteContainer } from "./records.ts";

type Row = { readonly id: string; readonly owner: string; readonly exit_code: number | null };

const ID_LENGTH_MIN = 2;

/**
 * Removes a container by its name, its id or the unique start of its id.
 * @throws TareError `not_found`; `bad_state` while it runs.
 */
export function removeContainer(engine: Engine, word: string): void {
  const row = findContainer(engine, word);
  if (row.exit_code === null && isAlive(row.owner)) {
    throw new TareError("bad_state", `Cannot remove container "${word}": it runs`);
  }
  deleteContainer(engine.store, row.id);
}

function findContainer(engine: Engine, word: string): Row {
  const columns = "id, owner, exit_code";
  const { db } = engine.store;
  const named = db
    .query<Row, [string]>(`SELECT ${columns} FROM containers WHERE name = ?`)
    .get(word);
  if (named !== null) return named;
  const isStart = word.length >= ID_LENGTH_MIN && isIdStart(word);
  const rows = isStart
    ? db
        .query<Row, [string]>(`SELECT ${columns} FROM containers WHERE id GLOB ? LIMIT 2`)
        .all(`${word}*`)
    : [];
  const [row, another] = rows;
  if (row !== undefined && another === undefined) return row;
  const why = another === undefined ? "there is none" : "more than one id starts so";
  throw new TareError("not_found", `Cannot find container "${word}": ${why}`);
}
