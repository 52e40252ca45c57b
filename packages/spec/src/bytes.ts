/**
 * UTF-8 in script: QuickJS has no TextEncoder, and names, archives and account files are bytes.
 * Decoding is strict unless its name says otherwise: two names that differ in an invalid byte must
 * never become one string. ASCII, the usual case, is tested by words and converted natively.
 */
import { TareError } from "./error.ts";

/** Arguments of one fromCharCode call: each stands on the engine's stack. */
const CHUNK = 4096;

const REPLACEMENT = 0xfffd;

/** The text of UTF-8 bytes. Throws `bad_input`, naming `what` and the offset, where they are not. */
export function decodeUtf8(bytes: Uint8Array, what: string): string {
  if (isAscii(bytes)) return decodeLatin1(bytes);
  return decodeUnits(bytes, (offset) => {
    throw new TareError("bad_input", `Cannot read ${what}: not UTF-8 at byte ${offset}`);
  });
}

/** The text of bytes for the eyes of a person: what is not UTF-8 is shown as U+FFFD. */
export function decodeUtf8Lossy(bytes: Uint8Array): string {
  if (isAscii(bytes)) return decodeLatin1(bytes);
  return decodeUnits(bytes, () => {});
}

/** The text with one character, U+0000 to U+00FF, for each byte. */
export function decodeLatin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += CHUNK)
    text += fromUnits(bytes.subarray(at, at + CHUNK));
  return text;
}

/** The UTF-8 bytes of a text. Throws `bad_input` for a lone surrogate, which has none. */
export function encodeUtf8(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit > 0x7f) return encodeFrom(text, at, bytes);
    bytes[at] = unit;
  }
  return bytes;
}

/** The bytes of the parts, one after the other. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Whether both hold the same bytes. Stops at the first difference: not for secrets. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let at = 0; at < left.length; at++) if (left[at] !== right[at]) return false;
  return true;
}

/** Eight words a turn: on QuickJS the loop costs more than the reading. */
function isAscii(bytes: Uint8Array): boolean {
  const isAligned = bytes.byteOffset % 4 === 0;
  const { buffer, byteOffset, length } = isAligned ? bytes : bytes.slice();
  const words = new Uint32Array(buffer, byteOffset, length >> 2);
  const word = (at: number) => words[at] as number;
  let bits = 0;
  let at = 0;
  for (const end = words.length - 7; at < end; at += 8) {
    bits |= word(at) | word(at + 1) | word(at + 2) | word(at + 3);
    bits |= word(at + 4) | word(at + 5) | word(at + 6) | word(at + 7);
  }
  for (; at < words.length; at++) bits |= word(at);
  for (let rest = words.length * 4; rest < length; rest++) bits |= bytes[rest] as number;
  return (bits & 0x80808080) === 0;
}

/** `onFault` hears the offset of each invalid sequence; if it returns, U+FFFD stands for it. */
function decodeUnits(bytes: Uint8Array, onFault: (offset: number) => void): string {
  let text = "";
  let units: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    if (length < 0) {
      onFault(at);
      units.push(REPLACEMENT);
    } else pushPoint(units, pointAt(bytes, at, length));
    at += Math.abs(length);
    if (units.length >= CHUNK) {
      text += fromUnits(units);
      units = [];
    }
  }
  return text + fromUnits(units);
}

/**
 * Bytes of the character at `at`; where it is invalid, minus the bytes that one U+FFFD stands for.
 * Source: Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF.
 */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] as number;
  const length = lengthByLead(lead);
  for (let i = 1; i < length; i++) {
    const byte = bytes[at + i] ?? 0;
    if (byte < 0x80 || byte > 0xbf || (i === 1 && !isSecond(lead, byte))) return -i;
  }
  return length;
}

function lengthByLead(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return -1;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** Of a continuation byte: whether the character is neither overlong, a surrogate nor too large. */
function isSecond(lead: number, byte: number): boolean {
  if (lead === 0xe0) return byte >= 0xa0;
  if (lead === 0xed) return byte <= 0x9f;
  if (lead === 0xf0) return byte >= 0x90;
  return lead !== 0xf4 || byte <= 0x8f;
}

function pointAt(bytes: Uint8Array, at: number, length: number): number {
  let point = (bytes[at] as number) & (length === 1 ? 0x7f : 0xff >> (length + 1));
  for (let i = 1; i < length; i++) point = (point << 6) | ((bytes[at + i] as number) & 0x3f);
  return point;
}

function pushPoint(units: number[], point: number): void {
  if (point < 0x10000) units.push(point);
  else units.push(0xd7c0 + (point >> 10), 0xdc00 + (point & 0x3ff));
}

/** From the first character that is not ASCII; `start` bytes of `head` are filled. */
function encodeFrom(text: string, start: number, head: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(start + (text.length - start) * 3);
  bytes.set(head.subarray(0, start));
  let to = start;
  for (let at = start; at < text.length; at++) {
    const point = text.codePointAt(at) as number;
    if (point >= 0xd800 && point <= 0xdfff) {
      throw new TareError("bad_input", `Cannot encode a text: half a surrogate pair at ${at}`);
    }
    if (point > 0xffff) at++;
    to = putPoint(bytes, to, point);
  }
  return bytes.slice(0, to);
}

function putPoint(bytes: Uint8Array, to: number, point: number): number {
  if (point < 0x80) {
    bytes[to] = point;
    return to + 1;
  }
  const more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  bytes[to] = (0xff00 >> (more + 1)) | (point >> (more * 6));
  for (let i = 1; i <= more; i++) bytes[to + i] = 0x80 | ((point >> ((more - i) * 6)) & 0x3f);
  return to + more + 1;
}

function fromUnits(units: Uint8Array | number[]): string {
  return String.fromCharCode.apply(null, units as number[]);
}
