import { describe, expect, test } from "bun:test";
import { fsmountAttributes, knownMountOptions, parseMountOptions } from "./options.ts";

const RDONLY = 0x1;
const NOSUID = 0x2;
const NODEV = 0x4;
const NOEXEC = 0x8;
const ATIME = 0x70;
const NOATIME = 0x10;
const STRICTATIME = 0x20;
const NODIRATIME = 0x80;
const NOSYMFOLLOW = 0x200000;
const [UNBINDABLE, PRIVATE, SLAVE, SHARED] = [1 << 17, 1 << 18, 1 << 19, 1 << 20];
const NONE = { set: 0, clear: 0 };

/** Every attribute word of runtime-spec config.md, "Linux mount options", with what it sets and clears. */
const attributes: [word: string, set: number, clear: number][] = [
  ["ro", RDONLY, 0],
  ["rw", 0, RDONLY],
  ["nosuid", NOSUID, 0],
  ["suid", 0, NOSUID],
  ["nodev", NODEV, 0],
  ["dev", 0, NODEV],
  ["noexec", NOEXEC, 0],
  ["exec", 0, NOEXEC],
  ["nodiratime", NODIRATIME, 0],
  ["diratime", 0, NODIRATIME],
  ["nosymfollow", NOSYMFOLLOW, 0],
  ["symfollow", 0, NOSYMFOLLOW],
  ["noatime", NOATIME, ATIME],
  ["atime", 0, ATIME],
  ["strictatime", STRICTATIME, ATIME],
  ["nostrictatime", 0, ATIME],
  ["relatime", 0, ATIME],
  ["norelatime", STRICTATIME, ATIME],
];

describe("attributes", () => {
  test.each(attributes)("%s is of the mount alone", (word, set, clear) => {
    const options = parseMountOptions([word]);
    expect(options.attributes).toEqual({ set, clear });
    expect(options.recursive).toEqual(NONE);
    expect(options.data).toEqual([]);
  });

  test.each(attributes)("r%s is of all below too", (word, set, clear) => {
    const options = parseMountOptions([`r${word}`]);
    expect(options.recursive).toEqual({ set, clear });
    expect(options.attributes).toEqual(NONE);
    expect(options.data).toEqual([]);
  });

  test.each([
    ["ro", "rw", 0, RDONLY],
    ["rw", "ro", RDONLY, 0],
    ["nosuid", "suid", 0, NOSUID],
    ["exec", "noexec", NOEXEC, 0],
    ["noatime", "strictatime", STRICTATIME, ATIME],
    ["strictatime", "relatime", 0, ATIME],
    ["nodiratime", "diratime", 0, NODIRATIME],
  ])("%s, then %s: the later wins", (first, second, set, clear) => {
    expect(parseMountOptions([first, second]).attributes).toEqual({ set, clear });
    expect(parseMountOptions([`r${first}`, `r${second}`]).recursive).toEqual({ set, clear });
  });

  test("several add up, and the two scopes stay apart", () => {
    const options = parseMountOptions(["nosuid", "noexec", "rro", "nodev", "noatime", "ro"]);
    expect(options.attributes).toEqual({
      set: NOSUID | NOEXEC | NODEV | NOATIME | RDONLY,
      clear: ATIME,
    });
    expect(options.recursive).toEqual({ set: RDONLY, clear: 0 });
    expect(fsmountAttributes(options)).toBe(NOSUID | NOEXEC | NODEV | NOATIME | RDONLY);
  });

  test("no bit is both set and cleared, but in the field of access times", () => {
    const words = attributes.map(([word]) => word);
    for (const one of words) {
      for (const other of words) {
        const { set, clear } = parseMountOptions([one, other]).attributes;
        expect(set & clear & ~ATIME).toBe(0);
      }
    }
  });
});

describe("propagation", () => {
  test.each([
    ["private", PRIVATE],
    ["shared", SHARED],
    ["slave", SLAVE],
    ["unbindable", UNBINDABLE],
  ])("%s, and r%s with all below", (word, flag) => {
    expect(parseMountOptions([word]).propagation).toEqual([{ flag, recursive: false }]);
    expect(parseMountOptions([`r${word}`]).propagation).toEqual([{ flag, recursive: true }]);
  });

  test("several are applied in their order: a shared slave is made so", () => {
    const flags = parseMountOptions(["rslave", "shared"]).propagation;
    expect(flags).toEqual([
      { flag: SLAVE, recursive: true },
      { flag: SHARED, recursive: false },
    ]);
  });
});

describe("other words", () => {
  test("bind, rbind, and both", () => {
    expect(parseMountOptions([]).bind).toBe("none");
    expect(parseMountOptions(["bind"]).bind).toBe("bind");
    expect(parseMountOptions(["rbind"]).bind).toBe("rbind");
    expect(parseMountOptions(["rbind", "bind"]).bind).toBe("rbind");
  });

  test("idmap, ridmap and tmpcopyup", () => {
    expect(parseMountOptions(["idmap"]).idmap).toBe("idmap");
    expect(parseMountOptions(["ridmap"]).idmap).toBe("ridmap");
    expect(parseMountOptions(["ro"]).idmap).toBe("none");
    expect(parseMountOptions(["tmpcopyup"]).copyUp).toBeTrue();
    expect(parseMountOptions([]).copyUp).toBeFalse();
  });

  test("words that change nothing do not reach the file system", () => {
    const words = ["defaults", "async", "loud", "silent", "nomand", "nolazytime", "noiversion", ""];
    const options = parseMountOptions([...words, "bind", "rbind", "remount"]);
    expect(options.data).toEqual([]);
    expect(options.attributes).toEqual(NONE);
  });

  test("everything else is the file system's, in its order and with its value", () => {
    const words = ["mode=755", "size=64k", "newinstance", "sync", "dirsync", "gid=5", "a=b=c"];
    expect(parseMountOptions(words).data).toEqual(words);
  });

  test("words are exact: case, spaces and an r too much are the file system's", () => {
    const words = ["RO", " ro", "ro ", "rrro", "r", "rmode=1", "__proto__", "constructor"];
    expect(parseMountOptions(words).data).toEqual(words);
  });
});

test("what features lists is known: no word of it goes to the file system but its own", () => {
  const own = ["dirsync", "iversion", "lazytime", "mand", "sync"];
  const listed = knownMountOptions();
  expect(listed.filter((word) => parseMountOptions([word]).data.length > 0)).toEqual(own);
  for (const [word] of attributes) expect(listed).toContain(`r${word}`);
  expect(new Set(listed).size).toBe(listed.length);
});
