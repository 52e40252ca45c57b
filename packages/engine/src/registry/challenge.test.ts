import { describe, expect, test } from "bun:test";
import { parseChallenges } from "./challenge.ts";

/** Header, then each challenge as `scheme name=value;name=value`. */
const headers: [header: string, want: string[]][] = [
  ['Bearer realm="https://a/t",service="s"', ["bearer realm=https://a/t;service=s"]],
  ['Basic realm="x y"', ["basic realm=x y"]],
  ['bearer Realm = "r" , scope="a:b:pull c:d:push"', ["bearer realm=r;scope=a:b:pull c:d:push"]],
  ['Bearer realm="r", Basic realm="b"', ["bearer realm=r", "basic realm=b"]],
  ["Negotiate, Bearer realm=r", ["negotiate ", "bearer realm=r"]],
  ['Bearer realm="a\\"b\\\\c"', ['bearer realm=a"b\\c']],
  ['Bearer realm="first",realm="second"', ["bearer realm=first"]],
  ['Bearer realm="no end', ["bearer "]],
  ["Bearer realm=", ["bearer "]],
  ['realm="x"', []],
  [",,, ", []],
  ["", []],
  ['Bearer "x"', ["bearer "]],
];

test.each(headers)("%j", (header, want) => {
  const found = parseChallenges(header).map(
    ({ scheme, params }) => `${scheme} ${[...params].map(([k, v]) => `${k}=${v}`).join(";")}`,
  );
  expect(found).toEqual(want);
});

describe("a hostile header", () => {
  test("has an end, whatever it repeats", () => {
    for (const piece of [",", "a=", 'a="', "Bearer ", 'a="\\', "a ", '"', "=", "a=b,"]) {
      expect(parseChallenges(piece.repeat(1_000_000)).length).toBeLessThanOrEqual(16);
    }
  });

  test("names no property of objects", () => {
    const [challenge] = parseChallenges('Bearer __proto__="x",constructor="y"');
    expect([...(challenge?.params ?? [])]).toEqual([
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
  });
});
