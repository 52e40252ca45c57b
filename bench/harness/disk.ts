/**
 * A disk for stores alone: ext4, with a journal, in a sparse file of the scratch directory. What other
 * work writes is not synced with ours there; and an ext4 without a journal, which some machines have,
 * would spend seconds in passing over the inodes of the stores that were just emptied.
 */
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../tests/harness/run.ts";

const DISK_BYTES = 24 * 1024 ** 3;
const MAKE_TIMEOUT_MS = 120_000;

export type Disk = {
  readonly dir: string;
  /** Why it is no disk of its own, but a directory of the checkout's. */
  readonly missing?: string;
};

/** Mounts it in this mount namespace; with that it goes. */
export async function openDisk(scratch: string): Promise<Disk> {
  const [image, dir] = [join(scratch, "disk.img"), join(scratch, "disk")];
  mkdirSync(dir);
  writeFileSync(image, "");
  truncateSync(image, DISK_BYTES);
  // Inode tables are made when they are needed, not in the background of what is measured.
  const steps = [
    ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1", image],
    ["mount", "-o", "loop,noinit_itable", image, dir],
  ];
  for (const words of steps) {
    const ran = await run(words, { timeoutMs: MAKE_TIMEOUT_MS });
    if (ran.code === 0) continue;
    return { dir, missing: `a disk of their own for the stores: ${ran.stderr.trim()}` };
  }
  return { dir };
}
