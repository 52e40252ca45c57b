import { describe, expect, test } from "bun:test";
import {
  bindAttributes,
  fsmountAttributes,
  knownMountOptions,
  parseMountOptions,
  refuseForBind,
} from "./options.ts";

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

/** Every flag word of runtime-spec config.md, "Linux mount options", with what it sets and clears. */
const flags: [word: string, set: number, clear: number][] = [
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
];

/** The words of access times: the mode alone, and what the recursive form sets. */
const times: [word: string, mode: string, recursive: number][] = [
  ["noatime", "noatime", NOATIME],
  ["strictatime", "strictatime", STRICTATIME],
  ["relatime", "relatime", 0],
  ["atime", "keep", 0],
  ["norelatime", "keep", STRICTATIME],
  ["nostrictatime", "keep", 0],
];

describe("attributes", () => {
  test.each(flags)("%s is of the mount alone", (word, set, clear) => {
    const options = parseMountOptions([word]);
    expect(options.attributes).toEqual({ set, clear });
    expect(options.recursive).toEqual(NONE);
    expect(options.data).toEqual([]);
  });

  test.each(flags)("r%s is of all below too", (word, set, clear) => {
    const options = parseMountOptions([`r${word}`]);
    expect(options.recursive).toEqual({ set, clear });
    expect(options.attributes).toEqual(NONE);
    expect(options.data).toEqual([]);
  });

  test.each(times)("%s is of the mount alone, r%s clears the whole field", (word, mode, set) => {
    const options = parseMountOptions([word]);
    expect<string>(options.accessTime).toBe(mode);
    expect(options.data).toEqual([]);
    expect(parseMountOptions([`r${word}`]).recursive).toEqual({ set, clear: ATIME });
  });

  test.each([
    ["ro", "rw", 0, RDONLY],
    ["rw", "ro", RDONLY, 0],
    ["nosuid", "suid", 0, NOSUID],
    ["exec", "noexec", NOEXEC, 0],
    ["nodiratime", "diratime", 0, NODIRATIME],
  ])("%s, then %s: the later wins", (first, second, set, clear) => {
    expect(parseMountOptions([first, second]).attributes).toEqual({ set, clear });
    expect(parseMountOptions([`r${first}`, `r${second}`]).recursive).toEqual({ set, clear });
  });

  test.each([
    ["noatime", "strictatime", "strictatime"],
    ["strictatime", "relatime", "relatime"],
    ["noatime", "atime", "keep"],
    ["atime", "noatime", "noatime"],
    ["noatime", "norelatime", "noatime"],
  ])("%s, then %s is %s", (first, second, mode) => {
    expect<string>(parseMountOptions([first, second]).accessTime).toBe(mode);
  });

  test("several add up, and the two scopes stay apart", () => {
    const options = parseMountOptions(["nosuid", "noexec", "rro", "nodev", "noatime", "ro"]);
    expect(options.attributes).toEqual({ set: NOSUID | NOEXEC | NODEV | RDONLY, clear: 0 });
    expect(options.recursive).toEqual({ set: RDONLY, clear: 0 });
    expect(fsmountAttributes(options)).toBe(NOSUID | NOEXEC | NODEV | NOATIME | RDONLY);
  });

  test("no bit is both set and cleared, but in the field of access times", () => {
    const words = [...flags, ...times].flatMap(([word]) => [word, `r${word}`]);
    for (const one of words) {
      for (const other of words) {
        const options = parseMountOptions([one, other]);
        for (const { set, clear } of [options.recursive, bindAttributes(options)]) {
          expect(set & clear & ~ATIME).toBe(0);
        }
      }
    }
  });
});

