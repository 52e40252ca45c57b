import { expect, test } from "bun:test";
import { encodeUtf8 } from "@tare/spec/bytes.ts";
import { scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { setLower, takesAnything } from "./overlay-layers.ts";

const RELEASE_AT = 2 * 65;

/** The options that a kernel of this release is given, and where it looks them up. */
function options(release: string, layers: readonly string[] = ["/upper", "/lower"]): unknown[] {
  let next = 8;
  const { sys, calls } = scriptedSys({
    uname: (into: Uint8Array) => {
      into.set(encodeUtf8(release), RELEASE_AT);
      return 0;
    },
    open_tree: () => next++,
  });
  setLower(sys, 5 as Fd, layers);
  const told = calls.filter(([name]) => name === "fsconfig" || name === "chdir");
  return told.map(([name, ...words]) => (name === "chdir" ? [name, ...words] : words.slice(2, 4)));
}

test("layers are told one by one, or together by descriptors", () => {
  expect(options("6.12.1")).toEqual([
    ["lowerdir+", "/upper"],
    ["lowerdir+", "/lower"],
  ]);
  expect(options("6.1.0-40-cloud-amd64")).toEqual([
    ["chdir", "/proc/self/fd"],
    ["lowerdir", "8:9"],
  ]);
});

test("more than one option can name together are refused before anything is told", () => {
  const layers = (count: number): string[] => Array.from({ length: count }, () => "/layer");
  expect(() => options("6.1.0", layers(86))).not.toThrow();
  expect(() => options("6.1.0", layers(87))).toThrow("87 lower layers");
  expect(options("6.12.1", layers(87))).toHaveLength(87);
});

test.each([
  ["5.14.0-503.el9.x86_64", true],
  ["6.4.16", true],
  ["6.5-rc1", false],
  ["6.18.44", false],
  ["7.0.0", false],
])("%s looks at options late: %p", (release, late) => {
  expect(takesAnything(release)).toBe(late);
});
