/**
 * The engine's records: images, their names, layers, containers. A row is written last, when all
 * that it speaks of is in its place; so a row is never about something half there.
 */
import { Database } from "bun:sqlite";
import { TareError } from "@tare/spec/error.ts";

/** Step n takes a database from version n to n + 1. A released step is never edited. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE images (
     id TEXT PRIMARY KEY,
     config TEXT NOT NULL,
     manifest_digest TEXT,
     created TEXT NOT NULL,
     size INTEGER NOT NULL,
     passwd TEXT NOT NULL,
     groups TEXT NOT NULL
   ) STRICT;
   CREATE TABLE image_layers (
     image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
     position INTEGER NOT NULL,
     chain_id TEXT NOT NULL REFERENCES layers (chain_id),
     PRIMARY KEY (image, position)
   ) STRICT;
   CREATE TABLE layers (
     chain_id TEXT PRIMARY KEY,
     diff_id TEXT NOT NULL,
     blob TEXT NOT NULL,
     size INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE names (
     name TEXT PRIMARY KEY,
     image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
   ) STRICT;
   CREATE TABLE containers (
     id TEXT PRIMARY KEY,
     name TEXT UNIQUE,
     image TEXT REFERENCES images (id),
     image_name TEXT NOT NULL,
     command TEXT NOT NULL,
     created TEXT NOT NULL,
     owner TEXT NOT NULL,
     runtime TEXT NOT NULL,
     removes INTEGER NOT NULL,
     exit_code INTEGER
   ) STRICT;
   CREATE INDEX names_by_image ON names (image);
   CREATE INDEX layers_in_images ON image_layers (chain_id);
   CREATE INDEX containers_by_image ON containers (image);`,
];

const BUSY_TIMEOUT_MS = 10_000;

/**
 * Opens or makes the database. It has a rollback journal, not a write-ahead log: what is done most,
 * one look-up by a process that ends soon, then opens one file and syncs nothing.
 * @throws TareError `unsupported` for one that a newer version of us wrote.
 */
export function openDatabase(path: string): Database {
  const db = new Database(path, { create: true, strict: true });
  db.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
  db.run("PRAGMA foreign_keys = ON");
  if (versionOf(db) !== MIGRATIONS.length) migrate(db, path);
  return db;
}

function versionOf(db: Database): number {
  return db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
}

function migrate(db: Database, path: string): void {
  db.transaction(() => {
    const version = versionOf(db);
    if (version > MIGRATIONS.length) {
      throw new TareError("unsupported", `Cannot open "${path}": a newer tare wrote it`, {
        hint: "Use the newer tare, or another --data-root",
      });
    }
    for (const step of MIGRATIONS.slice(version)) db.run(step);
    db.run(`PRAGMA user_version = ${MIGRATIONS.length}`);
  }).immediate();
}
