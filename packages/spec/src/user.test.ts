import { describe, expect, test } from "bun:test";
import { TareError } from "./error.ts";
import { findHome, parseUserIds, resolveGroups, resolveUser } from "./user.ts";

const passwd = `
root:x:0:0:root user:/root:/bin/bash
# commented:x:7:7::/c:/bin/sh
adm:x:42:43:adm:/var/adm:/bin/false
111:x:222:333::/var/garbage
odd:x:111:112::/home/odd:::::
  spaced:x:50:51::/spaced:/bin/sh
4294967296:x:0:0:wrap:/root:/bin/bash
4294967295:x:0:0:nobody:/root:/bin/bash
01:x:0:0:zero:/root:/bin/bash
-1:x:0:0:minus:/root:/bin/bash
+1:x:0:0:plus:/root:/bin/bash
wrapped:x:4294967296:0::/root:/bin/bash
garbage:x:zero:0::/root:/bin/bash
nogid:x:60::::
relative:x:61:61::etc:/bin/sh
adm:x:0:0:second:/root:/bin/bash
__proto__:x:70:71::/p:/bin/sh
this is just some garbage data
:x:0:0::/root:
`;

const group = `
root:x:0:root
adm:x:43:
grp:x:1234:root,adm,odd
twice:x:1234:adm
444:x:555:111
odd:x:444:
4294967296:x:0:
-1:x:0:
bad:x:4294967296:adm
worse:x:none:adm
this is just some garbage data
`;

const files = { passwd, group };
type Want = { uid: number; gid: number; additionalGids?: number[]; home?: string; name?: string };

const good: [text: string, want: Want][] = [
  ["root", { uid: 0, gid: 0, additionalGids: [0, 1234], home: "/root", name: "root" }],
  ["", { uid: 0, gid: 0, additionalGids: [0, 1234], home: "/root", name: "root" }],
  ["0", { uid: 0, gid: 0, additionalGids: [0, 1234], home: "/root", name: "root" }],
  ["adm", { uid: 42, gid: 43, additionalGids: [1234], home: "/var/adm", name: "adm" }],
  ["42", { uid: 42, gid: 43, additionalGids: [1234], home: "/var/adm", name: "adm" }],
  ["0042", { uid: 42, gid: 43, additionalGids: [1234], home: "/var/adm", name: "adm" }],
  ["42:", { uid: 42, gid: 43, additionalGids: [1234], home: "/var/adm", name: "adm" }],
  ["root:adm", { uid: 0, gid: 43, home: "/root", name: "root" }],
  ["adm:1234", { uid: 42, gid: 1234, home: "/var/adm", name: "adm" }],
  [":adm", { uid: 0, gid: 43, home: "/root", name: "root" }],
  [":7", { uid: 0, gid: 7, home: "/root", name: "root" }],
  ["1337", { uid: 1337, gid: 0 }],
  ["1337:odd", { uid: 1337, gid: 444 }],
  ["111", { uid: 111, gid: 112, additionalGids: [1234], home: "/home/odd", name: "odd" }],
  ["111:444", { uid: 111, gid: 444, home: "/home/odd", name: "odd" }],
  ["222", { uid: 222, gid: 333, additionalGids: [555], home: "/var/garbage", name: "111" }],
  ["spaced", { uid: 50, gid: 51, home: "/spaced", name: "spaced" }],
  ["relative", { uid: 61, gid: 61, name: "relative" }],
  ["__proto__", { uid: 70, gid: 71, home: "/p", name: "__proto__" }],
  ["01", { uid: 1, gid: 0 }],
  ["2147483648", { uid: 2147483648, gid: 0 }],
  ["4294967294:4294967294", { uid: 4294967294, gid: 4294967294 }],
  ["0000000000000000000005", { uid: 5, gid: 0 }],
];

test.each(good)("user %j", (text, want) => {
  const defaults = { additionalGids: [], home: "/" };
  expect(resolveUser(text, files)).toStrictEqual({ ...defaults, ...want });
});

