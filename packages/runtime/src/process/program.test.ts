import { describe, expect, test } from "bun:test";
import type { Process } from "@tare/spec/oci-runtime.ts";
import { parseProcess } from "@tare/spec/oci-runtime-parse-process.ts";
import { fillStat, scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { becomeProgram, closeAllBut, findProgram, prepareProgram } from "./program.ts";

const ENOENT = 2;
const EIO = 5;
const ENOEXEC = 8;
const EACCES = 13;
const ENOTDIR = 20;
const EPERM = 1;
const MAX = 0xffffffff;
const REGULAR = 0o100755;
const DIRECTORY = 0o040755;

function processOf(fields: { readonly [name: string]: unknown }): Process {
  const whole = { cwd: "/w", user: { uid: 0, gid: 0 }, args: ["true"], ...fields };
  return parseProcess(JSON.stringify(whole));
}

/** A root file system: paths, each with a mode, or the errno that a look-up gives. */
function files(entries: { readonly [path: string]: number }) {
  const modeOf = (path: string) => entries[path] ?? -ENOENT;
  return scriptedSys({
    faccessat2: (_dirfd: number, path: string) => Math.min(modeOf(path), 0),
    statx: (_fd: number, path: string, _flags: number, _mask: number, into: Uint8Array) =>
      fillStat(into, { mode: modeOf(path) }),
    openat2: (_dirfd: number, path: string) => (modeOf(path) < 0 ? modeOf(path) : 9),
    read: () => 0,
  });
}

function thrown(action: () => unknown): { code?: unknown; message?: string } {
  try {
    action();
  } catch (error) {
    return error as { code?: unknown; message?: string };
  }
  throw new Error("nothing was thrown");
}

describe("finding the program", () => {
  test("a path is taken as it is, a relative one from the working directory", () => {
    const { sys } = files({ "/a/b": REGULAR, "/w/bin/x": REGULAR });
    expect(findProgram(sys, processOf({ args: ["/a/b"] }))).toBe("/a/b");
    expect(findProgram(sys, processOf({ args: ["bin/x"] }))).toBe("/w/bin/x");
  });

  test("a bare name is searched in the program's PATH, in order; the last PATH counts", () => {
    const { sys } = files({ "/one/x": REGULAR, "/two/x": REGULAR });
    const env = ["PATH=/none", "PATH=/zero:/two:/one"];
    expect(findProgram(sys, processOf({ args: ["x"], env }))).toBe("/two/x");
  });

  test("an empty part of PATH is the working directory", () => {
    const { sys } = files({ "/w/x": REGULAR });
    expect(findProgram(sys, processOf({ args: ["x"], env: ["PATH=/none:"] }))).toBe("/w/x");
  });

  test("without PATH the usual directories are searched", () => {
    const { sys } = files({ "/usr/bin/x": REGULAR });
    expect(findProgram(sys, processOf({ args: ["x"] }))).toBe("/usr/bin/x");
  });

  test("directories and files that may not be executed are passed over, and then told", () => {
    const { sys } = files({ "/a/x": DIRECTORY, "/b/x": -EACCES, "/c/x": REGULAR });
    expect(findProgram(sys, processOf({ args: ["x"], env: ["PATH=/a:/b:/c"] }))).toBe("/c/x");
    const refused = thrown(() => findProgram(sys, processOf({ args: ["x"], env: ["PATH=/b"] })));
    expect(refused.code).toBe("command_not_executable");
    expect(refused.message).toContain("permission denied");
  });

  test("what is missing has the words that engines look for (exit status 127)", () => {
    const { sys } = files({ "/f/x": -ENOTDIR });
    const bare = thrown(() => findProgram(sys, processOf({ args: ["x"], env: ["PATH=/f"] })));
    expect(bare.code).toBe("command_not_found");
    expect(bare.message).toContain("executable file not found in $PATH");
    const path = thrown(() => findProgram(sys, processOf({ args: ["/f/x"] })));
    expect(path.code).toBe("command_not_found");
    expect(path.message).toContain("no such file or directory");
  });

  test("an empty name is not a directory of PATH", () => {
    const { sys } = files({ "/bin/": DIRECTORY });
    const empty = thrown(() => findProgram(sys, processOf({ args: [""] })));
    expect(empty.code).toBe("command_not_found");
  });

  test("HOME is read with it: a filter may forbid that later", () => {
    const { sys } = files({ "/bin/x": REGULAR });
    const process = processOf({ args: ["/bin/x"], env: ["A=1"] });
    expect(prepareProgram(sys, process)).toEqual({ path: "/bin/x", env: ["A=1", "HOME=/"] });
  });
});

describe("closing descriptors", () => {
  const ranges = (channel: number, preserve: number) => {
    const { sys, calls } = scriptedSys({});
    closeAllBut(sys, channel as Fd, preserve);
    return calls;
  };

  test("all but the channel, which execve closes", () => {
    expect(ranges(5, 0)).toEqual([
      ["close_range", 3, 4, 0],
      ["close_range", 6, MAX, 0],
      ["fcntl", 5, 2, 1],
    ]);
  });

  test("a channel in the first place", () => {
    expect(ranges(3, 0)).toEqual([
      ["close_range", 4, MAX, 0],
      ["fcntl", 3, 2, 1],
    ]);
  });

  test("what is passed on stays open over execve", () => {
    expect(ranges(9, 2)).toEqual([
      ["fcntl", 3, 2, 0],
      ["fcntl", 4, 2, 0],
      ["close_range", 5, 8, 0],
      ["close_range", 10, MAX, 0],
      ["fcntl", 9, 2, 1],
    ]);
  });

  test("a failure is not passed over", () => {
    const { sys } = scriptedSys({ close_range: () => -EPERM });
    expect(() => closeAllBut(sys, 5 as Fd, 0)).toThrow("close_range");
  });
});

describe("becoming the program", () => {
  const program = { path: "/bin/x", env: ["A=1"] };

  test("no signal is blocked any more", () => {
    const { sys, calls } = scriptedSys({ execve: () => -EIO });
    thrown(() => becomeProgram(sys, processOf({ args: ["x", "y"] }), program));
    expect(calls).toEqual([
      ["sigprocmask", 2, 0],
      ["execve", "/bin/x", ["x", "y"], ["A=1"]],
    ]);
  });

  test.each([
    [ENOENT, "command_not_found"],
    [ENOTDIR, "command_not_found"],
    [EACCES, "command_not_executable"],
    [ENOEXEC, "command_not_executable"],
    [EIO, "system"],
  ])("errno %d is %s", (errno, code) => {
    const { sys } = scriptedSys({ execve: () => -errno });
    const failure = thrown(() => becomeProgram(sys, processOf({ args: ["x"] }), program));
    expect(failure.code).toBe(code);
  });

  test("no arguments are an error", () => {
    const { sys, calls } = scriptedSys({});
    expect(() => becomeProgram(sys, processOf({ args: [] }), undefined)).toThrow("is empty");
    expect(calls).toEqual([]);
  });
});
