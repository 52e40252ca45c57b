import { describe, expect, test } from "bun:test";
import { type MountText, parseMount } from "./mount-syntax.ts";

const parse = (flag: MountText["flag"], text: string) => parseMount({ flag, text }, "/home/me");

const bind = {
  kind: "bind",
  source: "/a",
  target: "/b",
  readonly: false,
  recursive: true,
  propagation: "rprivate",
  createSource: true,
} as const;

const cases: [flag: MountText["flag"], text: string, want: object][] = [
  ["-v", "/a:/b", bind],
  ["-v", "/a:/b:ro", { ...bind, readonly: true }],
  ["-v", "/a:/b:ro,z,rslave", { ...bind, readonly: true, propagation: "rslave", relabel: true }],
  ["-v", "./a:/b/", { ...bind, source: "/home/me/./a" }],
  ["-v", "data:/b", { kind: "volume", name: "data", target: "/b", readonly: false }],
  [
    "-v",
    "data:/b:nocopy,U",
    { kind: "volume", name: "data", target: "/b", readonly: false, noCopy: true, chown: true },
  ],
  ["-v", "/a:/b:idmap", { ...bind, idmap: "idmap" }],
  [
    "--mount",
    "source=d2,target=/b,volume-subpath=./x//y",
    { kind: "volume", name: "d2", target: "/b", readonly: false, subpath: "x/y" },
  ],
  [
    "--mount",
    "type=image,source=busybox,target=/b,image-subpath=bin",
    { kind: "image", reference: "busybox", target: "/b", subpath: "bin" },
  ],
  ["-v", "/b", { kind: "volume", target: "/b", readonly: false }],
  ["--mount", "type=bind,source=/a,target=/b", { ...bind, createSource: false }],
  ["--mount", "type=bind,src=/a,dst=/b,ro", { ...bind, createSource: false, readonly: true }],
  [
    "--mount",
    "type=bind,src=/a,dst=/b,readonly=false,bind-recursive=disabled,bind-propagation=shared",
    { ...bind, createSource: false, recursive: false, propagation: "shared" },
  ],
  [
    "--mount",
    "source=data,target=/b",
    { kind: "volume", name: "data", target: "/b", readonly: false },
  ],
  [
    "--mount",
    "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777",
    {
      kind: "tmpfs",
      target: "/t",
      options: ["nosuid", "nodev", "noexec", "size=1048576", "mode=1777"],
    },
  ],
  ["--tmpfs", "/t", { kind: "tmpfs", target: "/t", options: ["nosuid", "nodev", "noexec"] }],
  [
    "--tmpfs",
    "/t:exec,size=64k,mode=700",
    { kind: "tmpfs", target: "/t", options: ["nosuid", "nodev", "exec", "size=65536", "mode=700"] },
  ],
];

describe("parseMount", () => {
  test.each(cases)("%s %s", (flag, text, want) => {
    expect(parse(flag, text)).toEqual(want as ReturnType<typeof parse>);
  });

  const refused: [flag: MountText["flag"], text: string, why: RegExp][] = [
    ["-v", "", /want/],
    ["-v", "/a:", /want/],
    ["-v", "/a:b", /not an absolute path/],
    ["-v", "/a:/", /cannot be \//],
    ["-v", "/a:/b/../..", /"\.\."/],
    ["-v", "/a:/b:ro:rw", /want/],
    ["-v", "/a:/b:sideways", /no option "sideways"/],
    ["-v", "/a:/b:ro,rw", /"ro" and "rw" exclude each other/],
    ["-v", "/a:/b:ro,ro", /"ro" stands there twice/],
    ["-v", "/a:/b:shared,rslave", /"shared" and "rslave" exclude/],
    ["-v", "data:/b:copy,nocopy", /"copy" and "nocopy" exclude/],
    ["-v", "/a:/b:z,Z", /"z" and "Z" exclude/],
    ["-v", "/a:/b:", /want \[SOURCE/],
    ["-v", "a/b:/c", /neither a path/],
    ["-v", "/a\0:/b", /NUL/],
    ["--mount", "type=bind,target=/b", /wants source=PATH/],
    ["--mount", "type=bind,source=a,target=/b", /"a" is no path: want \/a or \.\/a/],
    ["--mount", "type=npipe,target=/b", /no type "npipe"/],
    ["--mount", "type=bind,source=/a,target=/b,bind-propagation=up", /no propagation/],
    ["--mount", "type=tmpfs,target=/b,source=/a", /no field "source"/],
    ["--mount", "__proto__=1,target=/b", /no field "__proto__"/],
    ["--tmpfs", "/t:uid=root", /no tmpfs option/],
    ["--tmpfs", "/t:mode=999", /not an octal mode/],
    ["--tmpfs", "t", /not an absolute path/],
  ];
  test.each(refused)("refuses %s %j", (flag, text, why) => {
    expect(() => parse(flag, text)).toThrow(why);
  });
});
