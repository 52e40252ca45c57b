/**
 * Writes the headers of a tar stream: ustar, with PAX records where ustar has no room (long names,
 * large ids, nanoseconds, attributes). The same entry gives the same bytes, always, and the reader of
 * `tar.ts` gives the same entry back. Sparse files are written with their zeros: docker and podman
 * keep of a layer what they need to print it again (tar-split), and lose the pieces of sparse ones.
 * Sources: pax(1), GNU tar's manual ("Basic Tar Format").
 */
import { concatBytes, encodeUtf8 } from "./bytes.ts";
import { TareError } from "./error.ts";
import type { TarEntry, TarKind, TarXattr } from "./tar-entry.ts";
import { BLOCK, EMPTY, paddingOf } from "./tar-fields.ts";

/** What stands behind the last entry: two empty blocks. */
export const END_OF_ARCHIVE: Uint8Array = new Uint8Array(2 * BLOCK);

const NAME_BYTES = 100;
const TYPE_PAX = 0x78;
const TYPES: Readonly<Record<TarKind, number>> = {
  file: 0x30,
  hardlink: 0x31,
  symlink: 0x32,
  char: 0x33,
  block: 0x34,
  directory: 0x35,
  fifo: 0x36,
};

/** Largest numbers of octal fields with seven and with eleven digits. */
const OCTAL_7 = 0o7777777;
const OCTAL_11 = 0o77777777777;

/** The name that old readers see in place of the records; Python's tarfile writes the same. */
const PAX_NAME = encodeUtf8("././@PaxHeader");

type PaxRecord = readonly [key: Uint8Array, value: Uint8Array];

/** What can be written of an entry: one whole file. */
export type WritableEntry = Omit<TarEntry, "segments">;

/**
 * All that stands in front of an entry's content; behind the content goes padding (`paddingOf`).
 * @throws TareError `bad_input` for a device number that tar cannot hold.
 */
export function writeHeader(entry: WritableEntry): Uint8Array {
  const records = paxRecords(entry);
  const block = ustarBlock(entry, TYPES[entry.kind], entry.path);
  if (records.length === 0) return block;
  const body = concatBytes(records.map(printRecord));
  const header = ustarBlock({ ...PAX_ENTRY, size: body.length }, TYPE_PAX, PAX_NAME);
  return concatBytes([header, body, new Uint8Array(paddingOf(body.length)), block]);
}

/** A plain file of ours, with the same metadata whoever writes it and whenever. */
export function plainEntry(path: string, size: number): WritableEntry {
  return { ...PAX_ENTRY, path: encodeUtf8(path), size };
}

const PAX_ENTRY: WritableEntry = {
  kind: "file",
  path: PAX_NAME,
  link: EMPTY,
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: 0,
  mtimeNs: 0,
  major: 0,
  minor: 0,
  xattrs: [],
};

function paxRecords(entry: WritableEntry): PaxRecord[] {
  const records: PaxRecord[] = [];
  const add = (key: string, value: string | Uint8Array) =>
    records.push([encodeUtf8(key), typeof value === "string" ? encodeUtf8(value) : value]);
  if (entry.path.length > NAME_BYTES) add("path", entry.path);
  if (entry.link.length > NAME_BYTES) add("linkpath", entry.link);
  if (entry.uid > OCTAL_7) add("uid", `${entry.uid}`);
  if (entry.gid > OCTAL_7) add("gid", `${entry.gid}`);
  if (entry.size > OCTAL_11) add("size", `${entry.size}`);
  if (entry.mtimeNs !== 0 || entry.mtime < 0 || entry.mtime > OCTAL_11) {
    add("mtime", printTime(entry.mtime, entry.mtimeNs));
  }
  for (const { name, value } of sortedXattrs(entry.xattrs)) {
    records.push([concatBytes([XATTR_PREFIX, name]), value]);
  }
  return records;
}

const XATTR_PREFIX = encodeUtf8("SCHILY.xattr.");

/** The kernel's order depends on the file system. */
function sortedXattrs(xattrs: readonly TarXattr[]): readonly TarXattr[] {
  return [...xattrs].sort((a, b) => compareBytes(a.name, b.name));
}

/** The order of two names, byte by byte. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const difference = (a[at] as number) - (b[at] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** `-1.25` where the seconds are -2 and the nanoseconds 750 million. */
function printTime(seconds: number, ns: number): string {
  if (ns === 0) return `${seconds}`;
  const [whole, rest] = seconds < 0 ? [-seconds - 1, 1_000_000_000 - ns] : [seconds, ns];
  const digits = `${rest}`.padStart(9, "0");
  let end = digits.length;
  while (digits[end - 1] === "0") end--;
  return `${seconds < 0 ? "-" : ""}${whole}.${digits.slice(0, end)}`;
}

/** `LENGTH KEY=VALUE\n`, where the length counts its own digits. */
function printRecord([key, value]: PaxRecord): Uint8Array {
  const rest = key.length + value.length + 3;
  let length = rest + `${rest}`.length;
  length = rest + `${length}`.length;
  const parts = [encodeUtf8(`${length} `), key, encodeUtf8("="), value, encodeUtf8("\n")];
  return concatBytes(parts);
}

function ustarBlock(entry: WritableEntry, type: number, name: Uint8Array): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const size = entry.kind === "file" ? entry.size : 0;
  block.set(name.subarray(0, NAME_BYTES), 0);
  putOctal(block, 100, 7, entry.mode);
  putOctal(block, 108, 7, entry.uid > OCTAL_7 ? 0 : entry.uid);
  putOctal(block, 116, 7, entry.gid > OCTAL_7 ? 0 : entry.gid);
  putOctal(block, 124, 11, size > OCTAL_11 ? 0 : size);
  putOctal(block, 136, 11, entry.mtime < 0 || entry.mtime > OCTAL_11 ? 0 : entry.mtime);
  block[156] = type;
  block.set(entry.link.subarray(0, NAME_BYTES), 157);
  block.set(MAGIC, 257);
  if (entry.kind === "char" || entry.kind === "block") {
    putOctal(block, 329, 7, entry.major);
    putOctal(block, 337, 7, entry.minor);
  }
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  putOctal(block, 148, 6, sum);
  block[154] = 0;
  return block;
}

/** "ustar", NUL, version 00. */
const MAGIC = new Uint8Array([0x75, 0x73, 0x74, 0x61, 0x72, 0, 0x30, 0x30]);

function putOctal(block: Uint8Array, offset: number, digits: number, value: number): void {
  const text = value.toString(8).padStart(digits, "0");
  if (text.length > digits) {
    throw new TareError("bad_input", `Cannot write ${value} into the archive: it is too large`);
  }
  for (let at = 0; at < digits; at++) block[offset + at] = text.charCodeAt(at);
}
