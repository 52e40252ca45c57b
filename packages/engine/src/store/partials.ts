/**
 * Beginnings of blobs whose download was cut off, under the digests that the whole ones will have, so that a
 * later command goes on from there. Nothing of them is believed: the whole is hashed when it is there.
 * They go after a day, with a prune, and where the room is needed.
 */
import { mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, statSync } from "node:fs";
import { type Digest, digestHex } from "@tare/spec/digest.ts";
import type { Store } from "./store.ts";

/** Below `tmp`. */
export const PARTIAL_ROOM = "partial";
/** Less is fetched again as fast. */
const BYTES_MIN = 1024 * 1024;
const AGE_MS = 24 * 3600 * 1000;

/** Keeps a file as the beginning of the blob, unless it is small or a longer one is there. Fails in silence: it is only an aid. */
export function keepPartial(store: Store, digest: Digest, path: string): void {
  try {
    const size = sizeOf(path);
    const place = placeOf(store, digest);
    if (size < BYTES_MIN || sizeOf(place) >= size) return;
    mkdirSync(roomOf(store), { recursive: true, mode: 0o700 });
    renameSync(path, place);
  } catch {
    // A full disk, or another command that sweeps at the same time.
  }
}

/** Moves the beginning of a blob to `to`, so that one command alone goes on with it; answers its bytes, 0 for none. */
export function claimPartial(store: Store, digest: Digest, to: string): number {
  try {
    renameSync(placeOf(store, digest), to);
  } catch {
    return 0;
  }
  dropRoom(store);
  return sizeOf(to);
}

/** Takes away those that nobody has come for. */
export function sweepPartials(store: Store, nowMs = Date.now()): void {
  for (const name of names(store)) {
    const path = `${roomOf(store)}/${name}`;
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat !== undefined && nowMs - stat.mtimeMs > AGE_MS) rmSync(path, { force: true });
  }
  dropRoom(store);
}

/** Takes all away; answers their bytes. */
export function dropPartials(store: Store): number {
  let bytes = 0;
  for (const name of names(store)) {
    const path = `${roomOf(store)}/${name}`;
    bytes += sizeOf(path);
    rmSync(path, { force: true });
  }
  dropRoom(store);
  return bytes;
}

function names(store: Store): string[] {
  try {
    return readdirSync(roomOf(store)).filter((name) => /^[0-9a-f]{64}$/.test(name));
  } catch {
    return [];
  }
}

function dropRoom(store: Store): void {
  try {
    rmdirSync(roomOf(store));
  } catch {
    // Not there, or not empty.
  }
}

function roomOf(store: Store): string {
  return `${store.root}/tmp/${PARTIAL_ROOM}`;
}

function placeOf(store: Store, digest: Digest): string {
  return `${roomOf(store)}/${digestHex(digest)}`;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
