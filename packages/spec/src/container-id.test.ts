import { expect, test } from "bun:test";
import { parseContainerId } from "./container-id.ts";
import { TareError } from "./error.ts";

test.each(["a", "A-Z_0.9+", "-", "a.", "a..b", "+", "0", "a".repeat(1024)])(
  "%s is an id",
  (text) => {
    expect(String(parseContainerId(text))).toBe(text);
  },
);

const bad: [name: string, text: string][] = [
  ["nothing", ""],
  ["this directory", "."],
  ["the parent", ".."],
  ["a hidden name, as our own files have", ".seccomp"],
  ["a path", "a/b"],
  ["a path up", "../a"],
  ["a NUL", "a\0"],
  ["a newline", "a\n"],
  ["a space", "a b"],
  ["a colon", "a:b"],
  ["an at", "a@b"],
  ["a bracket", "a["],
  ["a brace", "a{"],
  ["a backquote", "a`"],
  ["a letter beyond ASCII", "é"],
  ["the Kelvin sign", "\u212a"],
  ["1025 characters", "a".repeat(1025)],
  ["a megabyte", "a".repeat(1_000_000)],
];

test.each(bad)("%s is no id", (_name, text) => {
  expect(() => parseContainerId(text)).toThrow(TareError);
});

test("the message says why", () => {
  const message =
    'Cannot use container ID "a/b": invalid character at 1, want letters, digits and _ . + - only';
  expect(() => parseContainerId("a/b")).toThrow(message);
});
