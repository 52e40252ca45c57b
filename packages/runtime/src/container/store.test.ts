import { describe, expect, test } from "bun:test";
import { encodeUtf8 } from "@tare/spec/bytes.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import type { Record as Known } from "./record.ts";
import {
  ContainerDirectory,
  createDirectory,
  findDirectory,
  isAlive,
  openDirectory,
  processStart,
  statusOf,
  toState,
} from "./store.ts";

const ENOENT = 2;
const ESRCH = 3;
const EBUSY = 16;
const EEXIST = 17;

const RECORD: Known = {
  ociVersion: "1.3.0",
  id: "x",
  bundle: "/bundle",
  rootfs: "/bundle/rootfs",
  created: "2026-01-01T00:00:00.000Z",
  owner: "root",
  annotations: {},
  cgroup: { mode: "none", dirs: [] },
  ready: false,
};

/** A world with files by the end of their path; a text is given in pieces of 100 bytes. */
function world(files: { readonly [name: string]: string | number }) {
  const reading = new Map<number, Uint8Array>();
  const host = scriptedSys({
    openat2: (_dirfd: number, path: string) => {
      const name = Object.keys(files).find((each) => path.endsWith(each));
      const file = name === undefined ? -ENOENT : (files[name] ?? -ENOENT);
      if (typeof file === "number") return file;
      const fd = host.give();
      reading.set(fd, encodeUtf8(file));
      return fd;
    },
    read: (fd: number, into: Uint8Array) => {
      const rest = reading.get(fd) ?? new Uint8Array();
      const part = rest.subarray(0, Math.min(100, into.length));
      into.set(part);
      reading.set(fd, rest.subarray(part.length));
      return part.length;
    },
    faccessat2: (_dirfd: number, path: string) => (path in files ? 0 : -ENOENT),
  });
  return host;
}

const directoryOf = (host: ReturnType<typeof scriptedSys>) =>
  new ContainerDirectory(host.sys, new OwnedFd(host.sys, 1000 as Fd), "/run/x", "x");

function read(text: string): Known | undefined {
  const host = world({ "state.jsonl": text });
  const record = directoryOf(host).read();
  expect(host.open()).toEqual([]);
  return record;
}

const line = (value: object) => `${JSON.stringify(value)}\n`;

describe("reading a record", () => {
  test("later lines replace fields of those before", () => {
    const text = line(RECORD) + line({ pid: 7, startTime: "12" }) + line({ ready: true });
    expect(read(text)).toEqual({ ...RECORD, pid: 7, startTime: "12", ready: true });
  });

  test("a line that is just being written does not count", () => {
    expect(read(`${line(RECORD)}{"pid":7,"sta`)).toEqual(RECORD);
  });

  test("no file and an empty one: a crash came first", () => {
    expect(directoryOf(world({})).read()).toBeUndefined();
    expect(read("")).toBeUndefined();
  });

  const bad: [name: string, text: string][] = [
    ["half a first line", '{"ociVersion":"1.3.0"'],
    ["no JSON", "garbage\n"],
    ["zeros", "\0\0\0\n"],
    ["a list", "[]\n"],
    ["null", "null\n"],
    ["a field too few", line({ ...RECORD, bundle: undefined })],
    ["another container", line({ ...RECORD, id: "y" })],
    ["a pid that is a text", line({ ...RECORD, pid: "7" })],
    ["the pid of everybody", line({ ...RECORD, pid: -1 })],
    ["the pid of the machine's first process", line({ ...RECORD, pid: 1 })],
    ["half a pid", line({ ...RECORD, pid: 7.5 })],
    ["a start time that is a number", line({ ...RECORD, pid: 7, startTime: 12 })],
    ["no word of being ready", line({ ...RECORD, ready: undefined })],
    ["no cgroup", line({ ...RECORD, cgroup: undefined })],
    [
      "a cgroup outside of its mount",
      line({
        ...RECORD,
        cgroup: {
          mode: "v2",
          dirs: [{ version: 2, controllers: [], mountpoint: "/c", path: "../x", made: true }],
        },
      }),
    ],
  ];
  const path = "/sys/fs/resctrl/x";
  const fields: [name: string, value: unknown][] = [
    ["hooks", []],
    ["hooks", { poststart: [], poststop: [{ path: 1, args: [] }] }],
    ["agent", "/run/agent"],
    ["agent", { path: "agent" }],
    ["agent", { path: "/run/agent\0" }],
    ["agent", { path: "/run/agent", metadata: 1 }],
    ["resctrl", [path]],
    ["resctrl", { join: path, remove: [] }],
    ["resctrl", { join: [path] }],
    ["resctrl", { join: ["x"], remove: [] }],
    ["resctrl", { join: [], remove: ["/sys/fs/resctrl/../../../etc"] }],
    ["resctrl", { join: [], remove: [path, path, path] }],
    ["sharedPids", false],
    ["annotations", { a: 1 }],
  ];
  test.each(fields)("%s that is %j is a damaged state", (name, value) => {
    expect(() => read(line({ ...RECORD, [name]: value }))).toThrow("Cannot read the state");
  });

  test("fields that few containers have", () => {
    const remove = [`${path}/mon_groups/x`, path];
    const record = { ...RECORD, resctrl: { join: [path], remove }, agent: { path: "/a/../b" } };
    expect(read(line(record))).toEqual(record);
  });

  test.each(bad)("%s is a damaged state", (_name, text) => {
    let code: unknown;
    try {
      read(text);
    } catch (error) {
      code = (error as { code?: unknown }).code;
    }
    expect(code).toBe("corrupt");
  });
});

