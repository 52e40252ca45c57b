/** The system calls that Bun has no words for, by the C library. */
import { TareError } from "@tare/spec/error.ts";

const AT_FDCWD = -100;
const AT_SYMLINK_FOLLOW = 0x400;
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

/**
 * linkat(2): gives the open file a name, which must be new; one that O_TMPFILE made has none until then.
 * @throws TareError `system`
 */
export async function linkOpenFile(fd: number, path: string): Promise<void> {
  const { dlopen, FFIType, ptr } = await import("bun:ffi");
  const { i32, ptr: text } = FFIType;
  const { symbols } = dlopen("libc.so.6", {
    linkat: { args: [i32, text, i32, text, i32], returns: i32 },
  });
  const from = Buffer.from(`/proc/self/fd/${fd}\0`);
  const to = Buffer.from(`${path}\0`);
  const done = symbols.linkat(AT_FDCWD, ptr(from), AT_FDCWD, ptr(to), AT_SYMLINK_FOLLOW);
  if (done !== 0)
    throw new TareError("system", `Cannot write "${path}": no name can be given to it`);
}
