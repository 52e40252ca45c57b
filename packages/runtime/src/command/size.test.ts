import { describe, expect, test } from "bun:test";
import { parseSize, parseWhole } from "./size.ts";

// The values of go-units' own table, and those that it refuses.
test.each([
  ["32", 32n],
  ["32b", 32n],
  ["32B", 32n],
  ["32k", 32n << 10n],
  ["32K", 32n << 10n],
  ["32kb", 32n << 10n],
  ["32Kib", 32n << 10n],
  ["32KIB", 32n << 10n],
  ["32 kb", 32n << 10n],
  ["32Mb", 32n << 20n],
  ["32MiB", 32n << 20n],
  ["32Gb", 32n << 30n],
  ["32Tb", 32n << 40n],
  ["32Pb", 32n << 50n],
  ["32.3kb", 33075n],
  ["1.5G", 1610612736n],
  ["0", 0n],
  ["-1", -1n],
  ["unlimited", -1n],
  ["8191P", 8191n << 50n],
])("%s is %d bytes", (text, bytes) => {
  expect(parseSize(text, "memory")).toBe(bytes);
});

test.each([
  "",
  "hello",
  "-32",
  "-2",
  ".3kB",
  "32.",
  "32m b",
  "32bm",
  "32bb",
  "32x",
  "32ki b",
  "0x20",
  "1e3",
  " 32",
  "32.3.4k",
  "k",
  "9999P",
  "9".repeat(30),
  "9".repeat(100_000),
  "1,5k",
  "５k",
])("%j is no size", (text) => {
  expect(() => parseSize(text, "memory")).toThrow("--memory");
});

describe("whole numbers", () => {
  test.each([
    ["0", 0n],
    ["-1", -1n],
    ["+7", 7n],
    ["9223372036854775807", (1n << 63n) - 1n],
  ])("%s", (text, value) => {
    expect(parseWhole(text, "cpu-quota", -1n)).toBe(value);
  });

  test.each(["", "-", "1.5", "1k", "-2", "9223372036854775808", "9".repeat(99), "0x1", "--1"])(
    "%j is none, or not one that is allowed",
    (text) => {
      expect(() => parseWhole(text, "cpu-quota", -1n)).toThrow("--cpu-quota");
    },
  );
});