describe("directories of containers", () => {
  test("an id that is taken is an error, with the words engines look for", () => {
    const { sys } = scriptedSys({ mkdirat: () => -EEXIST });
    expect(() => createDirectory(sys, "/run/x", "a")).toThrow(
      "container with given ID already exists",
    );
  });

  test("all directories above are made, for us alone", () => {
    const { sys, calls } = scriptedSys({});
    createDirectory(sys, "/run/t", "a");
    const made = calls
      .filter(([name]) => name === "mkdirat")
      .map(([, , path, mode]) => [path, mode]);
    expect(made).toEqual([
      ["/run", 0o700],
      ["/run/t", 0o700],
      ["/run/t/a", 0o700],
    ]);
  });

  test("one that is not there", () => {
    const { sys } = scriptedSys({ openat2: () => -ENOENT });
    expect(findDirectory(sys, "/run/x", "a")).toBeUndefined();
    expect(() => openDirectory(sys, "/run/x", "a")).toThrow("container does not exist");
  });
});

describe("a process", () => {
  const stat = (name: string, state: string, start: string) =>
    `7 (${name}) ${state} 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 ${start} 0 0\n`;

  test.each([
    ["sh", "S", true],
    ["a ) b (c", "R", true],
    [") Z 1 (", "S", true],
    ["sh", "Z", false],
    ["sh", "X", false],
  ])("named %j in state %s", (name, state, alive) => {
    const { sys } = world({ "/proc/7/stat": stat(name, state, "4711") });
    expect(processStart(sys, 7)).toEqual({ startTime: "4711", alive });
  });

  test("that is gone, also between open and read", () => {
    expect(processStart(world({}).sys, 7)).toBeUndefined();
    const { sys } = scriptedSys({ read: () => -ESRCH });
    expect(processStart(sys, 7)).toBeUndefined();
  });

  test("whose number was given to another is not ours", () => {
    const { sys } = world({ "/proc/7/stat": stat("sh", "S", "4711") });
    expect(isAlive(sys, { ...RECORD, pid: 7, startTime: "4711" })).toBeTrue();
    expect(isAlive(sys, { ...RECORD, pid: 7, startTime: "4712" })).toBeFalse();
    expect(isAlive(sys, { ...RECORD, pid: 7 })).toBeFalse();
    expect(isAlive(sys, RECORD)).toBeFalse();
  });

  const running = { ...RECORD, pid: 7, startTime: "1" };
  const cases: [name: string, record: Known, files: string[], want: string][] = [
    ["not made yet", RECORD, [], "creating"],
    ["being set up", running, ["stat"], "creating"],
    ["waiting for the word", { ...running, ready: true }, ["stat", "socket"], "created"],
    ["with the word given", { ...running, ready: true }, ["stat"], "running"],
    ["ended", { ...running, ready: true }, ["socket"], "stopped"],
    ["ended while it was set up", running, [], "stopped"],
    ["another's number", { ...running, ready: true, startTime: "2" }, ["stat"], "stopped"],
  ];
  test.each(cases)("%s", (_name, record, files, want) => {
    const host = world({
      ...(files.includes("stat") ? { "/proc/7/stat": stat("sh", "S", "1") } : {}),
      ...(files.includes("socket") ? { "start.sock": "" } : {}),
    });
    expect(statusOf(host.sys, directoryOf(host), record)).toBe(want as "creating");
  });
});

describe("what hooks and callers are told", () => {
  const record = { ...RECORD, pid: 7, annotations: { a: "b" } };

  test("the pid while there is a process", () => {
    expect(toState(record, "running")).toEqual({
      ociVersion: "1.3.0",
      id: "x",
      status: "running",
      bundle: "/bundle",
      pid: 7,
      annotations: { a: "b" },
    });
  });

  test("none when it has stopped or is not there yet, and no empty annotations", () => {
    const base = { ociVersion: "1.3.0", id: "x", bundle: "/bundle" };
    expect(toState({ ...record, annotations: {} }, "stopped")).toEqual({
      ...base,
      status: "stopped",
    });
    expect(toState(RECORD, "creating")).toEqual({ ...base, status: "creating" });
  });
});

/** Answers of getdents64(2): all entries at once, then none. */
function entriesOnce(names: readonly string[]) {
  let isRead = false;
  return (_fd: number, into: Uint8Array): number => {
    if (isRead) return 0;
    isRead = true;
    let at = 0;
    for (const name of names) {
      const length = 19 + name.length + 1;
      new DataView(into.buffer).setUint16(at + 16, length, true);
      into.set(encodeUtf8(`${name}\0`), at + 19);
      at += length;
    }
    return at;
  };
}

describe("a container's directory", () => {
  const names = (host: ReturnType<typeof scriptedSys>) =>
    host.calls.filter(([call]) => call === "unlinkat").map(([, , name]) => name);

  test("says what of it cannot be removed, and keeps the record", () => {
    const host = scriptedSys({
      getdents64: entriesOnce(["state.jsonl", "start.sock"]),
      unlinkat: (_dir: number, name: string) => (name === "start.sock" ? -EBUSY : 0),
    });
    expect(() => directoryOf(host).remove()).toThrow('unlinkat "start.sock"');
    expect(names(host)).toEqual(["start.sock"]);
  });

  test("goes, also where somebody else removes it meanwhile", () => {
    const host = scriptedSys({
      getdents64: entriesOnce(["state.jsonl", "start.sock"]),
      unlinkat: () => -ENOENT,
    });
    directoryOf(host).remove();
    expect(names(host)).toEqual(["start.sock", "state.jsonl", "/run/x/x"]);
  });
});
