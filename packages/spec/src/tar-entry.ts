/**
 * What the headers of one tar entry say together: the block itself, PAX records and GNU long names
 * before it. Where they disagree PAX wins. Everything is checked here; `tar.ts` only moves along.
 * Sources: pax(1), GNU tar's manual ("Storing Sparse Files").
 */
import { decodeLatin1 } from "./bytes.ts";
import {
  asciiOf,
  corrupt,
  cutAtNul,
  EMPTY,
  parseDecimal,
  readNumber,
  readSigned,
} from "./tar-fields.ts";

export type TarKind = "file" | "hardlink" | "symlink" | "char" | "block" | "directory" | "fifo";

export type TarXattr = { readonly name: Uint8Array; readonly value: Uint8Array };

export type TarEntry = {
  readonly kind: TarKind;
  /** As in the archive: perhaps absolute, with "." or ".." in it. No NUL, not empty. */
  readonly path: Uint8Array;
  /** Target of a symbolic or hard link; empty for others. */
  readonly link: Uint8Array;
  /** Permission bits, setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of the file once written; holes included. */
  readonly size: number;
  /** Seconds since 1970, perhaps negative, and nanoseconds from there. */
  readonly mtime: number;
  readonly mtimeNs: number;
  readonly major: number;
  readonly minor: number;
  readonly xattrs: readonly TarXattr[];
  /** Where the content goes, in order; undefined: from the start to the end. */
  readonly segments: readonly TarSegment[] | undefined;
};

/** A piece of a sparse file that has data. */
export type TarSegment = { readonly offset: number; readonly length: number };

/** The kernel's PATH_MAX, without the NUL. */
const PATH_BYTES_MAX = 4095;
export const SEGMENTS_MAX = 65_536;
const ID_MAX = 2 ** 32 - 2;
const TIME_MAX = 2 ** 40;

/** Attributes that headers before the entry gave to it. */
export type Pending = {
  readonly pax: Map<string, Uint8Array>;
  readonly xattrs: TarXattr[];
  readonly sparsePairs: TarSegment[];
  longPath: Uint8Array | undefined;
  longLink: Uint8Array | undefined;
  /** Of all those headers. */
  bytes: number;
};
export const TYPE_GNU_LONG_NAME = 0x4c; // L
export const TYPE_GNU_LONG_LINK = 0x4b; // K
export const TYPE_GNU_SPARSE = 0x53; // S
export const TYPE_PAX = 0x78; // x
const TYPE_PAX_GLOBAL = 0x67; // g

const KINDS: ReadonlyMap<number, TarKind> = new Map([
  [0x00, "file"],
  [0x30, "file"],
  [0x37, "file"],
  [TYPE_GNU_SPARSE, "file"],
  [0x31, "hardlink"],
  [0x32, "symlink"],
  [0x33, "char"],
  [0x34, "block"],
  [0x35, "directory"],
  [0x36, "fifo"],
]);

type Header = { readonly entry: TarEntry; readonly stored: number };

/** The entry of a header block and the bytes of content that follow it. */
export function readHeader(block: Uint8Array, type: number, pending: Pending): Header {
  const named = KINDS.get(type);
  if (named === undefined) throw corrupt(`an entry has the unknown type ${type}`);
  const path = entryPath(block, pending);
  // Before ustar a directory was a file whose name ends in a slash.
  const kind = type === 0 && path[path.length - 1] === 0x2f ? "directory" : named;
  const stored = kind === "file" ? sizeOf(block, pending) : 0;
  const [mtime, mtimeNs] = timeOf(block, pending);
  const device = kind === "char" || kind === "block";
  const linked = kind === "symlink" || kind === "hardlink";
  const entry: TarEntry = {
    kind,
    path,
    link: linked ? entryLink(block, pending) : EMPTY,
    mode: readNumber(block, 100, 8) & 0o7777,
    uid: idOf(block, 108, pending.pax.get("uid")),
    gid: idOf(block, 116, pending.pax.get("gid")),
    size: stored,
    mtime,
    mtimeNs,
    major: device ? readNumber(block, 329, 8) : 0,
    minor: device ? readNumber(block, 337, 8) : 0,
    xattrs: pending.xattrs,
    segments: undefined,
  };
  return { entry, stored };
}

