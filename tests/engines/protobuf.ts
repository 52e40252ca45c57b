/**
 * protobuf's wire format, as much of it as calls of the Container Runtime Interface need: numbers
 * (varint) and what has a length. Source: protobuf.dev, "Encoding".
 */

/** Values by field number; an array is a repeated field, an object a message. */
export type Fields = { readonly [field: number]: Value };
type Value = string | number | readonly string[] | Fields;

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

export function encodeMessage(fields: Fields): Uint8Array {
  const bytes: number[] = [];
  for (const [field, value] of Object.entries(fields)) {
    const values: readonly Value[] = Array.isArray(value) ? value : [value];
    for (const each of values) encodeField(bytes, Number(field), each);
  }
  return Uint8Array.from(bytes);
}

function encodeField(bytes: number[], field: number, value: Value): void {
  if (typeof value === "number") {
    encodeNumber(bytes, BigInt(field * 8 + VARINT));
    return encodeNumber(bytes, BigInt.asUintN(64, BigInt(value)));
  }
  const inner =
    typeof value === "string" ? new TextEncoder().encode(value) : encodeMessage(value as Fields);
  encodeNumber(bytes, BigInt(field * 8 + LENGTH));
  encodeNumber(bytes, BigInt(inner.length));
  bytes.push(...inner);
}

function encodeNumber(bytes: number[], value: bigint): void {
  let rest = value;
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
}

/** A message that was read; a field that is absent has its type's zero, as protobuf has it. */
export class Message {
  readonly #fields: ReadonlyMap<number, readonly (bigint | Uint8Array)[]>;

  constructor(fields: ReadonlyMap<number, readonly (bigint | Uint8Array)[]>) {
    this.#fields = fields;
  }

  /** int32, int64, uint64, bool or an enumeration, below 2^53. */
  number(field: number): number {
    const value = this.#fields.get(field)?.at(-1);
    return typeof value === "bigint" ? Number(BigInt.asIntN(64, value)) : 0;
  }

  text(field: number): string {
    const value = this.#fields.get(field)?.at(-1);
    return typeof value === "object" ? new TextDecoder().decode(value) : "";
  }

  message(field: number): Message {
    return this.messages(field).at(-1) ?? new Message(new Map());
  }

  /** A repeated field; a map is one of messages with a key (1) and a value (2). */
  messages(field: number): readonly Message[] {
    const values = this.#fields.get(field) ?? [];
    return values.flatMap((value) => (typeof value === "object" ? [decodeMessage(value)] : []));
  }
}

/** Throws where the bytes are no message. */
export function decodeMessage(bytes: Uint8Array): Message {
  const fields = new Map<number, (bigint | Uint8Array)[]>();
  let at = 0;
  const readNumber = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 64n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new Error("Cannot read a message: a number does not end");
  };
  const readBytes = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw new Error("Cannot read a message: it is cut off");
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(readNumber());
    const values = fields.get(tag >> 3) ?? [];
    fields.set(tag >> 3, values);
    const type = tag & 7;
    if (type === VARINT) values.push(readNumber());
    else if (type === LENGTH) values.push(readBytes(Number(readNumber())));
    else if (type === FIXED64) readBytes(8);
    else if (type === FIXED32) readBytes(4);
    else throw new Error(`Cannot read a message: there is no type ${type}`);
  }
  return new Message(fields);
}
