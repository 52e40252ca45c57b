/** The matchers for QuickJS against those of bun:test: both must judge alike. */

import { describe, expect, test } from "bun:test";
import { expect as ours } from "./matchers.ts";

class Point {
  readonly x: number;
  constructor(x: number) {
    this.x = x;
  }
}

const values: readonly unknown[] = [
  0,
  -0,
  1,
  1n,
  "1",
  Number.NaN,
  null,
  undefined,
  true,
  "",
  [],
  [1],
  {},
  { x: 1 },
  { x: undefined },
  { x: 1, y: [2, { z: 3n }] },
  new Point(1),
  new Uint8Array([1]),
  new Int32Array([1]),
  new Uint8Array([2]),
  new Map([["x", 1]]),
  new Map([["x", 2]]),
  new Set([1]),
  new Set([[1]]),
  new Error("one"),
  new Error("two"),
  /a/,
  /b/,
  new Date(0),
  new Date(1),
  Object.create(null),
];

function passes(action: () => void): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}

describe.each(["toBe", "toEqual", "toStrictEqual"] as const)("%s", (matcher) => {
  test("judges every pair of values as bun:test does", () => {
    const differing: string[] = [];
    for (const [first, left] of values.entries()) {
      for (const [second, right] of values.entries()) {
        const want = passes(() => expect(left)[matcher](right));
        if (passes(() => ours(left)[matcher](right)) !== want) differing.push(`${first} ${second}`);
        if (passes(() => ours(left).not[matcher](right)) === want) differing.push("not");
      }
    }
    expect(differing).toEqual([]);
  });
});

test.each<[string, unknown, unknown[]]>([
  ["toThrow", () => {}, []],
  ["toThrow", () => fail("a b"), []],
  ["toThrow", () => fail("a b"), ["b"]],
  ["toThrow", () => fail("a b"), ["c"]],
  ["toThrow", () => fail("a b"), [/^b/]],
  ["toThrow", () => fail("a b"), [TypeError]],
  ["toThrow", () => fail("a b"), [RangeError]],
  ["toThrow", () => fail("a b"), [new Error("a b")]],
  ["toContain", "abc", ["b"]],
  ["toContain", ["abc"], ["b"]],
  ["toContain", new Set(["b"]), ["b"]],
  ["toMatch", "abc", [/c$/]],
  ["toMatch", "abc", ["bd"]],
  ["toMatchObject", { a: 1, b: 2 }, [{ a: 1 }]],
  ["toMatchObject", { a: 1 }, [{ a: 1, b: 2 }]],
  ["toMatchObject", { a: 1 }, [{ a: 1, b: undefined }]],
  ["toMatchObject", { a: { b: 1, c: 2 } }, [{ a: { b: 1 } }]],
  ["toMatchObject", { a: { b: 1, c: 2 } }, [{ a: { b: 2 } }]],
  ["toMatchObject", [{ a: 1, b: 2 }], [[{ a: 1 }]]],
  ["toMatchObject", [{ a: 1 }, { a: 2 }], [[{ a: 1 }]]],
  ["toMatchObject", { a: [1, 2] }, [{ a: [1] }]],
  ["toMatchObject", { a: new Uint8Array(2) }, [{ a: new Uint8Array(2) }]],
  ["toMatchObject", { a: new Uint8Array(2) }, [{ a: new Uint8Array(3) }]],
  ["toHaveLength", "abc", [3]],
  ["toHaveLength", [1], [0]],
  ["toBeGreaterThan", 1, [1]],
  ["toBeLessThan", 1n, [2n]],
  ["toBeTrue", 1, []],
  ["toBeFalse", false, []],
  ["toBeNull", undefined, []],
  ["toBeUndefined", undefined, []],
  ["toBeInstanceOf", new Point(1), [Point]],
])("%s is judged alike (%#)", (matcher, value, args) => {
  type Judge = Record<string, (...args: unknown[]) => void>;
  const judge = (begun: unknown) => passes(() => (begun as Judge)[matcher]?.(...args));
  expect(judge(ours(value))).toBe(judge(expect(value)));
  expect(judge(ours(value).not)).toBe(judge(expect(value).not));
});

function fail(message: string): never {
  throw new TypeError(message);
}
