/** What files take on disk, counted as du(1) does: blocks, directories too, a file of many names once. */
import { type BigIntStats, lstatSync, readdirSync } from "node:fs";

export type Usage = {
  /** Allocated bytes. */
  readonly bytes: number;
  readonly files: number;
};

const BLOCK_BYTES = 512;

/** A count over several trees; a file that two of them hold counts for the first. */
export class UsageCount {
  readonly #seen = new Set<string>();
  bytes = 0;
  files = 0;
  /** Of regular files, holes too: what reading them gives. */
  contentBytes = 0;

  /** Adds a file, or a directory and all that is in it; what goes away meanwhile does not count. */
  add(path: string): void {
    const stack: (string | Buffer)[] = [path];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      if (!this.#count(next)) continue;
      for (const name of namesIn(next)) stack.push(join(next, name));
    }
  }

  /** Whether it is a directory to look into. */
  #count(path: string | Buffer): boolean {
    const stat = lstat(path);
    if (stat === undefined) return false;
    const isDirectory = stat.isDirectory();
    if (!isDirectory && stat.nlink > 1n) {
      const key = `${stat.dev}:${stat.ino}`;
      if (this.#seen.has(key)) return false;
      this.#seen.add(key);
    }
    this.bytes += Number(stat.blocks) * BLOCK_BYTES;
    if (stat.isFile()) this.contentBytes += Number(stat.size);
    this.files++;
    return isDirectory;
  }
}

/** What one file or tree takes. */
export function diskUsage(path: string): Usage {
  const count = new UsageCount();
  count.add(path);
  return { bytes: count.bytes, files: count.files };
}

function lstat(path: string | Buffer): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}

/** Names are bytes: one that is no UTF-8 would be another name as text. */
function namesIn(path: string | Buffer): Buffer[] {
  try {
    return readdirSync(path, { encoding: "buffer" });
  } catch {
    return [];
  }
}

const SLASH = Buffer.from("/");

function join(path: string | Buffer, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(path), SLASH, name]);
}