function entryPath(block: Uint8Array, pending: Pending): Uint8Array {
  const sparseName = pending.pax.get("GNU.sparse.name");
  const path = sparseName ?? pending.pax.get("path") ?? pending.longPath ?? ustarPath(block);
  return checkName(path, "name");
}

function ustarPath(block: Uint8Array): Uint8Array {
  const name = cutAtNul(block.subarray(0, 100));
  const prefix = isPosix(block) ? cutAtNul(block.subarray(345, 500)) : EMPTY;
  if (prefix.length === 0) return name.slice();
  const path = new Uint8Array(prefix.length + 1 + name.length);
  path.set(prefix, 0);
  path[prefix.length] = 0x2f;
  path.set(name, prefix.length + 1);
  return path;
}

/** "ustar\0"; GNU's magic has a space at the end, and other fields in place of the prefix. */
function isPosix(block: Uint8Array): boolean {
  return block[257] === 0x75 && block[261] === 0x72 && block[262] === 0;
}

function entryLink(block: Uint8Array, pending: Pending): Uint8Array {
  const link = pending.pax.get("linkpath") ?? pending.longLink ?? cutAtNul(block.slice(157, 257));
  return checkName(link, "link target");
}

function checkName(name: Uint8Array, what: string): Uint8Array {
  if (name.length === 0) throw corrupt(`an entry has an empty ${what}`);
  if (name.length > PATH_BYTES_MAX) throw corrupt(`an entry has a ${what} of ${name.length} bytes`);
  if (name.includes(0)) throw corrupt(`an entry has a NUL in its ${what}`);
  return name;
}

function sizeOf(block: Uint8Array, pending: Pending): number {
  const pax = pending.pax.get("size");
  return pax === undefined ? readNumber(block, 124, 12) : parseDecimal(asciiOf(pax));
}

function idOf(block: Uint8Array, offset: number, pax: Uint8Array | undefined): number {
  const id = pax === undefined ? readNumber(block, offset, 8) : parseDecimal(asciiOf(pax));
  if (id > ID_MAX) throw corrupt(`an entry has the owner ${id}`);
  return id;
}

function timeOf(block: Uint8Array, pending: Pending): readonly [number, number] {
  const pax = pending.pax.get("mtime");
  const [seconds, ns] =
    pax === undefined ? [readSigned(block, 136, 12), 0] : parseTime(asciiOf(pax));
  if (Math.abs(seconds) > TIME_MAX) throw corrupt(`an entry has the time ${seconds}`);
  return [seconds, ns];
}

/** `-1.25` is 2 seconds before, 750 million nanoseconds on. */
function parseTime(text: string): readonly [number, number] {
  const negative = text.startsWith("-");
  const [whole = "", fraction = ""] = (negative ? text.slice(1) : text).split(".");
  const seconds = parseDecimal(whole);
  const ns = fraction === "" ? 0 : parseDecimal(fraction.slice(0, 9).padEnd(9, "0"));
  if (!negative) return [seconds, ns];
  return ns === 0 ? [-seconds, 0] : [-seconds - 1, 1_000_000_000 - ns];
}

/** Whether a header of that type only says something of the entry after it. */
export function isExtension(type: number): boolean {
  return (
    type === TYPE_PAX ||
    type === TYPE_PAX_GLOBAL ||
    type === TYPE_GNU_LONG_NAME ||
    type === TYPE_GNU_LONG_LINK
  );
}

/** Nothing was said yet. */
export function newPending(): Pending {
  return {
    pax: new Map(),
    xattrs: [],
    sparsePairs: [],
    longPath: undefined,
    longLink: undefined,
    bytes: 0,
  };
}

/** Whether something was said of an entry that is to come. */
export function isWaiting({ pax, xattrs, sparsePairs, longPath, longLink }: Pending): boolean {
  const records = pax.size + xattrs.length + sparsePairs.length;
  return records > 0 || longPath !== undefined || longLink !== undefined;
}

/** What counts for an entry: its own records, then those for all; an empty value takes one away. */
export function mergeGlobal(global: ReadonlyMap<string, Uint8Array>, pending: Pending): Pending {
  for (const [key, value] of global) if (!pending.pax.has(key)) pending.pax.set(key, value);
  for (const [key, value] of pending.pax) if (value.length === 0) pending.pax.delete(key);
  return pending;
}

