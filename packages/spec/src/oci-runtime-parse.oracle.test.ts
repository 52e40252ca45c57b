/** Real configurations are read whole, and no mutation of one ends in anything but a TareError. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { TareError } from "./error.ts";
import { parseConfig } from "./oci-runtime-parse.ts";
import { parseProcess } from "./oci-runtime-parse-process.ts";

const FOLDER = join(import.meta.dir, "../samples");
const samples = readdirSync(FOLDER).map((name) => ({
  name,
  text: readFileSync(join(FOLDER, name), "utf8"),
}));
const full = samples.find(({ name }) => name === "full-config.json")?.text ?? "";

/** What a reader must keep, compared as JSON: maps as objects, wide integers as their digits. */
function printed(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, inner) => {
      if (typeof inner === "bigint") return `${inner}`;
      return inner instanceof Map ? Object.fromEntries(inner) : inner;
    }),
  );
}

/** Whether everything in the document stands in what was read, numbers and digits being equal. */
function missing(document: unknown, read: unknown, path: string): string[] {
  if (typeof document !== "object" || document === null) {
    return String(document) === String(read) ? [] : [`${path}: ${document} became ${read}`];
  }
  return Object.entries(document).flatMap(([key, inner]) =>
    missing(inner, (read as Record<string, unknown> | undefined)?.[key], `${path}.${key}`),
  );
}

describe.each(samples)("$name", ({ text }) => {
  test("is read whole", () => {
    // Digits as text: JavaScript's own parser would round them.
    const document = JSON.parse(text.replace(/(?<=[:[]\s*)\d{16,}/g, '"$&"'));
    expect(missing(document, printed(parseConfig(text)), "")).toEqual([]);
  });
});

describe("runc spec", () => {
  const runc = Bun.which("runc");
  if (runc === null) console.warn("skipped: runc is not installed");

  test.skipIf(runc === null).each([[[]], [["--rootless"]]])("%j is read whole", (flags) => {
    const bundle = mkdtempSync(join(tmpdir(), "tare-spec-"));
    try {
      const run = Bun.spawnSync([runc ?? "", "spec", "--bundle", bundle, ...flags]);
      expect(run.stderr.toString()).toBe("");
      const text = readFileSync(join(bundle, "config.json"), "utf8");
      const document = JSON.parse(text);
      const config = parseConfig(text);
      expect(missing(document, printed(config), "")).toEqual([]);
      const process = parseProcess(JSON.stringify(document.process));
      expect(process).toEqual(config.process as typeof process);
    } finally {
      rmSync(bundle, { recursive: true });
    }
  });
});

/** Undefined where the text was taken; throws what is not ours. */
function refusal(text: string): TareError | undefined {
  try {
    parseConfig(text);
    return undefined;
  } catch (error) {
    if (error instanceof TareError && error.code === "bad_input") return error;
    throw error;
  }
}

function containersOf(value: unknown): object[] {
  if (typeof value !== "object" || value === null) return [];
  return [value, ...Object.values(value).flatMap(containersOf)];
}

describe("mutations", () => {
  const foreign = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(-1, 0.5, 1e300, 2 ** 53, 2 ** 32, 2 ** 31, "", "\0", "\ud800", "..", "/"),
    fc.constantFrom("__proto__", "constructor", [], {}, [null], [[]], null, true),
  );

  test("of a value anywhere", () => {
    // Integers beyond 2^53 would be rounded on the way through JavaScript.
    const plain = full.replace(/\d{16,}/g, "7");
    let taken = 0;
    const runs = 2000;
    fc.assert(
      fc.property(fc.nat(), fc.nat(), foreign, (where, which, value) => {
        const document = JSON.parse(plain);
        const containers = containersOf(document);
        const container = containers[where % containers.length] as Record<string, unknown>;
        const keys = [...Object.keys(container), "__proto__"];
        const key = keys[which % keys.length] as string;
        Object.defineProperty(container, key, { value, enumerable: true, configurable: true });
        if (refusal(JSON.stringify(document)) === undefined) taken++;
      }),
      { numRuns: runs },
    );
    expect(taken).toBeGreaterThan(0);
    expect(taken).toBeLessThan(runs);
  }, 60_000);

  test("of the text", () => {
    const pieces = fc.constantFrom(
      "",
      "[",
      "]",
      "{",
      "}",
      ",",
      ":",
      '"',
      "\\",
      "\\u0000",
      "9",
      "e",
    );
    fc.assert(
      fc.property(fc.nat(full.length), fc.nat(40), pieces, (start, length, piece) => {
        refusal(full.slice(0, start) + piece + full.slice(start + length));
      }),
      { numRuns: 2000 },
    );
  }, 60_000);

  test("that are no configuration at all", () => {
    fc.assert(fc.property(fc.json(), (text) => refusal(text) !== undefined));
    fc.assert(fc.property(fc.string(), (text) => refusal(text) !== undefined));
  });
});
