import { describe, expect, test } from "bun:test";
import { scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { attachRoot, pivot } from "./root.ts";

const EINVAL = 22;
const MS_PRIVATE = 1 << 18;
const MS_SLAVE = 1 << 19;

describe("attaching the root", () => {
  test("a shared parent leaves the host's group before anything is attached", () => {
    let tries = 0;
    const { sys, calls, open } = scriptedSys({ mount_setattr: () => (++tries < 3 ? -EINVAL : 0) });
    const root = attachRoot(sys, "/bundle/rootfs", true);
    const names = calls.map(([name]) => name).filter((name) => name !== "close");
    expect(names).toEqual([
      "openat2",
      "mount_setattr",
      "openat2",
      "mount_setattr",
      "openat2",
      "mount_setattr",
      "open_tree",
      "move_mount",
    ]);
    expect(calls.filter(([name]) => name === "openat2").map(([, , path]) => path)).toEqual([
      "/bundle/rootfs",
      "..",
      "..",
    ]);
    expect(open()).toEqual([root]);
  });

  test("the search for the top of the mount ends, and nothing stays open", () => {
    const { sys, open } = scriptedSys({ mount_setattr: () => -EINVAL });
    expect(() => attachRoot(sys, "/r", true)).toThrow('Cannot use root file system "/r"');
    expect(open()).toEqual([]);
  });

  test("otherwise nothing but the clone is touched", () => {
    const { sys, calls } = scriptedSys({});
    attachRoot(sys, "/r", false);
    expect(calls.map(([name]) => name)).toEqual(["open_tree", "move_mount"]);
  });
});

describe("pivot", () => {
  const callsOf = (shared: boolean) => {
    const { sys, calls, open } = scriptedSys({});
    pivot(sys, 1000 as Fd, shared);
    expect(open()).toEqual([]);
    return calls;
  };

  test("the old root is let go, and we stand in the new one", () => {
    expect(callsOf(false).map(([name]) => name)).toEqual([
      "openat2",
      "fchdir",
      "pivot_root",
      "fchdir",
      "close",
      "umount2",
      "chdir",
    ]);
  });

  test("a shared old root becomes a slave first: the host's must not be detached too", () => {
    const calls = callsOf(true);
    const flags = calls.filter(([name]) => name === "mount_setattr").map((call) => call[6]);
    expect(flags).toEqual([MS_SLAVE]);
    expect(flags).not.toContain(MS_PRIVATE);
    const names = calls.map(([name]) => name);
    expect(names.indexOf("mount_setattr")).toBeLessThan(names.indexOf("umount2"));
  });
});
