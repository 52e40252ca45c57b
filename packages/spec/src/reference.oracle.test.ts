/** The parser of image names against the published grammar as a regular expression, and round trips. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { TareError } from "./error.ts";
import { formatFamiliar, formatReference, parseNamed, type Reference } from "./reference.ts";

/** Grammar of github.com/distribution/reference, with the digests that we know. */
const component = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const host = `(?:${label}(?:\\.${label})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const grammar = new RegExp(
  `^${host}/${component}(?:/${component})*(?::\\w[\\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`,
);

const digest = `@sha256:${"0".repeat(64)}`;
const piece = fc.constantFrom(
  ..."aB09._-:/@[]".split(""),
  "__",
  "a",
  "b.c",
  "localhost",
  "docker.io",
  "index.docker.io",
  "library",
  "::1",
  ":80",
  digest,
);
const text = fc.array(piece, { minLength: 1, maxLength: 9 }).map((pieces) => pieces.join(""));

function tryParse(name: string): Reference | undefined {
  try {
    return parseNamed(name);
  } catch (error) {
    if (error instanceof TareError && error.code === "bad_input") return undefined;
    throw error;
  }
}

test("a name is taken if and only if its complete form fits the grammar", () => {
  let taken = 0;
  fc.assert(
    fc.property(text, (name) => {
      const reference = tryParse(name);
      if (reference !== undefined) {
        taken++;
        expect(formatReference(reference)).toMatch(grammar);
        expect(parseNamed(formatReference(reference))).toEqual(reference);
        expect(parseNamed(formatFamiliar(reference))).toEqual(reference);
      }
      const isComplete = grammar.test(name) && /^[^/]*[.:[A-Z][^/]*\//.test(name);
      if (isComplete) expect(reference === undefined).toBe(false);
    }),
    { numRuns: 20_000 },
  );
  expect(taken).toBeGreaterThan(500);
}, 60_000);

test("any text is a name or a clean error", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (name) => void tryParse(name)));
});
