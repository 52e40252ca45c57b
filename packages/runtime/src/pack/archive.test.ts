import { describe, expect, test } from "bun:test";
import { encodeUtf8 } from "@tare/spec/bytes.ts";
import { fillStat, scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { ArchiveWriter } from "./archive.ts";
import type { FileStat } from "./file-stat.ts";
import { Output } from "./output.ts";

const O_PATH = 0o10000000;
const [S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO] = [0o100000, 0o020000, 0o060000, 0o010000];

/** A node that was a regular file when it was looked at; its name now stands for one of `kind`. */
function writeExchanged(kind: number) {
  const host = scriptedSys({
    statx: (_at: number, _name: string, _flags: number, _mask: number, into: Uint8Array) =>
      fillStat(into, { mode: kind | 0o600 }),
  });
  const looked = { mode: S_IFREG | 0o600, links: 1, identity: "", size: 0, stored: 0 };
  const stat: FileStat = { ...looked, uid: 0, gid: 0, mtime: 0, mtimeNs: 0, major: 0, minor: 0 };
  const name = encodeUtf8("file");
  const writer = new ArchiveWriter(host.sys, new Output(host.sys, 1 as Fd));
  writer.node({ path: name, at: 1000 as Fd, name, stat }, []);
  const opened = host.calls.filter(([call]) => call === "openat2");
  const read = opened.filter(([, , , flags]) => (Number(flags) & O_PATH) === 0);
  return { read: read.map(([, , path]) => path), open: host.open() };
}

describe("a file that is exchanged while it is packed", () => {
  test.each([
    ["character device", S_IFCHR],
    ["block device", S_IFBLK],
    ["fifo", S_IFIFO],
  ])("is never opened where it is a %s", (_what, kind) => {
    expect(writeExchanged(kind)).toEqual({ read: [], open: [] });
  });

  test("is read by what was looked at, not by its name", () => {
    expect(writeExchanged(S_IFREG)).toEqual({ read: ["/proc/self/fd/3"], open: [] });
  });
});
