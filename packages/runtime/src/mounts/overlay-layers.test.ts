import { expect, test } from "bun:test";
import { encodeUtf8 } from "@tare/spec/bytes.ts";
import { scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { setLower, takesAnything } from "./overlay-layers.ts";

const RELEASE_AT = 2 * 65;

/** The options that a kernel of this release is given. */
function options(release: string): unknown[] {
  let next = 8;
  const { sys, calls } = scriptedSys({
    uname: (into: Uint8Array) => {
      into.set(encodeUtf8(release), RELEASE_AT);
      return 0;
    },
    open_tree: () => next++,
  });
  setLower(sys, 5 as Fd, ["/upper", "/lower"]);
  return calls.filter(([name]) => name === "fsconfig").map(([, , , key, value]) => [key, value]);
}

test("layers are told one by one, or together by descriptors", () => {
  expect(options("6.12.1")).toEqual([
    ["lowerdir+", "/upper"],
    ["lowerdir+", "/lower"],
  ]);
  expect(options("6.1.0-40-cloud-amd64")).toEqual([
    ["lowerdir", "/proc/self/fd/8:/proc/self/fd/9"],
  ]);
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
