import { expect, test } from "bun:test";
import { parseDuration } from "./duration.ts";

test.each([
  ["5s", 5_000],
  ["100ms", 100],
  ["1m30s", 90_000],
  ["1.5h", 5_400_000],
  ["1h0.5s", 3_600_500],
  [".5s", 500],
  ["1.s", 1_000],
  ["1us", 1],
  ["2000µs", 2],
  ["999999h", 0x7fffffff],
])("%s is %d ms", (text, ms) => {
  expect(parseDuration(text, "interval")).toBe(ms);
});

test.each([
  "",
  "5",
  "s",
  "-1s",
  "0s",
  "0",
  "1x",
  "1.2.3s",
  ".s",
  "1s ",
  " 1s",
  "1S",
  "5sec",
  "1e3s",
  `${"9".repeat(60)}s`,
])("%j is none", (text) => {
  expect(() => parseDuration(text, "interval")).toThrow("--interval");
});

test("no time at all is told as such", () => {
  expect(() => parseDuration("0s", "interval")).toThrow("must be greater than 0");
});
