/**
 * Reads a tar stream: ustar, PAX (POSIX.1-2001), GNU long names, base-256 numbers, GNU and PAX
 * sparse files. One parser for everything that reads archives, so that no two parts of the engine
 * see different entries in the same bytes (CVE-2025-62518): where a PAX record and the ustar header
 * disagree, PAX wins everywhere. Names are bytes, times have nanoseconds, every length has a limit.
 * Sources: pax(1), GNU tar's manual ("Basic Tar Format", "Storing Sparse Files").
 */
import { TareError } from "./error.ts";

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

/** Where the archive comes from. */
export type ByteSource = {
  /** As read(2): how many bytes were put into the buffer, 0 at the end. */
  read(into: Uint8Array): number;
  /** Passes over bytes without reading them, where the source can; past its end is not noticed. */
  skip?(length: number): void;
};

const BLOCK = 512;
const BUFFER_BYTES = 1024 * 1024;
/** A PAX header or a GNU long name. */
const EXTENSION_BYTES_MAX = 1024 * 1024;
/** The kernel's PATH_MAX, without the NUL. */
const PATH_BYTES_MAX = 4095;
const SEGMENTS_MAX = 65_536;
const ENTRIES_MAX = 10_000_000;
const ID_MAX = 2 ** 32 - 2;
const TIME_MAX = 2 ** 40;

const EMPTY = new Uint8Array(0);

/** Attributes that headers before the entry gave to it. */
type Pending = {
  readonly pax: Map<string, Uint8Array>;
  readonly xattrs: TarXattr[];
  readonly sparsePairs: TarSegment[];
  longPath: Uint8Array | undefined;
  longLink: Uint8Array | undefined;
};

export class TarReader {
  readonly #source: ByteSource;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #start = 0;
  #end = 0;
  /** Bytes of the current entry in the stream that were not given out yet, then its padding. */
  #left = 0;
  #padding = 0;
  #entries = 0;
  /** Bytes of the stream that were consumed. */
  #position = 0;
  readonly #global = new Map<string, Uint8Array>();

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Where the content of the current entry goes on in the stream. */
  get position(): number {
    return this.#position;
  }

  /**
   * The next entry, or undefined at the end of the archive; what is left of the last one is skipped.
   * @throws TareError `corrupt`
   */
  next(): TarEntry | undefined {
    this.#skip(this.#left + this.#padding);
    const pending = newPending();
    for (;;) {
      const block = this.#block();
      if (block === undefined || isZero(block)) {
        this.#left = 0;
        this.#padding = 0;
        return undefined;
      }
      checkSum(block);
      const type = block[156] ?? 0;
      if (!isExtension(type)) return this.#entry(block, type, pending);
      this.#extend(type, this.#extensionBody(block), pending);
    }
  }