describe("the flags of a bind", () => {
  const EXACT = RDONLY | NOSUID | NODEV | NOEXEC | NOSYMFOLLOW;
  const TIMES = ATIME | NODIRATIME;
  const cases: [words: string[], set: number, clear: number][] = [
    // Without a word about flags the source's are kept; with one, they are what the words say.
    [[], 0, 0],
    [["rprivate", "rnoexec"], 0, 0],
    [["ro"], RDONLY, EXACT & ~RDONLY],
    [["rw"], 0, EXACT],
    [["dev"], 0, EXACT],
    [["nosuid", "nodev"], NOSUID | NODEV, EXACT & ~(NOSUID | NODEV)],
    // Access times are kept unless a mode is named: a word that only takes one back names none.
    [["atime"], 0, EXACT],
    [["norelatime"], 0, EXACT],
    [["diratime"], 0, EXACT],
    [["relatime"], 0, EXACT | TIMES],
    [["noatime"], NOATIME, EXACT | TIMES],
    [["strictatime", "nodiratime"], STRICTATIME | NODIRATIME, EXACT | ATIME],
    [["nodiratime"], NODIRATIME, EXACT | ATIME],
  ];
  test.each(cases)("%j", (words, set, clear) => {
    expect(bindAttributes(parseMountOptions(["bind", ...words]))).toEqual({ set, clear });
  });

  test.each([["sync"], ["dirsync"], ["lazytime"], ["iversion"], ["mand"], ["nosiud"], ["rsync"]])(
    "%s is the file system's: refused, not dropped",
    (word) => {
      expect(() => refuseForBind(parseMountOptions(["bind", word]), "/a")).toThrow(`"${word}"`);
    },
  );

  test("what takes such a flag back again, or asks for nothing, is fine", () => {
    const words = [
      "async",
      "sync",
      "async",
      "nolazytime",
      "defaults",
      "loud",
      "silent",
      "",
      "mode=755",
    ];
    expect(() => refuseForBind(parseMountOptions(["rbind", ...words]), "/a")).not.toThrow();
  });
});

describe("flags of the whole file system", () => {
  test.each([
    [["sync"], ["sync"]],
    [["sync", "async"], []],
    [["async", "sync"], ["sync"]],
    [
      ["lazytime", "dirsync"],
      ["lazytime", "dirsync"],
    ],
    [["lazytime", "nolazytime"], []],
    [["iversion", "mand", "noiversion"], ["mand"]],
  ])("%j leaves %j", (words, left) => {
    const options = parseMountOptions(words);
    expect(options.superblock).toEqual(left);
    expect(options.data).toEqual([]);
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
    expect(parseMountOptions(["ro"]).idmap).toBeUndefined();
    const maps = "idmap=uids=0-1-10;gids=0-1-10";
    expect(parseMountOptions(["bind", maps]).idmap).toBe(maps);
    expect(parseMountOptions(["bind", maps]).data).toEqual([]);
    expect(parseMountOptions(["tmpcopyup"]).copyUp).toBeTrue();
    expect(parseMountOptions([]).copyUp).toBeFalse();
  });

  test("words that change nothing do not reach the file system", () => {
    const words = ["defaults", "async", "loud", "silent", "nomand", "nolazytime", "noiversion", ""];
    const options = parseMountOptions([...words, "bind", "rbind", "remount"]);
    expect([options.data, options.superblock]).toEqual([[], []]);
    expect(options.remount).toBeTrue();
    expect(options.attributes).toEqual(NONE);
  });

  test("everything else is the file system's, in its order and with its value", () => {
    const words = ["mode=755", "size=64k", "newinstance", "gid=5", "a=b=c"];
    expect(parseMountOptions(words).data).toEqual(words);
  });

  test("words are exact: case, spaces and an r too much are the file system's", () => {
    const words = ["RO", " ro", "ro ", "rrro", "r", "rmode=1", "__proto__", "constructor"];
    expect(parseMountOptions(words).data).toEqual(words);
  });
});

test("what features lists is known: no word of it goes to the file system", () => {
  const listed = knownMountOptions();
  expect(listed.filter((word) => parseMountOptions([word]).data.length > 0)).toEqual([]);
  for (const [word] of [...flags, ...times]) expect(listed).toContain(`r${word}`);
  expect(new Set(listed).size).toBe(listed.length);
});
