import { describe, expect, test } from "bun:test";
import { applyProcessStep, type Launch } from "../process/apply.ts";
import { fillStat, scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { openProcfs, writeProcfs } from "./procfs.ts";

const EPERM = 1;
const EACCES = 13;
const PROC = 0x9fa0;
const BENEATH_NO_XDEV_NO_MAGICLINKS = 0x08 | 0x01 | 0x02;

function host(magic: number, ino: bigint) {
  return scriptedSys({
    fsconfig: () => -EPERM,
    fstatfs_type: () => magic,
    statx: (_fd: number, _path: string, _flags: number, _mask: number, into: Uint8Array) =>
      fillStat(into, { mode: 0o040555, ino }),
  });
}

describe("a procfs of our own", () => {
  test("is a new mount that is nowhere", () => {
    const { sys, calls, open } = scriptedSys({});
    const fd = openProcfs(sys);
    expect(calls.map(([name]) => name)).toEqual(["fsopen", "fsconfig", "fsmount", "close"]);
    expect(open()).toEqual([fd]);
  });

  test("where the kernel refuses one, the host's is proven to be one", () => {
    const good = host(PROC, 1n);
    const fd = openProcfs(good.sys);
    expect(good.open()).toEqual([fd]);
    for (const [magic, ino] of [
      [0x01021994, 1n],
      [PROC, 7n],
    ] as const) {
      const bad = host(magic, ino);
      expect(() => openProcfs(bad.sys)).toThrow("it is no procfs");
      expect(bad.open()).toEqual([]);
    }
  });

  test("a write follows no link out of it and crosses no mount (CVE-2025-52881)", () => {
    const { sys, calls, open } = scriptedSys({});
    writeProcfs(sys, 1000 as Fd, "sys/net/x", "1");
    const [, dirfd, path, , , resolve] = calls.find(([name]) => name === "openat2") ?? [];
    expect([dirfd, path, resolve]).toEqual([1000, "sys/net/x", BENEATH_NO_XDEV_NO_MAGICLINKS]);
    expect(open()).toEqual([]);
  });
});

describe("the oom score", () => {
  const launch = { procfs: 1000 as Fd } as unknown as Launch;
  const score = (answers: Parameters<typeof scriptedSys>[0]) => {
    const world = scriptedSys(answers);
    applyProcessStep(world.sys, launch, { op: "oom-score", value: 100, why: "" });
    return world.calls.filter(([name]) => name === "prctl" || name === "write");
  };
  const reads = (text: string) => {
    let rest = [...text].map((letter) => letter.charCodeAt(0));
    return (_fd: number, into: Uint8Array) => {
      const { length } = rest;
      into.set(rest);
      rest = [];
      return length;
    };
  };

  test("is written where it is another", () => {
    expect(score({ read: reads("0\n") })).toHaveLength(1);
    expect(score({ read: reads("100\n") })).toEqual([]);
  });

  test("a hidden process is seen for one write and hidden again", () => {
    let opened = 0;
    const calls = score({
      read: reads("0\n"),
      openat2: () => (++opened === 2 ? -EACCES : 9),
    });
    expect(calls.map(([name, _option, value]) => (name === "prctl" ? value : name))).toEqual([
      1,
      "write",
      0,
    ]);
  });

  test("a refused value is an error, and nothing is shown for it", () => {
    expect(() => score({ read: reads("0\n"), write: () => -EACCES })).toThrow("oom_score_adj");
  });
});
