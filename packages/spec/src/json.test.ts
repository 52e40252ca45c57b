import { describe, expect, test } from "bun:test";
import { TareError } from "./error.ts";
import { checkJsonStrings, JSON_DEPTH_MAX, JSON_LENGTH_MAX, parseJson, quoteJson } from "./json.ts";
import { readJson, readOptionalInt64 } from "./json-read.ts";

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof TareError && error.code === "bad_input") return error.message;
    throw error;
  }
  return "no error";
}

const exact: [text: string, value: unknown][] = [
  ["9223372036854775807", 2n ** 63n - 1n],
  ["-9223372036854775808", -(2n ** 63n)],
  ["18446744073709551615", 2n ** 64n - 1n],
  ["9007199254740993", 2n ** 53n + 1n],
  ["9007199254740992", 2n ** 53n],
  ["9007199254740991", 2 ** 53 - 1],
  ["-1", -1],
  ["1.5", 1.5],
  ["1e3", 1000],
  ["99999999999999999999", 99999999999999999999n],
  ["999999999999999999999", 1e21],
  ["12345678901234568.5", 12345678901234568],
  ["12345678901234567e2", 1234567890123456800],
];

test.each(exact)("parseJson keeps %s exact", (text, value) => {
  expect(parseJson(text, "x")).toEqual(value);
  expect(parseJson(`[ "a", ${text} ]`, "x")).toEqual(["a", value]);
  expect(parseJson(`{"a":{"b":${text}}}`, "x")).toEqual({ a: { b: value } });
});

describe("parseJson", () => {
  test("leaves digits in strings and keys alone", () => {
    const text = '{"1:18446744073709551615":"a:18446744073709551615,","b":18446744073709551615}';
    const want = { "1:18446744073709551615": "a:18446744073709551615,", b: 2n ** 64n - 1n };
    expect(parseJson(text, "x")).toEqual(want);
  });

  test("makes ordinary properties of hostile keys", () => {
    const text = '{"__proto__":{"polluted":1},"constructor":2,"big":18446744073709551615}';
    const value = parseJson(text, "x") as Record<string, unknown>;
    expect(Object.keys(value)).toEqual(["__proto__", "constructor", "big"]);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect("polluted" in {}).toBe(false);
  });

  test("takes the last of equal keys", () => {
    expect(parseJson('{"a":1,"a":2}', "x")).toEqual({ a: 2 });
  });

  test("lets the deepest allowed nesting through and one more not", () => {
    const nest = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
    expect(Array.isArray(parseJson(nest(JSON_DEPTH_MAX), "x"))).toBe(true);
    const message = "Cannot read x: nested too deeply";
    expect(messageOf(() => parseJson(nest(JSON_DEPTH_MAX + 1), "x"))).toBe(message);
  });

  const hostile: [name: string, text: string, message: RegExp][] = [
    ["200,000 arrays", "[".repeat(200_000), /^Cannot read x: (nested too deeply|not valid JSON)/],
    ["200,000 objects", '{"a":'.repeat(200_000), /^Cannot read x: (nested too|not valid JSON)/],
    ["200,000 closed", `${"[".repeat(200_000)}${"]".repeat(200_000)}`, /nested too deeply$/],
    ["too much", " ".repeat(JSON_LENGTH_MAX + 1), /characters, the limit is 4194304$/],
    ["nothing", "", /not valid JSON/],
    ["a comment", "/* a */ 1", /not valid JSON/],
    ["a trailing comma", "[1,]", /not valid JSON/],
    ["a byte order mark", "\ufeff{}", /not valid JSON/],
    ["single quotes", "{'a':1}", /not valid JSON/],
    ["a raw NUL", '"a\0b"', /not valid JSON/],
    ["a raw newline", '"a\nb"', /not valid JSON/],
    ["a leading zero", "01", /not valid JSON/],
    ["hexadecimal", "0x10", /not valid JSON/],
    ["a plus sign", "+1", /not valid JSON/],
    ["NaN", "NaN", /not valid JSON/],
    ["two values", "{} {}", /not valid JSON/],
    ["a big integer and then a fault", "[18446744073709551615,]", /not valid JSON/],
  ];
  test.each(hostile)("refuses %s", (_name, text, message) => {
    expect(messageOf(() => parseJson(text, "x"))).toMatch(message);
  });

  test("does not turn a million digits into a bigint", () => {
    expect(parseJson(`[${"9".repeat(1_000_000)}]`, "x")).toEqual([Number.POSITIVE_INFINITY]);
  });
});

const strings: [name: string, text: string, message: string][] = [
  ["a NUL in a value", '{"a":["b\\u0000c"]}', 'Cannot read x: a[0]: "b\\u0000c" has a NUL in it'],
  ["a NUL in a key", '{"a\\u0000":1}', 'Cannot read x: "a\\u0000" has a NUL in it'],
  [
    "a lone surrogate",
    '["\\ud800"]',
    'Cannot read x: [0]: "\\ud800" has half a surrogate pair in it',
  ],
  ["a pair of surrogates", '["\\ud83d\\ude00"]', "no error"],
  ["an escaped backslash", '["\\\\u0000"]', "no error"],
  ["other escapes", '["\\u0001\\u003c", null, 1]', "no error"],
];

test.each(strings)("checkJsonStrings sees %s", (_name, text, message) => {
  expect(messageOf(() => checkJsonStrings(text, JSON.parse(text), "x"))).toBe(message);
});

const quoted: [value: unknown, text: string][] = [
  [undefined, "nothing"],
  [null, "null"],
  ["a\n", '"a\\n"'],
  ["a".repeat(61), `"${"a".repeat(60)}"...`],
  [18446744073709551615n, "18446744073709551615"],
  [{}, "an object"],
  [[], "an array"],
  [true, "true"],
];

test.each(quoted)("quoteJson(%p)", (value, text) => {
  expect(quoteJson(value)).toBe(text);
});

test("a key that comes twice is exact or refused, never rounded in silence", () => {
  const text = '{"a":1,"a":9223372036854775807}';
  const read = () => readJson(text, "x", (place) => readOptionalInt64(place, "a"));
  const outcome = attempt(read);
  expect([2n ** 63n - 1n, "bad_input"]).toContain(outcome as bigint);
  expect(attempt(() => parseJson('{"a":"x","a":-0.5}', "x"))).toEqual({ a: -0.5 });
});

function attempt(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    return error instanceof TareError ? error.code : error;
  }
}
