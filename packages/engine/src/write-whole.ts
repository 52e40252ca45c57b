/** Writes all of it: write(2) may take a part only, as on a disk that is nearly full, and say so by its count alone. */
import { writeSync } from "node:fs";

/**
 * Writes all bytes, or a text as UTF-8, where the descriptor stands.
 * @throws what writing fails with (ENOSPC, EPIPE)
 */
export function writeWhole(
  fd: number,
  content: Uint8Array | string,
  write: typeof writeSync = writeSync,
): void {
  const bytes = typeof content === "string" ? Buffer.from(content, "utf8") : content;
  for (let at = 0; at < bytes.length; ) {
    try {
      at += write(fd, bytes, at);
    } catch (error) {
      // The other end of a pipe may have made it one that does not block.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Bun.sleepSync(1);
    }
  }
}
