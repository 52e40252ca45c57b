import { describe, expect, test } from "bun:test";
import { fillStat, scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { attachBind, attachNew } from "./attach.ts";
import { makeFilesystem } from "./filesystem.ts";
import { parseMountOptions } from "./options.ts";
import { Masks, openNull, protectPath } from "./protect.ts";

const ROOT = 1000 as Fd;
const ENOENT = 2;
const EACCES = 13;
const EINVAL = 22;
const ENODATA = 61;
const PROC = 0x9fa0;
const TMPFS = 0x01021994;
const S_IFDIR = 0o040755;
const S_IFREG = 0o100644;
const S_IFCHR = 0o020666;

/** Every descriptor is a file with this mode and number; the root has inode 2. */
function world(
  file: { mode: number; ino?: bigint; rdev?: readonly [number, number] },
  more: Parameters<typeof scriptedSys>[0] = {},
) {
  return scriptedSys({
    statx: (fd: number, _path: string, _flags: number, _mask: number, into: Uint8Array) =>
      fillStat(into, fd === ROOT ? { mode: S_IFDIR, ino: 2n } : { ino: 7n, ...file }),
    fstatfs_type: () => TMPFS,
    ...more,
  });
}

const why = "";
const tmpfs = (target: string, words: string[] = []) => ({
  op: "mount" as const,
  fstype: "tmpfs",
  source: "tmpfs",
  target,
  options: parseMountOptions(words),
  why,
});
const bind = (target: string, words: string[]) => ({
  op: "bind" as const,
  index: 0,
  isPeer: false,
  idmap: undefined,
  source: "/srv",
  target,
  options: parseMountOptions(words),
  why,
});
const named = (calls: readonly (readonly unknown[])[], call: string) =>
  calls.filter(([name]) => name === call);

describe("a new file system", () => {
  test("has its options and attributes before it is attached", () => {
    const { sys, calls, open } = world({ mode: S_IFDIR });
    attachNew(sys, ROOT, tmpfs("/t", ["ro", "nosuid", "size=1k", "sync", "mode=7"]));
    const given = named(calls, "fsconfig").map(([, , command, key, value]) => [
      command,
      key,
      value,
    ]);
    expect(given).toEqual([
      [1, "source", "tmpfs"],
      [0, "sync", null],
      [1, "size", "1k"],
      [1, "mode", "7"],
      [6, null, null],
    ]);
    expect(named(calls, "fsmount").map((call) => call[3])).toEqual([3]);
    expect(named(calls, "move_mount")).toHaveLength(1);
    expect(open()).toEqual([]);
  });

  test("has the mode of the directory that it covers, unless one is given or none was there", () => {
    const modes = (answers: Parameters<typeof scriptedSys>[0], words: string[]) => {
      const { sys, calls } = world({ mode: 0o040710 }, answers);
      attachNew(sys, ROOT, tmpfs("/t", words));
      return named(calls, "fsconfig").flatMap(([, , , key, value]) =>
        key === "mode" ? value : [],
      );
    };
    expect(modes({}, [])).toEqual(["710"]);
    expect(modes({}, ["mode=1777"])).toEqual(["1777"]);
    let looks = 0;
    const missing = { openat2: () => (looks++ < 2 ? -ENOENT : 1001) };
    expect(modes(missing, [])).toEqual([]);
  });

  test("is not attached where the name leads to the root", () => {
    const { sys, calls, open } = world({ mode: S_IFDIR, ino: 2n });
    expect(() => attachNew(sys, ROOT, tmpfs("/t"))).toThrow("it leads to the root");
    expect(named(calls, "move_mount")).toEqual([]);
    expect(open()).toEqual([]);
  });

  test("nor where a link leads into procfs", () => {
    const { sys, calls, open } = world({ mode: S_IFDIR }, { fstatfs_type: () => PROC });
    expect(() => attachNew(sys, ROOT, tmpfs("/link"))).toThrow("it leads into procfs");
    expect(() => attachBind(sys, ROOT, bind("/link", ["bind"]), undefined)).toThrow("procfs");
    expect(named(calls, "move_mount")).toEqual([]);
    expect(open()).toEqual([]);
  });

  test("a refused option is told in the kernel's words, and nothing stays open", () => {
    const words = [..."e tmpfs: Bad value for 'size'\n"].map((letter) => letter.charCodeAt(0));
    let isRead = false;
    const { sys, open } = world(
      { mode: S_IFDIR },
      {
        fsconfig: (_fd: number, _command: number, key: string) => (key === "size" ? -EINVAL : 0),
        read: (_fd: number, into: Uint8Array) => {
          if (isRead) return -ENODATA;
          isRead = true;
          into.set(words);
          return words.length;
        },
      },
    );
    const make = () => makeFilesystem(sys, tmpfs("/t", ["size=x"]));
    expect(make).toThrow("tmpfs: Bad value for 'size'");
    expect(open()).toEqual([]);
  });
});

describe("a bind", () => {
  test("of a tree clones what is below, and gets attributes before it is attached", () => {
    const { sys, calls, open } = world({ mode: S_IFDIR });
    attachBind(sys, ROOT, bind("/b", ["rbind", "rro", "nosuid", "rslave"]), undefined);
    expect(named(calls, "open_tree").map((call) => call.slice(2))).toEqual([
      ["/srv", 1 | 0o2000000 | 0x8000],
    ]);
    const names = calls.map(([name]) => name);
    const order = names.filter((name) => name === "mount_setattr" || name === "move_mount");
    // How events travel comes last: attaching to a shared place would share it again.
    expect(order).toEqual(["mount_setattr", "mount_setattr", "move_mount", "mount_setattr"]);
    expect(named(calls, "mount_setattr").map((call) => call.slice(3, 7))).toEqual([
      [0x1000, 2, 0x20000d, 0],
      [0x1000 | 0x8000, 1, 0, 0],
      [0x1000 | 0x8000, 0, 0, 1 << 19],
    ]);
    expect(open()).toEqual([]);
  });

  test("on /proc must be procfs (CVE-2019-19921)", () => {
    const { sys, open } = world({ mode: S_IFDIR });
    expect(() => attachBind(sys, ROOT, bind("/proc", ["rbind"]), undefined)).toThrow("not procfs");
    expect(open()).toEqual([]);
  });

  test.each([
    ["is opened here where that may be, and the parent's is closed", 0, 4],
    ["is the parent's where it may not be opened here", -EACCES, 3],
  ])("%s", (_name, answer, moved) => {
    const host: ReturnType<typeof world> = world(
      { mode: S_IFDIR },
      { open_tree: () => (answer === 0 ? host.give() : answer) },
    );
    attachBind(host.sys, ROOT, bind("/b", ["bind"]), host.give() as Fd);
    expect(named(host.calls, "move_mount").map((call) => call[1])).toEqual([moved]);
    expect(host.open()).toEqual([]);
  });

  test("of a file on a directory is refused in words (move_mount: EINVAL)", () => {
    const host: ReturnType<typeof world> = world(
      { mode: S_IFDIR },
      {
        statx: (fd: number, _path: string, _flags: number, _mask: number, into: Uint8Array) =>
          fillStat(into, { mode: fd === 3 ? S_IFREG : S_IFDIR, ino: BigInt(fd) }),
        open_tree: () => -EACCES,
        move_mount: () => -EINVAL,
      },
    );
    const tree = host.give() as Fd;
    expect(() => attachBind(host.sys, ROOT, bind("/b", ["bind"]), tree)).toThrow("not a directory");
    expect(host.open()).toEqual([]);
  });

  test("that is id-mapped is always the parent's", () => {
    const host = world({ mode: S_IFDIR });
    const idmap = { uidMappings: [], gidMappings: [], recursive: false, words: undefined };
    attachBind(host.sys, ROOT, { ...bind("/b", ["bind"]), idmap }, host.give() as Fd);
    expect(named(host.calls, "open_tree")).toEqual([]);
    expect(host.open()).toEqual([]);
  });
});

describe("the null device of a mask (CVE-2025-31133)", () => {
  test("is taken where it is 1:3", () => {
    const { sys, open } = world({ mode: S_IFCHR, rdev: [1, 3] });
    const fd = openNull(sys, ROOT);
    expect(open()).toEqual([fd]);
  });

  test.each([
    ["a file", S_IFREG, [0, 0]],
    ["a file that pretends", S_IFREG, [1, 3]],
    ["another device", S_IFCHR, [1, 5]],
    ["a block device of that number", 0o060666, [1, 3]],
  ] as const)("%s is refused", (_name, mode, rdev) => {
    const { sys, open } = world({ mode, rdev });
    expect(() => openNull(sys, ROOT)).toThrow("it is not the null device");
    expect(open()).toEqual([]);
  });

  test("is looked up without following a link", () => {
    const { sys, calls } = world({ mode: S_IFCHR, rdev: [1, 3] });
    openNull(sys, ROOT);
    expect(named(calls, "openat2").map((call) => call[5])).toEqual([0x10 | 0x04]);
  });
});

describe("hiding and protecting", () => {
  test("what is not there needs nothing", () => {
    const { sys, calls } = scriptedSys({ openat2: () => -ENOENT });
    protectPath(sys, ROOT, "/proc/bus");
    using masks = new Masks(sys, ROOT);
    masks.mask("/proc/kcore");
    expect(calls.map(([name]) => name)).toEqual(["openat2", "openat2"]);
  });

  test("directories share one empty file system, files one device; all are closed", () => {
    const { sys, calls, open } = world({ mode: S_IFDIR });
    {
      using masks = new Masks(sys, ROOT);
      masks.mask("/a");
      masks.mask("/b");
    }
    expect(named(calls, "fsmount")).toHaveLength(1);
    expect(named(calls, "move_mount")).toHaveLength(2);
    expect(open()).toEqual([]);
  });

  test("a protected path is a read-only clone of itself, with all below", () => {
    const { sys, calls, open } = world({ mode: S_IFDIR });
    protectPath(sys, ROOT, "/proc/sys");
    expect(named(calls, "mount_setattr").map((call) => call.slice(3, 5))).toEqual([
      [0x1000 | 0x8000, 1],
    ]);
    expect(open()).toEqual([]);
  });
});
