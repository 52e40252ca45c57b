/**
 * The engine's records: images, their names, layers, containers. A row is written last, when all
 * that it speaks of is in its place; so a row is never about something half there.
 */
import { Database } from "bun:sqlite";
import { TareError } from "@tare/spec/error.ts";
import { MIGRATIONS } from "./migrations.ts";

const BUSY_TIMEOUT_MS = 10_000;

/**
 * Opens or makes the database of the store at `root`. It has a rollback journal, not a write-ahead log: what is done most,
 * one look-up by a process that ends soon, then opens one file and syncs nothing.
 * @throws TareError `unsupported` for one that a newer version of us wrote.
 */
export function openDatabase(root: string): Database {
  const path = `${root}/tare.db`;
  const db = new Database(path, { create: true, strict: true });
  db.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
  db.run("PRAGMA foreign_keys = ON");
  if (versionOf(db) !== MIGRATIONS.length) migrate(db, root);
  return db;
}

function versionOf(db: Database): number {
  return db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
}

function migrate(db: Database, root: string): void {
  db.transaction(() => {
    const version = versionOf(db);
    if (version > MIGRATIONS.length) {
      throw new TareError("unsupported", `Cannot open "${root}/tare.db": a newer tare wrote it`, {
        hint: "Use the newer tare, or another --data-root",
      });
    }
    for (const step of MIGRATIONS.slice(version).flat()) {
      if (typeof step === "string") db.run(step);
      else step(db, root);
    }
    db.run(`PRAGMA user_version = ${MIGRATIONS.length}`);
  }).immediate();
}
