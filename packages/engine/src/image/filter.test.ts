import { expect, test } from "bun:test";
import type { Store } from "../store/store.ts";
import { filterImages, matchesPattern } from "./filter.ts";

test("patterns are those of Go's path.Match", () => {
  for (const [name, pattern, fits] of [
    ["busybox:1", "busybox:*", true],
    ["busybox:1", "busy*", true],
    ["a/b:1", "*", false],
    ["a/b:1", "*/*", true],
    ["a/b/c", "a/*", false],
    ["abc", "a?c", true],
    ["a/c", "a?c", false],
    ["b2", "[a-c][0-9]", true],
    ["d2", "[a-c][0-9]", false],
    ["d2", "[^a-c]2", true],
    ["a*", "a\\*", true],
    ["ab", "a\\*", false],
    ["abcabc", "*bc", true],
    ["ab", "ab[", false],
    ["", "", true],
    ["", "*", true],
    ["a", "", false],
  ] as const) {
    expect([name, pattern, matchesPattern(name, pattern)]).toEqual([name, pattern, fits]);
  }
});

test("a pattern with many stars is read in one pass", () => {
  expect(matchesPattern("a".repeat(5000), `${"a*".repeat(500)}b`)).toBe(false);
});

test("what is no pattern is refused, not taken for one that nothing fits", () => {
  const filter = { labels: [], beforeMs: undefined, dangling: undefined, before: undefined };
  const use = (pattern: string) =>
    filterImages({} as Store, [], { ...filter, since: undefined, references: [pattern] });
  for (const bad of ["[", "a[", "a[b", "[]", "[^]", "a\\"]) {
    expect(() => use(bad)).toThrow(`Cannot use the pattern "${bad}"`);
  }
  for (const good of ["", "*", "[a]", "[^a-z]x", "\\[", "[[]", "a\\\\"]) {
    expect([good, use(good)]).toEqual([good, []]);
  }
});
