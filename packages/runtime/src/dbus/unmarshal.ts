/**
 * Bytes to D-Bus values. Pure; the bytes are another process's, so every length, text and padding is
 * checked before it is used. Source: D-Bus Specification, "Marshaling (Wire Format)".
 */

import { decodeUtf8 } from "@tare/spec/bytes.ts";
import { TareError } from "@tare/spec/error.ts";
import {
  alignmentOf,
  isObjectPath,
  parseSignature,
  parseSingle,
  type Type,
  type Value,
} from "./signature.ts";

/** Arrays, structs and variants in each other, all together; from the specification. */
const DEPTH_MAX = 64;

/**
 * The values of a body.
 * @throws TareError `corrupt` where the bytes are not such values, or more than these.
 */
export function unmarshal(signature: string, bytes: Uint8Array): readonly Value[] {
  const reader = new Reader(bytes);
  const values = parseSignature(signature).map((type) => reader.read(type));
  if (reader.rest > 0) throw corrupt(`${reader.rest} bytes are left over`);
  return values;
}

/** Reads on from a place; every place is counted from the beginning. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #depth = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** How many bytes are left. */
  get rest(): number {
    return this.#bytes.length - this.#at;
  }

  align(multiple: number): void {
    const count = (multiple - (this.#at % multiple)) % multiple;
    const at = this.#take(count);
    for (let index = at; index < at + count; index++) {
      if (this.#bytes[index] !== 0) throw corrupt("padding that is not zero");
    }
  }

  read(type: Type): Value {
    if (this.#depth === DEPTH_MAX) throw corrupt("values nested too deep");
    this.#depth++;
    this.align(alignmentOf(type));
    const value = this.#value(type);
    this.#depth--;
    return value;
  }

  #value(type: Type): Value {
    switch (type.code) {
      case "a":
        return this.#array(type.of);
      case "(":
      case "{":
        return type.fields.map((field) => this.read(field));
      case "v": {
        const signature = this.#text("g");
        return { signature, value: this.read(parseSingle(signature)) };
      }
      case "s":
      case "o":
      case "g":
        return this.#text(type.code);
      case "b":
        return this.#boolean();
      default:
        return this.#number(type.code);
    }
  }

  #number(code: "y" | "n" | "q" | "i" | "u" | "x" | "t" | "d" | "h"): number | bigint {
    switch (code) {
      case "y":
        return this.#view.getUint8(this.#take(1));
      case "n":
        return this.#view.getInt16(this.#take(2), true);
      case "q":
        return this.#view.getUint16(this.#take(2), true);
      case "i":
        return this.#view.getInt32(this.#take(4), true);
      case "x":
        return this.#view.getBigInt64(this.#take(8), true);
      case "t":
        return this.#view.getBigUint64(this.#take(8), true);
      case "d":
        return this.#view.getFloat64(this.#take(8), true);
      default:
        return this.#view.getUint32(this.#take(4), true);
    }
  }

  #boolean(): boolean {
    const value = this.#view.getUint32(this.#take(4), true);
    if (value > 1) throw corrupt(`a boolean that is ${value}`);
    return value === 1;
  }

  #text(code: "s" | "o" | "g"): string {
    const length =
      code === "g" ? this.#view.getUint8(this.#take(1)) : this.#view.getUint32(this.#take(4), true);
    const at = this.#take(length);
    const bytes = this.#bytes.subarray(at, at + length);
    if (this.#view.getUint8(this.#take(1)) !== 0) throw corrupt("a text without its end");
    if (bytes.includes(0)) throw corrupt("a text with a NUL in it");
    const text = decodeUtf8(bytes, "a D-Bus text");
    if (code === "o" && !isObjectPath(text)) throw corrupt(`"${text}" for an object's path`);
    if (code === "g") parseSignature(text);
    return text;
  }

  #array(of: Type): Value {
    const length = this.#view.getUint32(this.#take(4), true);
    this.align(alignmentOf(of));
    if (length > this.rest) throw corrupt("an array longer than its message");
    const end = this.#at + length;
    if (of.code === "y") return this.#bytes.slice(this.#take(length), end);
    const values: Value[] = [];
    while (this.#at < end) values.push(this.read(of));
    if (this.#at !== end) throw corrupt("an array that ends within an element");
    return values;
  }

  /** The place of the next bytes, which are there. */
  #take(count: number): number {
    const at = this.#at;
    if (count > this.rest) throw corrupt("a message that ends too early");
    this.#at += count;
    return at;
  }
}

/** The error for what another process must not have sent. */
export function corrupt(what: string): TareError {
  return new TareError("corrupt", `Cannot read a D-Bus message: ${what}`);
}
