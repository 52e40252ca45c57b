import { describe, expect, test } from "bun:test";
import { decodeLatin1 } from "@tare/spec/bytes.ts";
import type { TarEntry } from "@tare/spec/tar-entry.ts";
import { joinPath, planEntry, printPath } from "./plan.ts";

const bytes = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));

const ENTRY: TarEntry = {
  kind: "file",
  path: new Uint8Array(0),
  link: new Uint8Array(0),
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: 0,
  mtimeNs: 0,
  major: 0,
  minor: 0,
  xattrs: [],
  segments: undefined,
};

function plan(path: string, change: Partial<TarEntry> = {}) {
  return planEntry({ ...ENTRY, path: bytes(path), ...change });
}

/** Operation and place, as a text. */
function place(path: string, change: Partial<TarEntry> = {}): string {
  const step = plan(path, change);
  if ("at" in step) return `${step.op} ${decodeLatin1(joinPath([...step.at, step.name]))}`;
  return step.op === "opaque" ? `opaque ${decodeLatin1(joinPath(step.directory))}` : step.op;
}

describe("planEntry", () => {
  const places: [path: string, change: Partial<TarEntry>, want: string][] = [
    ["a/b", {}, "file a/b"],
    ["./a//b/.", {}, "file a/b"],
    ["/etc/passwd", {}, "file etc/passwd"],
    ["a/", { kind: "directory" }, "directory a"],
    ["./", { kind: "directory" }, "root"],
    ["/", { kind: "directory" }, "root"],
    ["a/..b", {}, "file a/..b"],
    ["a/...", {}, "file a/..."],
    ["\xff\xfe", {}, "file \xff\xfe"],
    ["l", { kind: "symlink", link: bytes("/../../etc") }, "symlink l"],
    ["h", { kind: "hardlink", link: bytes("/a/b") }, "hardlink h"],
    ["n", { kind: "char", major: 1, minor: 3 }, "node n"],
    ["n", { kind: "block", major: 0, minor: 0 }, "node n"],
    ["n", { kind: "fifo" }, "node n"],
    ["a/.wh.b", {}, "whiteout a/b"],
    [".wh.b", {}, "whiteout b"],
    ["a/.wh...b", {}, "whiteout a/..b"],
    ["a/.wh..wh..opq", {}, "opaque a"],
    [".wh..wh..opq", {}, "opaque ."],
    ["a/.wh..wh.plnk", {}, "nothing"],
    ["a/.wh", {}, "file a/.wh"],
    ["a/wh.b", {}, "file a/wh.b"],
  ];
  test.each(places)("%j %o", (path, change, want) => expect(place(path, change)).toBe(want));

  const refused: [path: string, change: Partial<TarEntry>, why: RegExp][] = [
    ["../x", {}, /"\.\."/],
    ["a/../b", {}, /"\.\."/],
    ["a/..", { kind: "directory" }, /"\.\."/],
    ["/..", {}, /"\.\."/],
    [".", { kind: "symlink", link: bytes("/etc") }, /the root is a directory/],
    ["/", {}, /the root is a directory/],
    [".wh.", {}, /no name/],
    [".wh..", {}, /no name/],
    ["a/.wh...", {}, /no name/],
    [".wh.a/b", {}, /a whiteout is not a directory/],
    ["a/.wh..wh..opq/b", {}, /a whiteout is not a directory/],
    ["n", { kind: "char", major: 0, minor: 0 }, /0:0/],
    ["h", { kind: "hardlink", link: bytes("../x") }, /"\.\."/],
    ["h", { kind: "hardlink", link: bytes("/") }, /hard link to the root/],
    ["h", { kind: "hardlink", link: bytes("a/.wh.b") }, /hard link to a whiteout/],
    ["a".repeat(256), {}, /longer than 255/],
    ["a/".repeat(513), { kind: "directory" }, /deeper than 512/],
  ];
  test.each(refused)("refuses %j %o", (path, change, why) => {
    expect(() => plan(path, change)).toThrow(why);
  });

  test("in a tree that is no layer, nothing is a mark; what leads out is refused all the same", () => {
    const entry = (path: string, change: Partial<TarEntry> = {}) => ({
      ...ENTRY,
      path: bytes(path),
      ...change,
    });
    for (const path of [".wh.a", ".wh.", "a/.wh..wh..opq", ".wh.a/b"]) {
      const step = planEntry(entry(path), "tree");
      expect("at" in step && decodeLatin1(joinPath([...step.at, step.name]))).toBe(path);
      expect(step.op).toBe("file");
    }
    const link = planEntry(entry("h", { kind: "hardlink", link: bytes(".wh.b") }), "tree");
    expect(link.op === "hardlink" && decodeLatin1(joinPath(link.target))).toBe(".wh.b");
    expect(() => planEntry(entry("../x"), "tree")).toThrow(/"\.\."/);
    const up = entry("h", { kind: "hardlink", link: bytes("../x") });
    expect(() => planEntry(up, "tree")).toThrow(/"\.\."/);
    expect(() => planEntry(entry(".", { kind: "symlink" }), "tree")).toThrow(/the root/);
  });

  test("a symbolic link's target is kept byte by byte", () => {
    const step = plan("l", { kind: "symlink", link: bytes("../\xff//./x") });
    expect(step.op === "symlink" && decodeLatin1(step.target)).toBe("../\xff//./x");
  });

  test("a path of a hundred thousand names is refused, not followed", () => {
    expect(() => plan("a/".repeat(100_000))).toThrow(/deeper than 512/);
  });

  test("messages show no control characters", () => {
    expect(printPath(bytes("a\x1b[2J\n\xff"))).toBe("a\\x1b[2J\\x0a\\xff");
  });
});
