/** The exact parser against the engine's own, and against values that it printed itself. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseExactly, parseJson } from "./json.ts";

test("parses as the engine does where integers are small", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value);
      const hasLongInteger = /\d{16}/.test(text);
      if (!hasLongInteger) expect(parseJson(text, "x")).toEqual(JSON.parse(text));
    }),
    { numRuns: 1000 },
  );
});

const leaf = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
  fc.string(),
  fc.constantFrom(
    "18446744073709551615",
    "[18446744073709551615,",
    '":18446744073709551615}',
    "\\",
  ),
);
const document = fc.letrec((tie) => ({
  node: fc.oneof({ depthSize: "small" }, leaf, tie("list"), tie("object")),
  list: fc.array(tie("node")),
  object: fc.dictionary(fc.string(), tie("node")),
})).node;

/** JSON with the digits of each bigint, and numbers for those that are safe. */
function print(value: unknown): string {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[ ${value.map(print).join(" ,")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([key, inner]) => `${JSON.stringify(key)}: ${print(inner)}`,
  );
  return `{${members.join(",\n")} }`;
}

/** What the parser should make of a value that was printed. */
function expected(value: unknown): unknown {
  if (typeof value === "bigint") {
    const isSafe = Number.isSafeInteger(Number(value));
    return isSafe ? Number(value) : value;
  }
  if (Array.isArray(value)) return value.map(expected);
  if (typeof value !== "object" || value === null) return value;
  const copy: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(value)) {
    Object.defineProperty(copy, key, {
      value: expected(inner),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return copy;
}

test("gives back every integer of 64 bits that was printed", () => {
  fc.assert(
    fc.property(document, (value) => {
      const text = print(value);
      expect(parseJson(text, "x")).toEqual(expected(value));
      expect(parseExactly(text, "x")).toEqual(expected(value));
    }),
    { numRuns: 2000 },
  );
});
