/**
 * A file that only takes space: removing things writes a little first (a journal, a directory to move
 * into), and on a full disk that little is not there. So then this file goes, and comes back afterwards.
 */
import { existsSync, rmSync, writeFileSync } from "node:fs";
import type { Store } from "./store.ts";

const RESERVE_BYTES = 1024 * 1024;

/** What full disks and quotas say: of a file, and of the database. */
const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "SQLITE_FULL"]);

/** Path of the file, there or not. */
export function reservePath(root: string): string {
  return `${root}/reserve`;
}

/** Makes the file, if there is space for it. */
export function makeReserve(root: string): void {
  const path = reservePath(root);
  if (existsSync(path)) return;
  try {
    // Not zeros, which some file systems store as nothing.
    writeFileSync(path, new Uint8Array(RESERVE_BYTES).fill(0xa5), { mode: 0o600 });
  } catch {
    rmSync(path, { force: true });
  }
}

/** Does what gives space back; where it fails for want of space, once more without the reserve. */
export function withReserve<T>(store: Store, free: () => T): T {
  try {
    return free();
  } catch (error) {
    const path = reservePath(store.root);
    if (!isFull(error) || !existsSync(path)) throw error;
    rmSync(path, { force: true });
    return free();
  } finally {
    makeReserve(store.root);
  }
}

/** Whether the reason of a failure is that the disk has no space. */
export function isFull(error: unknown): boolean {
  return error instanceof Error && FULL.has((error as NodeJS.ErrnoException).code ?? "");
}
