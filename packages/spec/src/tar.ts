/**
 * Reads a tar stream: ustar, PAX (POSIX.1-2001), GNU long names, base-256 numbers, GNU and PAX
 * sparse files. One parser for everything that reads archives, so that no two parts of the engine
 * see different entries in the same bytes (CVE-2025-62518): where a PAX record and the ustar header
 * disagree, PAX wins everywhere. Names are bytes, times have nanoseconds, every length has a limit.
 * Sources: pax(1), GNU tar's manual ("Basic Tar Format", "Storing Sparse Files").
 */
import {
  checkSegments,
  isExtension,
  isWaiting,
  mergeGlobal,
  newPending,
  type Pending,
  paxSegments,
  readHeader,
  readOldSegments,
  readPax,
  SEGMENTS_MAX,
  segmentCount,
  sparseEntry,
  type TarEntry,
  type TarSegment,
  TYPE_GNU_LONG_LINK,
  TYPE_GNU_LONG_NAME,
  TYPE_GNU_SPARSE,
  TYPE_PAX,
} from "./tar-entry.ts";
import {
  BLOCK,
  checkSum,
  corrupt,
  cutAtNul,
  EMPTY,
  paddingOf,
  parseDecimal,
  readNumber,
  truncated,
} from "./tar-fields.ts";
/** Where the archive comes from. */
export type ByteSource = {
  /** As read(2): how many bytes were put into the buffer, 0 at the end. */
  read(into: Uint8Array): number;
  /** Passes over bytes without reading them, where the source can; past its end is not noticed. */
  skip?(length: number): void;
};

const BUFFER_BYTES = 1024 * 1024;
/** The PAX headers and GNU long names of an entry together, and those for all entries. */
const EXTENSION_BYTES_MAX = 1024 * 1024;
/** The headers for all entries are looked through for each of them. */
const GLOBAL_BYTES_MAX = 64 * 1024;
const ENTRIES_MAX = 10_000_000;

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
        if (isWaiting(pending)) throw truncated();
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
    pending.bytes += body.length;
    if (pending.bytes > EXTENSION_BYTES_MAX) throw corrupt("an entry has too many headers");
    if (type === TYPE_GNU_LONG_NAME) pending.longPath = cutAtNul(body);
    else if (type === TYPE_GNU_LONG_LINK) pending.longLink = cutAtNul(body);
    else if (type === TYPE_PAX) readPax(body, pending);
    else {
      const all = newPending();
      readPax(body, all);
      for (const [key, value] of all.pax) this.#global.set(key, value);
      let kept = 0;
      for (const [key, value] of this.#global) kept += key.length + value.length;
      if (kept > GLOBAL_BYTES_MAX) throw corrupt("the headers for all entries are too long");
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
function isZero(block: Uint8Array): boolean {
  if (block[0] !== 0) return false;
  for (const byte of block) if (byte !== 0) return false;
  return true;
}
