import { describe, expect, test } from "bun:test";
import { scriptedSys } from "../sys/scripted-sys.ts";
import { freezeForNow } from "./freezer.ts";
import type { CgroupState } from "./state.ts";

/** linux/magic.h. */
const CGROUP_SUPER_MAGIC = 0x27e0eb;
const ENODEV = 19;
const EIO = 5;
const EMFILE = 24;
const STATE: CgroupState = {
  mode: "v1",
  dirs: [{ version: 1, controllers: ["freezer"], mountpoint: "/f", path: "c", made: true }],
};

/** A freezer of v1 whose thaws are answered in turn; no file can be opened once it is frozen. */
function frozen(thaws: readonly number[]) {
  const answers = [...thaws];
  const written: string[] = [];
  let isFrozen = false;
  const host = scriptedSys({
    clock_gettime: () => 0n,
    fstatfs_type: () => CGROUP_SUPER_MAGIC,
    openat2: () => (isFrozen ? -EMFILE : host.give()),
    pread: (_fd: number, into: Uint8Array) => {
      isFrozen = true;
      const text = [..."FROZEN\n"];
      into.set(text.map((letter) => letter.charCodeAt(0)));
      return text.length;
    },
    write: (_fd: number, bytes: Uint8Array) => {
      const text = String.fromCharCode(...bytes);
      written.push(text);
      return text === "FROZEN" ? bytes.length : (answers.shift() ?? bytes.length);
    },
  });
  const { thaw } = freezeForNow(host.sys, STATE, 1000);
  return { thaw, written, open: host.open };
}

describe("what is frozen for a moment", () => {
  test.each([
    ["at once", [], 1],
    ["the second time", [-EIO], 2],
    ["where the cgroup is gone", [-ENODEV], 1],
  ])("goes on, %s, with what was open before", (_how, thaws, count) => {
    const { thaw, written, open } = frozen(thaws);
    expect(open()).toHaveLength(1);
    thaw();
    expect(written).toEqual(["FROZEN", ...Array(count).fill("THAWED")]);
    expect(open()).toEqual([]);
  });

  test("or it is told", () => {
    const { thaw, open } = frozen([-EIO, -EIO]);
    expect(thaw).toThrow('Cannot write "THAWED" to "freezer.state"');
    expect(open()).toEqual([]);
  });
});
