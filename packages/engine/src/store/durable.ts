/** Makes what was written survive a power cut, before a row speaks of it. Bun has no call for this. */
import { closeSync, fsyncSync, openSync } from "node:fs";
import { TareError } from "@tare/spec/error.ts";

/** syncfs(2): writes back the whole file system that holds `path`. */
export async function syncFileSystem(path: string): Promise<void> {
  const { dlopen, FFIType } = await import("bun:ffi");
  const { symbols } = dlopen("libc.so.6", {
    syncfs: { args: [FFIType.int], returns: FFIType.int },
  });
  const fd = openSync(path, "r");
  try {
    if (symbols.syncfs(fd) !== 0) throw new TareError("system", `Cannot sync "${path}"`);
  } finally {
    closeSync(fd);
  }
}

/** fsync(2) of a directory: names that were given in it. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
