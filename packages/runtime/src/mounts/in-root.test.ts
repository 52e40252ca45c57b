import { describe, expect, test } from "bun:test";
import { fillStat, scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { lookup, lookupPlain, openOrCreate } from "./in-root.ts";

const ENOENT = 2;
const EEXIST = 17;
const ENOTDIR = 20;
const ELOOP = 40;
const ROOT = 1000 as Fd;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const [O_CREAT, O_PATH, O_NOFOLLOW] = [0o100, 0o10000000, 0o400000];
const IN_ROOT = 0x10;

type Node = { readonly kind: number; readonly link?: string };

/**
 * A tree by absolute path. A look-up with RESOLVE_IN_ROOT finds only what is there without links
 * (else ENOENT, as for a link that leads nowhere); one without is asked for single names only.
 */
class Tree {
  readonly nodes = new Map<string, Node>([["/", { kind: S_IFDIR }]]);
  readonly made: string[] = [];
  readonly paths = new Map<number, string>([[ROOT, "/"]]);
  readonly host = scriptedSys({
    openat2: (dirfd: number, name: string, flags: number, _mode: number, resolve: number) =>
      this.#open(dirfd, name, flags, resolve),
    mkdirat: (dirfd: number, name: string) => this.#make(dirfd, name, S_IFDIR),
    statx: (fd: number, _path: string, _flags: number, _mask: number, into: Uint8Array) =>
      fillStat(into, { mode: this.nodes.get(this.paths.get(fd) ?? "")?.kind ?? 0 }),
    readlinkat: (fd: number, _path: string, into: Uint8Array) => {
      const link = this.nodes.get(this.paths.get(fd) ?? "")?.link ?? "";
      into.set([...link].map((letter) => letter.charCodeAt(0)));
      return link.length;
    },
  });

  constructor(nodes: { readonly [path: string]: string }) {
    for (const [path, what] of Object.entries(nodes)) {
      const kind = what === "dir" ? S_IFDIR : what === "file" ? S_IFREG : S_IFLNK;
      this.nodes.set(path, kind === S_IFLNK ? { kind, link: what } : { kind });
    }
  }

  #open(dirfd: number, name: string, flags: number, resolve: number): number {
    if ((resolve & IN_ROOT) === 0 && (name.includes("/") || name === "..")) {
      throw new Error(`"${name}" was looked up with nothing to hold it in the root`);
    }
    const at = this.paths.get(dirfd);
    const path = `${at === "/" ? "" : at}/${name}`;
    if ((flags & O_CREAT) !== 0) {
      const made = this.#make(dirfd, name, S_IFREG);
      if (made < 0) return made;
    } else if (!this.nodes.has(path) || this.#hasLink(path, resolve)) return -ENOENT;
    const fd = this.host.give();
    this.paths.set(fd, path);
    return fd;
  }

  /** A link on the way of a look-up in the root: here it always leads to something missing. */
  #hasLink(path: string, resolve: number): boolean {
    return (resolve & IN_ROOT) !== 0 && this.nodes.get(path)?.kind === S_IFLNK;
  }

  #make(dirfd: number, name: string, kind: number): number {
    const at = this.paths.get(dirfd) ?? "?";
    if (this.nodes.get(at)?.kind !== S_IFDIR) return -ENOTDIR;
    const path = `${at === "/" ? "" : at}/${name}`;
    if (this.nodes.has(path)) return -EEXIST;
    this.nodes.set(path, { kind });
    this.made.push(path);
    return 0;
  }

  /** Opens a place and tells where it lies; checks that no other descriptor stays open. */
  place(path: string, kind: "directory" | "file" = "directory"): string | undefined {
    const fd = openOrCreate(this.host.sys, ROOT, path, kind);
    const found = this.paths.get(fd.fd);
    fd.close();
    expect(this.host.open()).toEqual([]);
    return found;
  }
}

describe("looking up a name", () => {
  test("every link stays in the root, and magic ones are refused", () => {
    const { sys, calls } = scriptedSys({});
    lookup(sys, ROOT, "/a/b");
    expect(calls).toEqual([["openat2", ROOT, "a/b", O_PATH | 0o2000000, 0, IN_ROOT | 0x2]]);
  });

  test("a plain look-up follows none at all", () => {
    const { sys, calls } = scriptedSys({});
    lookupPlain(sys, ROOT, "///");
    const flags = O_PATH | O_NOFOLLOW | 0o2000000;
    expect(calls).toEqual([["openat2", ROOT, ".", flags, 0, IN_ROOT | 0x4]]);
  });
});

describe("making what is missing", () => {
  test("what is there is not made again", () => {
    const tree = new Tree({ "/a": "dir" });
    expect(tree.place("/a")).toBe("/a");
    expect(tree.made).toEqual([]);
  });

  test("directories on the way, then a directory or a file", () => {
    const tree = new Tree({});
    expect(tree.place("/a/b/c")).toBe("/a/b/c");
    expect(tree.place("/a/d/f", "file")).toBe("/a/d/f");
    expect(tree.made).toEqual(["/a", "/a/b", "/a/b/c", "/a/d", "/a/d/f"]);
    expect(tree.nodes.get("/a/d/f")?.kind).toBe(S_IFREG);
  });

  test("a link that leads nowhere is followed inside the root", () => {
    const absolute = new Tree({ "/etc": "dir", "/etc/resolv.conf": "/run/r/resolv.conf" });
    expect(absolute.place("/etc/resolv.conf", "file")).toBe("/run/r/resolv.conf");
    expect(absolute.made).toEqual(["/run", "/run/r", "/run/r/resolv.conf"]);
    const relative = new Tree({ "/etc": "dir", "/etc/x": "../y/z" });
    expect(relative.place("/etc/x")).toBe("/y/z");
  });

  test("'..' in a link stops at the root, however many there are (CVE-2021-30465)", () => {
    const tree = new Tree({ "/a": "dir", "/a/out": "../../../../../etc" });
    expect(tree.place("/a/out/x")).toBe("/etc/x");
    const up = new Tree({ "/out": "../../.." });
    expect(up.place("/out/tmp/new")).toBe("/tmp/new");
  });

  test("a link in the middle of the way", () => {
    const tree = new Tree({ "/var": "dir", "/var/run": "/run", "/run": "dir" });
    expect(tree.place("/var/run/lock/x")).toBe("/run/lock/x");
  });

  test("links in a circle end", () => {
    const tree = new Tree({ "/a": "b", "/b": "a" });
    expect(() => tree.place("/a/x")).toThrow("too many symbolic links");
    expect(tree.host.open()).toEqual([]);
    expect(tree.made).toEqual([]);
  });

  test("a link that is the root is refused", () => {
    const tree = new Tree({ "/a": "/" });
    expect(() => tree.place("/a")).toThrow("it is the root");
    expect(tree.host.open()).toEqual([]);
  });

  test("a file on the way is an error, and nothing stays open", () => {
    const tree = new Tree({ "/a": "file" });
    expect(() => tree.place("/a/b")).toThrow("Not a directory");
    expect(tree.host.open()).toEqual([]);
  });

  test("any answer but ENOENT is told as it is", () => {
    const { sys } = scriptedSys({ openat2: () => -ELOOP });
    expect(() => openOrCreate(sys, ROOT, "/a", "file")).toThrow("ELOOP");
  });
});
