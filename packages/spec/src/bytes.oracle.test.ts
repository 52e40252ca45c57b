/** The codec in script against the platform's TextEncoder and TextDecoder. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeUtf8, decodeUtf8Lossy, encodeUtf8 } from "./bytes.ts";
import { TareError } from "./error.ts";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lossy = new TextDecoder("utf-8", { ignoreBOM: true });

/** Bytes that are often the start or the middle of a character. */
const byte = fc.oneof(
  fc.nat(255),
  fc.constantFrom(0x80, 0xbf, 0xc0, 0xc2, 0xe0, 0xa0, 0x9f, 0xed, 0xf0, 0x90, 0x8f, 0xf4, 0xf5),
);

function tryDecode(decode: () => string): string | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof TareError || error instanceof TypeError) return undefined;
    throw error;
  }
}

test("any bytes decode as the platform decodes them", () => {
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 64 }), (values) => {
      const bytes = Uint8Array.from(values);
      expect(decodeUtf8Lossy(bytes)).toBe(lossy.decode(bytes));
      const want = tryDecode(() => strict.decode(bytes));
      expect(tryDecode(() => decodeUtf8(bytes, "x"))).toBe(want as string);
    }),
    { numRuns: 20_000 },
  );
}, 60_000);

test("any text encodes as the platform encodes it", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 64 }), (text) => {
      expect(encodeUtf8(text)).toEqual(new TextEncoder().encode(text));
      expect(decodeUtf8(encodeUtf8(text), "x")).toBe(text);
    }),
    { numRuns: 5000 },
  );
}, 60_000);

test("every character of Unicode has its bytes", () => {
  let text = "";
  for (let point = 0; point <= 0x10ffff; point++) {
    if (point === 0xd800) point = 0xe000;
    text += String.fromCodePoint(point);
  }
  const bytes = new TextEncoder().encode(text);
  expect(Buffer.compare(encodeUtf8(text), bytes)).toBe(0);
  expect(decodeUtf8(bytes, "x") === text).toBe(true);
});