  /** The next piece of the current entry's content, valid until the next call; undefined at its end. */
  chunk(): Uint8Array | undefined {
    if (this.#left === 0) return undefined;
    if (this.#start === this.#end && !this.#fill()) throw truncated();
    const length = Math.min(this.#left, this.#end - this.#start);
    const piece = this.#buffer.subarray(this.#start, this.#start + length);
    this.#consume(length);
    this.#left -= length;
    return piece;
  }

  /** Reads what follows the archive's end, so that a writer is not cut off. */
  drain(): void {
    this.#start = this.#end;
    while (this.#fill()) this.#start = this.#end;
  }

  #entry(block: Uint8Array, type: number, pending: Pending): TarEntry {
    this.#entries++;
    if (this.#entries > ENTRIES_MAX) throw corrupt(`more than ${ENTRIES_MAX} entries`);
    const header = readHeader(block, type, mergeGlobal(this.#global, pending));
    this.#left = header.stored;
    this.#padding = paddingOf(header.stored);
    const entry = header.entry;
    if (type === TYPE_GNU_SPARSE) return this.#oldSparse(block, entry);
    if (pending.pax.has("GNU.sparse.major")) return this.#newSparse(entry, pending);
    const segments = paxSegments(pending);
    return segments === undefined ? entry : sparseEntry(entry, segments, this.#left, pending);
  }

  /** GNU tar's first format: four places in the header, 21 in each block that follows. */
  #oldSparse(block: Uint8Array, entry: TarEntry): TarEntry {
    const segments = readOldSegments(block, 386, 4);
    let more = block[482] === 1;
    const size = readNumber(block, 483, 12);
    while (more) {
      const next = this.#block();
      if (next === undefined) throw truncated();
      segments.push(...readOldSegments(next, 0, 21));
      if (segments.length > SEGMENTS_MAX) throw corrupt("a sparse file has too many pieces");
      more = next[504] === 1;
    }
    return checkSegments({ ...entry, size, segments }, this.#left);
  }

  /** PAX 1.0: the list is in front of the content, as decimal lines, padded to a block. */
  #newSparse(entry: TarEntry, pending: Pending): TarEntry {
    const lines = new DecimalLines(() => this.#contentBlock());
    const count = segmentCount(lines.next());
    const segments: TarSegment[] = [];
    while (segments.length < count) segments.push({ offset: lines.next(), length: lines.next() });
    return sparseEntry(entry, segments, this.#left, pending);
  }

  #contentBlock(): Uint8Array {
    const block = this.#left < BLOCK ? undefined : this.#block();
    if (block === undefined) throw truncated();
    this.#left -= BLOCK;
    return block;
  }

  #extend(type: number, body: Uint8Array, pending: Pending): void {
    if (type === TYPE_GNU_LONG_NAME) pending.longPath = cutAtNul(body);
    else if (type === TYPE_GNU_LONG_LINK) pending.longLink = cutAtNul(body);
    else if (type === TYPE_PAX) readPax(body, pending);
    else {
      const all = newPending();
      readPax(body, all);
      for (const [key, value] of all.pax) this.#global.set(key, value);
    }
  }

  #extensionBody(block: Uint8Array): Uint8Array {
    const size = readNumber(block, 124, 12);
    if (size > EXTENSION_BYTES_MAX) throw corrupt(`a header of ${size} bytes is too long`);
    const body = new Uint8Array(size);
    this.#left = size;
    let at = 0;
    for (let piece = this.chunk(); piece !== undefined; piece = this.chunk()) {
      body.set(piece, at);
      at += piece.length;
    }
    this.#skip(paddingOf(size));
    return body;
  }

  /** The next 512 bytes, valid until the next call; undefined at a clean end. */
  #block(): Uint8Array | undefined {
    if (this.#end - this.#start < BLOCK && !this.#gather()) return undefined;
    const block = this.#buffer.subarray(this.#start, this.#start + BLOCK);
    this.#consume(BLOCK);
    return block;
  }

  /** Makes a whole block available, moving a rest to the front. */
  #gather(): boolean {
    const rest = this.#end - this.#start;
    this.#buffer.copyWithin(0, this.#start, this.#end);
    this.#start = 0;
    this.#end = rest;
    while (this.#end < BLOCK) {
      const count = this.#source.read(this.#buffer.subarray(this.#end));
      if (count === 0 && this.#end === 0) return false;
      if (count === 0) throw truncated();
      this.#end += count;
    }
    return true;
  }

  #fill(): boolean {
    this.#start = 0;
    this.#end = this.#source.read(this.#buffer);
    return this.#end > 0;
  }

  #consume(length: number): void {
    this.#start += length;
    this.#position += length;
  }

  #skip(length: number): void {
    let left = length;
    if (this.#source.skip !== undefined && left > this.#end - this.#start) {
      const unread = left - (this.#end - this.#start);
      this.#source.skip(unread);
      this.#position += unread;
      left -= unread;
    }
    while (left > 0) {
      if (this.#start === this.#end && !this.#fill()) throw truncated();
      const step = Math.min(left, this.#end - this.#start);
      this.#consume(step);
      left -= step;
    }
    this.#left = 0;
    this.#padding = 0;
  }
}

/** Numbers, a line each, out of blocks. */
class DecimalLines {
  readonly #more: () => Uint8Array;
  #block: Uint8Array = EMPTY;
  #at = 0;

  constructor(more: () => Uint8Array) {
    this.#more = more;
  }

  next(): number {
    let digits = "";
    for (;;) {
      if (this.#at === this.#block.length) {
        this.#block = this.#more();
        this.#at = 0;
      }
      const byte = this.#block[this.#at++] ?? 0;
      if (byte === 0x0a) return parseDecimal(digits);
      digits += String.fromCharCode(byte);
      if (digits.length > 16) throw corrupt("the list of a sparse file has no number");
    }
  }
}

const TYPE_GNU_LONG_NAME = 0x4c; // L
const TYPE_GNU_LONG_LINK = 0x4b; // K
const TYPE_GNU_SPARSE = 0x53; // S
const TYPE_PAX = 0x78; // x
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

function readHeader(block: Uint8Array, type: number, pending: Pending): Header {
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

function isExtension(type: number): boolean {
  return (
    type === TYPE_PAX ||
    type === TYPE_PAX_GLOBAL ||
    type === TYPE_GNU_LONG_NAME ||
    type === TYPE_GNU_LONG_LINK
  );
}

function newPending(): Pending {
  return {
    pax: new Map(),
    xattrs: [],
    sparsePairs: [],
    longPath: undefined,
    longLink: undefined,
  };
}

function mergeGlobal(global: ReadonlyMap<string, Uint8Array>, pending: Pending): Pending {
  for (const [key, value] of global) if (!pending.pax.has(key)) pending.pax.set(key, value);
  for (const [key, value] of pending.pax) if (value.length === 0) pending.pax.delete(key);
  return pending;
}

const XATTR_PREFIX = "SCHILY.xattr.";

/** Records of the form `LENGTH KEY=VALUE\n`; the value may hold any byte, the length rules. */
function readPax(body: Uint8Array, pending: Pending): void {
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
  const text = latin1Of(key);
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
function paxSegments(pending: Pending): TarSegment[] | undefined {
  const map = pending.pax.get("GNU.sparse.map");
  if (map !== undefined) return pairUp(asciiOf(map).split(",").map(parseDecimal));
  return pending.sparsePairs.length > 0 ? pending.sparsePairs : undefined;
}

function sparseEntry(
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
function checkSegments(entry: TarEntry, stored: number): TarEntry {
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

function readOldSegments(block: Uint8Array, offset: number, count: number): TarSegment[] {
  const segments: TarSegment[] = [];
  for (let index = 0; index < count; index++) {
    const at = offset + index * 24;
    if (block[at + 12] === 0) break;
    segments.push({ offset: readNumber(block, at, 12), length: readNumber(block, at + 12, 12) });
  }
  return segments;
}

function segmentCount(count: number): number {
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

/** A number that cannot be negative: octal digits, or base 256 where the top bit is set. */
function readNumber(block: Uint8Array, offset: number, length: number): number {
  const value = readSigned(block, offset, length);
  if (value < 0) throw corrupt("a number is negative");
  return value;
}

function readSigned(block: Uint8Array, offset: number, length: number): number {
  const first = block[offset] ?? 0;
  return first >= 0x80 ? readBinary(block, offset, length) : readOctal(block, offset, length);
}

/** Big-endian two's complement; the top bit of the first byte only marks the form. */
function readBinary(block: Uint8Array, offset: number, length: number): number {
  const first = block[offset] ?? 0;
  let value = first >= 0xc0 ? first - 0x100 : first - 0x80;
  for (let at = offset + 1; at < offset + length; at++) {
    value = value * 256 + (block[at] ?? 0);
    if (!Number.isSafeInteger(value)) throw corrupt("a number has more than 53 bits");
  }
  return value;
}

function readOctal(block: Uint8Array, offset: number, length: number): number {
  let at = offset;
  const end = offset + length;
  while (at < end && block[at] === 0x20) at++;
  let value = 0;
  for (; at < end; at++) {
    const byte = block[at] ?? 0;
    if (byte === 0 || byte === 0x20) break;
    if (byte < 0x30 || byte > 0x37) throw corrupt("a number is not octal");
    value = value * 8 + byte - 0x30;
  }
  return value;
}

function parseDecimal(text: string): number {
  const value = Number(text);
  const digits = text !== "" && text.length <= 16 && [...text].every((c) => c >= "0" && c <= "9");
  if (digits && Number.isSafeInteger(value)) return value;
  throw corrupt(`"${text.slice(0, 20)}" is not a number`);
}

/** A copy of the block that is being summed: as words, four bytes are added at a time. */
const sumWords = new Uint32Array(BLOCK / 4);
const sumBytes = new Uint8Array(sumWords.buffer);

/** The sum of all bytes with the sum's own field as spaces; some old writers summed signed bytes. */
function checkSum(block: Uint8Array): void {
  const stored = readOctal(block, 148, 8);
  sumBytes.set(block);
  sumBytes.fill(0x20, 148, 156);
  const words = sumWords;
  const lanes = 0xff00ff;
  let pairs = 0;
  // Two sums of 16 bits side by side: 256 bytes of 255 each just fit. Four words a turn, since
  // the interpreter's loop costs as much as the work in it.
  for (let at = 0; at < 128; at += 4) {
    const a = words[at] as number;
    const b = words[at + 1] as number;
    const c = words[at + 2] as number;
    const d = words[at + 3] as number;
    pairs += (a & lanes) + ((a >>> 8) & lanes) + (b & lanes) + ((b >>> 8) & lanes);
    pairs += (c & lanes) + ((c >>> 8) & lanes) + (d & lanes) + ((d >>> 8) & lanes);
  }
  const sum = (pairs % 65536) + Math.floor(pairs / 65536);
  if (stored !== sum && stored !== sum - 256 * sumBytes.filter((byte) => byte > 0x7f).length) {
    throw corrupt("a header's check sum is wrong");
  }
}

function isZero(block: Uint8Array): boolean {
  for (const byte of block) if (byte !== 0) return false;
  return true;
}

function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function cutAtNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.slice(0, end);
}

function asciiOf(bytes: Uint8Array): string {
  if (bytes.length > 1024 * 1024) throw corrupt("a number is too long");
  return latin1Of(bytes);
}

function latin1Of(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function truncated(): TareError {
  return corrupt("it ends in the middle of an entry");
}

function corrupt(why: string): TareError {
  return new TareError("corrupt", `Cannot read the archive: ${why}`);
}
