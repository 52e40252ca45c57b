import { describe, expect, test } from "bun:test";
import {
  concatBytes,
  decodeLatin1,
  decodeUtf8,
  decodeUtf8Lossy,
  encodeUtf8,
  equalBytes,
} from "./bytes.ts";
import { TareError } from "./error.ts";

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex === "" ? [] : hex.split(" ").map((byte) => Number.parseInt(byte, 16)));
}

const pairs: [text: string, hex: string][] = [
  ["", ""],
  ["a", "61"],
  ["\0\x7f", "00 7f"],
  ["\x80\u07ff", "c2 80 df bf"],
  ["\u0800\ud7ff\ue000\uffff", "e0 a0 80 ed 9f bf ee 80 80 ef bf bf"],
  ["\u{10000}\u{10ffff}", "f0 90 80 80 f4 8f bf bf"],
  ["aé€😀z", "61 c3 a9 e2 82 ac f0 9f 98 80 7a"],
  ["\ufeff", "ef bb bf"],
];

test.each(pairs)("%j is %s", (text, hex) => {
  expect(decodeUtf8(bytesOf(hex), "x")).toBe(text);
  expect(decodeUtf8Lossy(bytesOf(hex))).toBe(text);
  expect([...encodeUtf8(text)]).toEqual([...bytesOf(hex)]);
});

const faults: [name: string, hex: string, offset: number, shown: string][] = [
  ["a lone continuation", "61 80", 1, "a\ufffd"],
  ["two of them", "80 80", 0, "\ufffd\ufffd"],
  ["ff", "ff 61", 0, "\ufffda"],
  ["an overlong slash", "c0 af", 0, "\ufffd\ufffd"],
  ["an overlong NUL of three", "e0 80 80", 0, "\ufffd\ufffd\ufffd"],
  ["an overlong of four", "f0 8f bf bf", 0, "\ufffd\ufffd\ufffd\ufffd"],
  ["a surrogate", "ed a0 80", 0, "\ufffd\ufffd\ufffd"],
  ["above U+10FFFF", "f4 90 80 80", 0, "\ufffd\ufffd\ufffd\ufffd"],
  ["a cut character", "61 e2 82", 1, "a\ufffd"],
  ["a cut character before another", "e2 82 61", 0, "\ufffda"],
  ["a cut character of four", "f0 9f 98", 0, "\ufffd"],
  ["Latin-1", "61 62 63 64 65 66 67 68 e9 20", 8, "abcdefgh\ufffd "],
];

test.each(faults)("%s is refused at its offset", (_name, hex, offset, shown) => {
  const message = `Cannot read x: not UTF-8 at byte ${offset}`;
  expect(() => decodeUtf8(bytesOf(hex), "x")).toThrow(message);
  expect(decodeUtf8Lossy(bytesOf(hex))).toBe(shown);
});

describe("long texts", () => {
  const ascii = "0123456789abcdef".repeat(1000);
  test.each([0, 1, 2, 3, 5])("pass whole from any alignment: %d", (offset) => {
    const buffer = new Uint8Array(ascii.length + offset + 3);
    buffer.set(encodeUtf8(ascii), offset);
    const bytes = buffer.subarray(offset, offset + ascii.length - offset);
    expect(decodeUtf8(bytes, "x")).toBe(ascii.slice(0, ascii.length - offset));
  });

  test("with characters of four bytes over the border of a chunk", () => {
    const text = `${ascii}${"😀é".repeat(5000)}z`;
    expect(decodeUtf8(encodeUtf8(text), "x")).toBe(text);
  });

  test("show a fault in any byte of a word", () => {
    for (let at = 0; at < 70; at++) {
      const bytes = encodeUtf8(ascii.slice(0, 70));
      bytes[at] = 0xff;
      expect(() => decodeUtf8(bytes, "x")).toThrow(`at byte ${at}`);
    }
  });
});

test("a lone surrogate has no bytes", () => {
  for (const text of ["\ud800", "a\udc00", "\ud83dx", "é\ud83d"]) {
    expect(() => encodeUtf8(text)).toThrow(TareError);
  }
});

test("decodeLatin1 keeps every byte", () => {
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  const text = decodeLatin1(all);
  expect(text).toHaveLength(256);
  expect([...text].every((character, byte) => character.charCodeAt(0) === byte)).toBe(true);
});

test("concatBytes and equalBytes", () => {
  const whole = concatBytes([bytesOf("01 02"), bytesOf(""), bytesOf("03")]);
  expect([...whole]).toEqual([1, 2, 3]);
  expect(equalBytes(whole, bytesOf("01 02 03"))).toBe(true);
  expect(equalBytes(whole, bytesOf("01 02 04"))).toBe(false);
  expect(equalBytes(whole, bytesOf("01 02"))).toBe(false);
  expect(concatBytes([])).toHaveLength(0);
});
