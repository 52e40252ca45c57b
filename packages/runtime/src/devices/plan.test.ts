import { describe, expect, test } from "bun:test";
import type { Config } from "@tare/spec/oci-runtime.ts";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import { EEXIST, ENOSYS } from "../sys/abi-errno.ts";
import { fillStat, scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { makeDevice } from "./apply.ts";
import { planDevices, planTakenDevices } from "./plan.ts";

type Fields = { readonly [name: string]: unknown };

function configOf(fields: Fields): Config {
  return parseConfig(JSON.stringify({ ociVersion: "1.3.0", root: { path: "r" }, ...fields }));
}

const pathsOf = (fields: Fields) =>
  planDevices(configOf(fields)).map((step) => ("path" in step ? step.path : step.op));

const DEFAULTS = ["null", "zero", "full", "random", "urandom", "tty"].map((name) => `/dev/${name}`);
const LINKS = ["fd", "stdin", "stdout", "stderr", "ptmx"].map((name) => `/dev/${name}`);
const USERNS = {
  namespaces: [{ type: "user" }],
  uidMappings: [{ containerID: 0, hostID: 1, size: 1 }],
  gidMappings: [{ containerID: 0, hostID: 1, size: 1 }],
};
const S_IFCHR = 0o020000;
const TERMINAL = { terminal: true, cwd: "/", user: { uid: 0, gid: 0 } };

describe("devices", () => {
  test("the six of the specification, then the links", () => {
    expect(pathsOf({})).toEqual([...DEFAULTS, ...LINKS]);
  });

  test("their numbers and mode", () => {
    const made = planDevices(configOf({})).flatMap((step) =>
      step.op === "device" ? [`${step.type} ${step.major}:${step.minor} ${step.mode}`] : [],
    );
    const rw = 0o666;
    expect(made).toEqual([
      `c 1:3 ${rw}`,
      `c 1:5 ${rw}`,
      `c 1:7 ${rw}`,
      `c 1:8 ${rw}`,
      `c 1:9 ${rw}`,
      `c 5:0 ${rw}`,
    ]);
  });

  test("a configured one comes after, or takes the place of a default", () => {
    const devices = [
      { path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o600, uid: 7, gid: 8 },
      { path: "/dev/../dev/null", type: "c", major: 1, minor: 3, fileMode: 0o400 },
    ];
    const steps = planDevices(configOf({ linux: { devices } }));
    const nodes = steps.flatMap((step) => (step.op === "device" ? [step] : []));
    expect(nodes.map(({ path }) => path)).toEqual([...DEFAULTS, "/dev/fuse"]);
    expect(nodes[0]?.mode).toBe(0o400);
    const { why: _why, ...fuse } = nodes[6] ?? { why: "" };
    expect(fuse).toEqual({
      op: "device",
      path: "/dev/fuse",
      type: "c",
      major: 10,
      minor: 229,
      mode: 0o600,
      uid: 7,
      gid: 8,
      given: { mode: 0o600, uid: 7, gid: 8 },
    });
    expect(nodes[0]?.given).toEqual({ mode: 0o400 });
    expect(nodes[1]?.given).toEqual({});
  });

  test("the root is no device", () => {
    const devices = [{ path: "/a/..", type: "c", major: 1, minor: 3 }];
    expect(() => planDevices(configOf({ linux: { devices } }))).toThrow("it is the root");
  });

  test.each([
    [{ destination: "/dev", type: "bind", source: "/dev" }],
    [{ destination: "/dev/", source: "/dev", options: ["rbind"] }],
    [{ destination: "/x/../dev", type: "none", source: "/dev", options: ["bind"] }],
  ])("a bind on /dev brings its own: %j", (mount) => {
    expect(pathsOf({ mounts: [mount] })).toEqual([]);
  });

  test("a tmpfs on /dev, or a bind below it, does not", () => {
    expect(pathsOf({ mounts: [{ destination: "/dev", type: "tmpfs" }] })).toHaveLength(11);
    const below = { destination: "/dev/x", type: "bind", source: "/x", options: ["bind"] };
    expect(pathsOf({ mounts: [below] })).toHaveLength(11);
  });
});

describe("a node that is there already", () => {
  const adopt = (given: { mode?: number; uid?: number }, table = {}) => {
    const host = scriptedSys({
      mknodat: () => -EEXIST,
      statx: (_fd: number, _path: string, _flags: number, _mask: number, into: Uint8Array) =>
        fillStat(into, { mode: S_IFCHR | 0o600, rdev: [10, 229] }),
      ...table,
    });
    const node = { op: "device", type: "c", major: 10, minor: 229, path: "/dev/fuse" } as const;
    const step = { ...node, mode: 0o666, uid: 0, gid: 0, given, why: "" };
    makeDevice(host.sys, { root: 1000 as Fd, procfs: 1001 as Fd }, step, new Map());
    return host.calls.filter(([name]) => /^fch/.test(String(name)));
  };

  test("keeps what the configuration does not name, or has already", () => {
    expect(adopt({})).toEqual([]);
    expect(adopt({ mode: 0o600, uid: 0 })).toEqual([]);
  });

  test("gets the rest by descriptor, the mode last", () => {
    const calls = adopt({ mode: 0o4640, uid: 7 });
    expect(calls.map(([name]) => name)).toEqual(["fchownat", "fchmodat2"]);
    for (const [, , path] of calls) expect(path).toBe("");
  });

  test("and its mode through procfs, where the kernel is older than 6.6", () => {
    const calls = adopt({ mode: 0o640 }, { fchmodat2: () => -ENOSYS });
    const [fd, last] = [calls[0]?.[1], calls.at(-1)];
    expect(last).toEqual(["fchmodat", 1001, `self/fd/${fd}`, 0o640]);
  });
});

describe("the console", () => {
  test("comes last, with its size", () => {
    const process = { ...TERMINAL, consoleSize: { width: 80, height: 24 } };
    const last = planDevices(configOf({ process })).at(-1);
    expect(last?.op === "console" ? [last.width, last.height] : []).toEqual([80, 24]);
  });

  test("is there too where /dev is the host's", () => {
    const mounts = [{ destination: "/dev", type: "bind", source: "/dev", options: ["rbind"] }];
    expect(pathsOf({ mounts, process: TERMINAL })).toEqual(["console"]);
  });

  test("is not there without a terminal, whatever size is configured", () => {
    const process = { ...TERMINAL, terminal: false, consoleSize: { width: 8, height: 2 } };
    expect(pathsOf({ process })).not.toContain("console");
  });
});

describe("devices taken from the host", () => {
  test("in a user namespace all but FIFOs, elsewhere none", () => {
    const devices = [
      { path: "/dev/pipe", type: "p" },
      { path: "/dev/fuse", type: "c", major: 10, minor: 229 },
    ];
    const [step] = planTakenDevices(configOf({ linux: { ...USERNS, devices } }), false);
    expect(step?.op === "take-devices" ? step.paths : []).toEqual([...DEFAULTS, "/dev/fuse"]);
    expect(planTakenDevices(configOf({ linux: { devices } }), false)).toEqual([]);
    const [taken] = planTakenDevices(configOf({ linux: { devices } }), true);
    expect(taken?.op).toBe("take-devices");
  });

  const S_IFREG = 0o100000;
  const bind = (mode: number, rdev: readonly [number, number]) => {
    const host = scriptedSys({
      statx: (_fd: number, _path: string, _flags: number, _mask: number, into: Uint8Array) =>
        fillStat(into, { mode, rdev }),
    });
    const device = {
      op: "device",
      type: "c",
      major: 10,
      minor: 229,
      mode: 0,
      uid: 0,
      gid: 0,
      given: {},
    } as const;
    const step = { ...device, path: "/dev/fuse", why: "" };
    const places = { root: 1000 as Fd, procfs: 1001 as Fd };
    makeDevice(host.sys, places, step, new Map([["/dev/fuse", host.give() as Fd]]));
    return host;
  };

  test("are bound where they have the configured number", () => {
    const { calls, open } = bind(S_IFCHR, [10, 229]);
    expect(calls.some(([name]) => name === "move_mount")).toBeTrue();
    expect(open()).toEqual([]);
  });

  test("and refused where they are something else", () => {
    expect(() => bind(S_IFCHR, [8, 0])).toThrow("the host has something else there");
    expect(() => bind(S_IFREG, [10, 229])).toThrow("the host has something else there");
  });
});
