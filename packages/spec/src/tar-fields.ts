/**
 * The fields of a tar header block: numbers in their three notations, names, the check sum.
 * Sources: pax(1), GNU tar's manual ("Basic Tar Format").
 */
import { decodeLatin1 } from "./bytes.ts";
import { TareError } from "./error.ts";

/** Bytes of a block: headers are one, contents are padded to whole ones. */
export const BLOCK = 512;

export const EMPTY = new Uint8Array(0);

/** A number that cannot be negative: octal digits, or base 256 where the top bit is set. */
export function readNumber(block: Uint8Array, offset: number, length: number): number {
  const value = readSigned(block, offset, length);
  if (value < 0) throw corrupt("a number is negative");
  return value;
}

/** As `readNumber`, perhaps below zero: times before 1970. */
export function readSigned(block: Uint8Array, offset: number, length: number): number {
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

/** A number of a PAX record: digits, at most 53 bits. */
export function parseDecimal(text: string): number {
  const value = Number(text);
  const digits = text !== "" && text.length <= 16 && [...text].every((c) => c >= "0" && c <= "9");
  if (digits && Number.isSafeInteger(value)) return value;
  throw corrupt(`"${text.slice(0, 20)}" is not a number`);
}

/** A copy of the block that is being summed: as words, four bytes are added at a time. */
const sumWords = new Uint32Array(BLOCK / 4);
const sumBytes = new Uint8Array(sumWords.buffer);

/** The sum of all bytes with the sum's own field as spaces; some old writers summed signed bytes. */
export function checkSum(block: Uint8Array): void {
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
/** Bytes between content of that size and the next block. */
export function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/** A field up to its first NUL. */
export function cutAtNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.slice(0, end);
}

/** The text of a number or a list of numbers. */
export function asciiOf(bytes: Uint8Array): string {
  if (bytes.length > 1024 * 1024) throw corrupt("a number is too long");
  return decodeLatin1(bytes);
}

/** The archive ends too early. */
export function truncated(): TareError {
  return corrupt("it ends in the middle of an entry");
}

/** The archive is malformed: `why` completes the sentence. */
export function corrupt(why: string): TareError {
  return new TareError("corrupt", `Cannot read the archive: ${why}`);
}
