/** `container prune`: removes containers that have ended and were kept. */
import type { Engine } from "../engine.ts";
import { type Filter, passes } from "../store/filter.ts";
import { isAlive } from "../store/owner.ts";
import { diskUsage } from "../store/usage.ts";
import { containerPath, deleteContainer } from "./records.ts";

type Row = {
  readonly id: string;
  readonly created: string;
  readonly owner: string;
  readonly exit_code: number | null;
};

/** Containers have no labels yet: a filter that wants one finds none. */
export function pruneContainers(
  engine: Engine,
  filter: Filter,
): { readonly ids: readonly string[]; readonly bytes: number } {
  const { store } = engine;
  const sql = "SELECT id, created, owner, exit_code FROM containers ORDER BY created";
  const ended = store.db
    .query<Row, []>(sql)
    .all()
    .filter((row) => row.exit_code !== null || !isAlive(row.owner))
    .filter(({ created }) => passes(filter, new Map(), created));
  let bytes = 0;
  for (const { id } of ended) {
    bytes += diskUsage(containerPath(store, id)).bytes;
    deleteContainer(store, id);
  }
  return { ids: ended.map(({ id }) => id), bytes };
}
