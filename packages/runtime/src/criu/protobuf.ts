/**
 * The part of protobuf's wire format that criu's service speaks: numbers and byte strings by their
 * field's number. Pure. Source: protobuf.dev, "Encoding".
 */

import { concatBytes, encodeUtf8 } from "@tare/spec/bytes.ts";
import { TareError } from "@tare/spec/error.ts";

/** What a field holds: a number or a truth as a varint, a text or a message as bytes. */
export type Value = number | boolean | string | Uint8Array;
export type Field = readonly [number: number, value: Value];

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const VARINT_BYTES_MAX = 10;

/** A message. Numbers are whole and not negative. */
export function encodeFields(fields: readonly Field[]): Uint8Array {
  return concatBytes(fields.map(encodeField));
}

function encodeField([number, value]: Field): Uint8Array {
  if (typeof value === "number" || typeof value === "boolean") {
    return Uint8Array.from([...varint(number * 8 + VARINT), ...varint(Number(value))]);
  }
  const bytes = typeof value === "string" ? encodeUtf8(value) : value;
  const head = [...varint(number * 8 + LENGTH_DELIMITED), ...varint(bytes.length)];
  return concatBytes([Uint8Array.from(head), bytes]);
}

/** Seven bits a byte, the lowest first. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}

/**
 * The fields of a message; of one that is repeated, the last.
 * @throws TareError `corrupt` where it is cut or has a kind of field that criu's messages have not
 */
export function decodeFields(bytes: Uint8Array): ReadonlyMap<number, number | Uint8Array> {
  const fields = new Map<number, number | Uint8Array>();
  for (let at = 0; at < bytes.length; ) {
    const key = readVarint(bytes, at);
    const value = readVarint(bytes, key.end);
    const [number, kind] = [Math.floor(key.value / 8), key.value % 8];
    at = value.end;
    if (kind === VARINT) {
      fields.set(number, value.value);
    } else if (kind === LENGTH_DELIMITED && value.value >= 0 && value.value <= bytes.length - at) {
      fields.set(number, bytes.subarray(at, at + value.value));
      at += value.value;
    } else {
      throw damaged();
    }
  }
  return fields;
}

/** A number of 64 bits with a sign, which those of criu fit in. */
function readVarint(bytes: Uint8Array, from: number): { value: number; end: number } {
  let value = 0n;
  for (let index = 0; index < VARINT_BYTES_MAX; index++) {
    const byte = bytes[from + index];
    if (byte === undefined) break;
    value |= BigInt(byte & 127) << BigInt(index * 7);
    if (byte < 128) return { value: Number(BigInt.asIntN(64, value)), end: from + index + 1 };
  }
  throw damaged();
}

function damaged(): TareError {
  return new TareError("corrupt", "Cannot read an answer of criu: it is damaged");
}
