/**
 * D-Bus values to bytes, little-endian. Pure.
 * Source: D-Bus Specification, "Marshaling (Wire Format)".
 */

import { encodeUtf8 } from "@tare/spec/bytes.ts";
import { assert, TareError } from "@tare/spec/error.ts";
import {
  alignmentOf,
  isObjectPath,
  parseSignature,
  parseSingle,
  type Type,
  type Value,
  type Variant,
} from "./signature.ts";

/** Far more than anything that we say; the specification allows 128 MiB. */
const BYTES_MAX = 1024 * 1024;

/**
 * The bytes of a body. Values are ours, so a value that is not of its type is a fault of ours.
 * @throws TareError `bad_input` for a text with a NUL, or for more than a message holds.
 */
export function marshal(signature: string, values: readonly Value[]): Uint8Array {
  const writer = new Writer();
  const types = parseSignature(signature);
  assert(types.length === values.length, `values for "${signature}"`);
  for (const [index, type] of types.entries()) writer.write(type, values[index] as Value);
  return writer.bytes();
}

/** A growing buffer; every place is counted from its beginning. */
export class Writer {
  #buffer = new Uint8Array(512);
  #view = new DataView(this.#buffer.buffer);
  #length = 0;

  bytes(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  /** Zeros up to the next multiple. */
  align(multiple: number): void {
    this.#take((multiple - (this.#length % multiple)) % multiple);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#take(bytes.length);
    this.#buffer.set(bytes, at);
  }

  write(type: Type, value: Value): void {
    this.align(alignmentOf(type));
    switch (type.code) {
      case "a":
        return this.#array(type.of, value);
      case "(":
      case "{":
        return this.#fields(type.fields, value);
      case "v":
        return this.#variant(value as Variant);
      case "s":
      case "o":
      case "g":
        return this.#text(type.code, value);
      case "b":
        assert(typeof value === "boolean", "a D-Bus boolean");
        return this.#uint32(value ? 1 : 0);
      default:
        return this.#number(type.code, value);
    }
  }

  #number(code: string, value: Value): void {
    if (code === "x" || code === "t") {
      assert(typeof value === "bigint", "64 bits of D-Bus are a bigint");
      const isSame = code === "x" ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value);
      assert(isSame === value, `a D-Bus number of 64 bits, ${value}`);
      const at = this.#take(8);
      return this.#view.setBigUint64(at, BigInt.asUintN(64, value), true);
    }
    assert(typeof value === "number", "a D-Bus number");
    if (code === "d") {
      const at = this.#take(8);
      return this.#view.setFloat64(at, value, true);
    }
    const [bits, isSigned] = SIZES[code as keyof typeof SIZES];
    const least = isSigned ? -(2 ** (bits - 1)) : 0;
    const isInside = value >= least && value < least + 2 ** bits;
    assert(Number.isInteger(value) && isInside, `a D-Bus number of ${bits} bits, ${value}`);
    const at = this.#take(bits / 8);
    if (bits === 8) this.#view.setUint8(at, value);
    else if (bits === 16) this.#view.setUint16(at, value & 0xffff, true);
    else this.#view.setUint32(at, value >>> 0, true);
  }

  #uint32(value: number): void {
    const at = this.#take(4);
    this.#view.setUint32(at, value, true);
  }

  #text(code: "s" | "o" | "g", value: Value): void {
    assert(typeof value === "string", "a D-Bus text");
    if (value.includes("\0")) {
      throw new TareError("bad_input", "Cannot send a text over D-Bus: it has a NUL");
    }
    if (code === "o") assert(isObjectPath(value), `a D-Bus object path, "${value}"`);
    if (code === "g") parseSignature(value);
    const bytes = encodeUtf8(value);
    if (code === "g") this.raw(Uint8Array.of(bytes.length));
    else this.#uint32(bytes.length);
    this.raw(bytes);
    this.#take(1);
  }

  #variant(value: Variant): void {
    this.#text("g", value.signature);
    this.write(parseSingle(value.signature), value.value);
  }

  #fields(types: readonly Type[], value: Value): void {
    assert(Array.isArray(value) && value.length === types.length, "the fields of a D-Bus struct");
    for (const [index, type] of types.entries()) this.write(type, value[index] as Value);
  }

  /** The length counts the elements, not the padding before the first. */
  #array(of: Type, value: Value): void {
    const at = this.#take(4);
    this.align(alignmentOf(of));
    const start = this.#length;
    if (of.code === "y") {
      assert(value instanceof Uint8Array, "an array of bytes");
      this.raw(value);
    } else {
      assert(Array.isArray(value), "a D-Bus array");
      for (const element of value) this.write(of, element as Value);
    }
    this.#view.setUint32(at, this.#length - start, true);
  }

  /** Room for some bytes, zero as yet; the answer is their place. The view may be another one then. */
  #take(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > BYTES_MAX) {
      throw new TareError("bad_input", `Cannot send over D-Bus: more than ${BYTES_MAX} bytes`);
    }
    if (this.#length > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length));
      larger.set(this.#buffer);
      this.#buffer = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

const SIZES = {
  y: [8, false],
  n: [16, true],
  q: [16, false],
  i: [32, true],
  u: [32, false],
  h: [32, false],
} as const;
