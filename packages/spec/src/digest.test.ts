import { expect, test } from "bun:test";
import {
  digestAlgorithm,
  digestHex,
  isDigest,
  isSha256Hex,
  makeDigest,
  parseDigest,
} from "./digest.ts";
import { TareError } from "./error.ts";

const hex = "0123456789abcdef".repeat(4);

const good: [text: string, algorithm: string, hex: string][] = [
  [`sha256:${hex}`, "sha256", hex],
  [`sha512:${hex}${hex}`, "sha512", hex + hex],
];

test.each(good)("%s", (text, algorithm, digits) => {
  const digest = parseDigest(text);
  expect(String(digest)).toBe(text);
  expect(String(digestAlgorithm(digest))).toBe(algorithm);
  expect(digestHex(digest)).toBe(digits);
});

const bad: [name: string, text: string][] = [
  ["nothing", ""],
  ["no algorithm", hex],
  ["a path", "sha256:../../x"],
  ["a path of the right length", `sha256:../../${"a".repeat(58)}`],
  ["upper-case digits", `sha256:${hex.toUpperCase()}`],
  ["an upper-case name", `SHA256:${hex}`],
  ["63 digits", `sha256:${hex.slice(1)}`],
  ["65 digits", `sha256:${hex}0`],
  ["the wrong length for the algorithm", `sha512:${hex}`],
  ["another algorithm", `md5:${hex}`],
  ["sha384", `sha384:${hex}${hex.slice(32)}`],
  ["a NUL", `sha256:${hex.slice(1)}\0`],
  ["a newline at the end", `sha256:${hex}\n`],
  ["a space in front", ` sha256:${hex.slice(1)}`],
  ["digits of another script", `sha256:${hex.slice(1)}٣`],
  ["a megabyte", `sha256:${"a".repeat(1_000_000)}`],
];

test.each(bad)("%s is no digest", (_name, text) => {
  expect(isDigest(text)).toBe(false);
  expect(() => parseDigest(text)).toThrow(TareError);
});

test("the message quotes what it got, shortened", () => {
  const message =
    'Cannot parse digest "md5:\\n": want sha256:<64 hex digits> or sha512:<128 hex digits>';
  expect(() => parseDigest("md5:\n")).toThrow(message);
});

test("makeDigest takes a computed hash only", () => {
  expect(String(makeDigest("sha256", hex))).toBe(`sha256:${hex}`);
  expect(() => makeDigest("sha512", hex)).toThrow("no sha512 hash");
});

test("isSha256Hex", () => {
  expect(isSha256Hex(hex)).toBe(true);
  expect(isSha256Hex(hex.toUpperCase())).toBe(false);
  expect(isSha256Hex(hex.slice(1))).toBe(false);
});
