/** The system calls that Bun has no words for, by the C library. */
import { TareError } from "@tare/spec/error.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_POLL_MS = 10;

/**
 * flock(2), exclusively: held until the descriptor is closed.
 * @throws TareError `conflict` where another has held it for all of `patience`, in milliseconds
 */
export async function lockFile(fd: number, path: string, patience = 30_000): Promise<void> {
  const { dlopen, FFIType } = await import("bun:ffi");
  const { i32 } = FFIType;
  const { symbols } = dlopen("libc.so.6", { flock: { args: [i32, i32], returns: i32 } });
  const deadline = performance.now() + patience;
  while (symbols.flock(fd, LOCK_EX | LOCK_NB) !== 0) {
    if (performance.now() > deadline) {
      throw new TareError("conflict", `Cannot lock "${path}": another program holds it`);
    }
    await Bun.sleep(LOCK_POLL_MS);
  }
}