const XATTR_PREFIX = "SCHILY.xattr.";

/** Records of the form `LENGTH KEY=VALUE\n`; the value may hold any byte, the length rules. */
export function readPax(body: Uint8Array, pending: Pending): void {
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(0x20, at);
    if (space < 0 || space - at > 7) throw corrupt("a PAX record has no length");
    const end = at + parseDecimal(asciiOf(body.subarray(at, space)));
    const equals = body.indexOf(0x3d, space);
    const whole = end <= body.length && body[end - 1] === 0x0a;
    if (!whole || equals < 0 || equals >= end) throw corrupt("a PAX record is malformed");
    const key = body.slice(space + 1, equals);
    keepRecord(key, body.slice(equals + 1, end - 1), pending);
    at = end;
  }
}

function keepRecord(key: Uint8Array, value: Uint8Array, pending: Pending): void {
  const text = decodeLatin1(key);
  if (text.startsWith(XATTR_PREFIX)) {
    const name = key.slice(XATTR_PREFIX.length);
    pending.xattrs.push({ name: checkName(name, "attribute name"), value });
  } else if (text === "GNU.sparse.offset") {
    pending.sparsePairs.push({ offset: parseDecimal(asciiOf(value)), length: -1 });
  } else if (text === "GNU.sparse.numbytes") {
    const open = pending.sparsePairs.pop();
    if (open === undefined) throw corrupt("a sparse file has a length without an offset");
    pending.sparsePairs.push({ offset: open.offset, length: parseDecimal(asciiOf(value)) });
  } else {
    pending.pax.set(text, value);
  }
}

/** PAX 0.0 repeats two records, PAX 0.1 has one list of numbers. */
export function paxSegments(pending: Pending): TarSegment[] | undefined {
  const map = pending.pax.get("GNU.sparse.map");
  if (map !== undefined) return pairUp(asciiOf(map).split(",").map(parseDecimal));
  return pending.sparsePairs.length > 0 ? pending.sparsePairs : undefined;
}

/** The entry with its pieces; the header has the size without the holes. */
export function sparseEntry(
  entry: TarEntry,
  segments: TarSegment[],
  stored: number,
  pending: Pending,
): TarEntry {
  const real = pending.pax.get("GNU.sparse.realsize") ?? pending.pax.get("GNU.sparse.size");
  if (real === undefined) throw corrupt("a sparse file has no size");
  return checkSegments({ ...entry, size: parseDecimal(asciiOf(real)), segments }, stored);
}

/** Ascending, inside the file, and as long together as the content that follows. */
export function checkSegments(entry: TarEntry, stored: number): TarEntry {
  let end = 0;
  let total = 0;
  for (const { offset, length } of entry.segments ?? []) {
    if (offset < end || length < 0) throw corrupt("the pieces of a sparse file overlap");
    end = offset + length;
    total += length;
  }
  if (end > entry.size || total !== stored) {
    throw corrupt("the pieces of a sparse file do not fit its size");
  }
  return entry;
}

/** Up to `count` pairs of the old GNU format; the first empty one ends them. */
export function readOldSegments(block: Uint8Array, offset: number, count: number): TarSegment[] {
  const segments: TarSegment[] = [];
  for (let index = 0; index < count; index++) {
    const at = offset + index * 24;
    if (block[at + 12] === 0) break;
    segments.push({ offset: readNumber(block, at, 12), length: readNumber(block, at + 12, 12) });
  }
  return segments;
}

/** The number of pieces, unless it is absurd. */
export function segmentCount(count: number): number {
  if (count > SEGMENTS_MAX) throw corrupt("a sparse file has too many pieces");
  return count;
}

function pairUp(numbers: readonly number[]): TarSegment[] {
  if (numbers.length % 2 !== 0) throw corrupt("a sparse file has a piece without a length");
  const segments: TarSegment[] = [];
  segmentCount(numbers.length / 2);
  for (let at = 0; at < numbers.length; at += 2) {
    segments.push({ offset: numbers[at] ?? 0, length: numbers[at + 1] ?? 0 });
  }
  return segments;
}
