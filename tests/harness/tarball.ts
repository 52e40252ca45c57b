/** Tar archives entry by entry, odd ones too: what no archiver would write is a test's to say. */

/** The type flags of pax(1), "ustar Interchange Format". */
export const TYPES = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
} as const;

export type Entry = {
  readonly name: string;
  /** A kind of ours, or any type flag. */
  readonly type?: keyof typeof TYPES | string;
  readonly link?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly major?: number;
  readonly minor?: number;
  readonly data?: string | Uint8Array;
  /** The size that the header says, where it is not that of `data`. */
  readonly size?: number;
  /** Records of a PAX header before the entry. */
  readonly pax?: Readonly<Record<string, string | Uint8Array>>;
};

const BLOCK = 512;

/** The archive with its two blocks of zeros at the end. */
export function tarball(entries: readonly Entry[]): Buffer {
  return Buffer.concat([...entries.flatMap(entryBlocks), Buffer.alloc(2 * BLOCK)]);
}

/** The blocks of one entry. */
export function entryBlocks(entry: Entry): Buffer[] {
  const data = Buffer.from(entry.data ?? "");
  const blocks = [headerBlock(entry, entry.size ?? data.length), padded(data)];
  if (entry.pax === undefined) return blocks;
  const records = Buffer.concat(
    Object.entries(entry.pax).map(([key, value]) => paxRecord(key, value)),
  );
  return [headerBlock({ name: "pax", type: "x" }, records.length), padded(records), ...blocks];
}

/** `LENGTH KEY=VALUE\n`, where the length counts itself. */
export function paxRecord(key: string, value: string | Uint8Array): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
  let length = rest.length;
  while (length !== rest.length + `${length}`.length) length = rest.length + `${length}`.length;
  return Buffer.concat([Buffer.from(`${length}`), rest]);
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK)]);
}

function headerBlock(entry: Entry, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const type = entry.type ?? "file";
  block.write(entry.name, 0, 100, "latin1");
  octal(block, 100, 8, entry.mode ?? (type === "directory" ? 0o755 : 0o644));
  octal(block, 108, 8, entry.uid ?? 0);
  octal(block, 116, 8, entry.gid ?? 0);
  octal(block, 124, 12, size);
  octal(block, 136, 12, entry.mtime ?? 1_000_000_000);
  block.write((TYPES as Record<string, string>)[type] ?? type, 156, 1, "latin1");
  block.write(entry.link ?? "", 157, 100, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  octal(block, 329, 8, entry.major ?? 0);
  octal(block, 337, 8, entry.minor ?? 0);
  return sealed(block);
}

/** The block with the check sum that it should have. */
export function sealed(block: Buffer): Buffer {
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function octal(block: Buffer, at: number, length: number, value: number): void {
  block.write(value.toString(8).padStart(length - 1, "0"), at, length - 1, "latin1");
}