const bad: [text: string, code: string][] = [
  ["4294967295", "bad_input"],
  ["4294967296", "bad_input"],
  ["18446744073709551616", "bad_input"],
  ["9".repeat(200), "bad_input"],
  ["-1", "bad_input"],
  ["+1", "bad_input"],
  ["-0", "bad_input"],
  [" 1", "bad_input"],
  ["1 ", "bad_input"],
  ["1\n", "bad_input"],
  ["root\0", "bad_input"],
  ["0:4294967296", "bad_input"],
  ["0:-1", "bad_input"],
  ["0: 1", "bad_input"],
  ["a:b:c", "bad_input"],
  ["../root", "bad_input"],
  ["a".repeat(257), "bad_input"],
  ["0x1", "not_found"],
  ["1e3", "not_found"],
  ["１", "not_found"],
  ["nobody-here", "not_found"],
  ["root:nogroup", "not_found"],
  ["commented", "not_found"],
  ["Root", "not_found"],
  ["wrapped", "bad_input"],
  ["garbage", "bad_input"],
  ["nogid", "bad_input"],
  ["60", "bad_input"],
  ["root:bad", "bad_input"],
  ["root:worse", "bad_input"],
];

test.each(bad)("user %j is refused: %s", (text, code) => {
  let seen = "nothing";
  try {
    resolveUser(text, files);
  } catch (error) {
    if (error instanceof TareError) seen = error.code;
  }
  expect(seen).toBe(code);
});

describe("without files", () => {
  const none = { passwd: "", group: "" };
  test("ids do and names do not", () => {
    const root = { uid: 0, gid: 0, additionalGids: [], home: "/" };
    expect(resolveUser("", none)).toStrictEqual(root);
    expect(resolveUser("5:6", none)).toStrictEqual({ ...root, uid: 5, gid: 6 });
    const message = 'Cannot find user "root": not in /etc/passwd';
    expect(() => resolveUser("root", none)).toThrow(message);
  });
});

describe("hostile files", () => {
  test("of more than 10 MiB are refused", () => {
    const huge = { passwd: "a".repeat(10 * 1024 * 1024 + 1), group: "" };
    expect(() => resolveUser("root", huge)).toThrow("Cannot read /etc/passwd: more than");
  });

  test("of a million lines are read once, in order", () => {
    const lines = "x:x:9:9::/:\n".repeat(100_000);
    const many = { passwd: `${lines}late:x:8:8::/late:`, group: "" };
    expect(resolveUser("late", many).uid).toBe(8);
  });

  test("cannot give more groups than a process can have", () => {
    const lines = Array.from({ length: 65_537 }, (_, gid) => `g:x:${gid}:root`);
    const many = { passwd, group: lines.join("\n") };
    expect(() => resolveUser("root", many)).toThrow("more than 65536 groups");
  });

  test("cannot put a NUL into the home", () => {
    const nul = { passwd: "a:x:1:1::/a\0b:", group: "" };
    expect(resolveUser("a", nul).home).toBe("/");
  });
});

describe("resolveGroups", () => {
  test("takes names and ids, once each, in order", () => {
    expect(resolveGroups(["grp", "7", "adm", "1234"], group)).toEqual([1234, 7, 43]);
  });

  test.each(["", "nogroup", "-1", "4294967295", "bad"])("refuses %j", (text) => {
    expect(() => resolveGroups([text], group)).toThrow(TareError);
  });
});

const ids: [text: string, want: { uid: number; gid?: number } | undefined][] = [
  ["0", { uid: 0 }],
  ["1:2", { uid: 1, gid: 2 }],
  ["01", { uid: 1 }],
  ["4294967294", { uid: 4294967294 }],
  ["4294967295", undefined],
  ["4294967296", undefined],
  ["1:", undefined],
  [":1", undefined],
  ["", undefined],
  ["0x1", undefined],
  [" 1", undefined],
  ["+1", undefined],
  ["-1", undefined],
  ["1:2:3", undefined],
  ["root", undefined],
  ["1\n", undefined],
];

test.each(ids)("parseUserIds(%j)", (text, want) => {
  if (want === undefined) expect(() => parseUserIds(text)).toThrow(TareError);
  else expect(parseUserIds(text)).toStrictEqual(want);
});

describe("the home of an id", () => {
  test.each([
    ["x:x:5:6::/home/x:/bin/sh\n", 5, "/home/x"],
    ["y:x:5:::/first:\nx:x:5:6::/second:\n", 5, "/first"],
    ["x:x:05:6::/home/x:\n", 5, "/home/x"],
    ["x:x:4294967301:6::/wrong:\n", 5, "/"],
    ["x:x:5:6::relative:\n", 5, "/"],
    ["x:x:5:6::/with\0nul:\n", 5, "/"],
    ["x:x:5\n# x:x:5:6::/comment:\n", 5, "/"],
    ["", 0, "/"],
    [":::::/none:\n", 0, "/"],
  ])("%j of %d is %s", (passwd, uid, home) => {
    expect(findHome(passwd, uid)).toBe(home);
  });
});
