import { describe, expect, test } from "bun:test";
import { TareError } from "./error.ts";
import { parseConfig, parseResources } from "./oci-runtime-parse.ts";
import { parseProcess } from "./oci-runtime-parse-process.ts";

type Json = Record<string, unknown>;

const minimal: Json = { ociVersion: "1.0.2", root: { path: "rootfs" } };
const process: Json = { cwd: "/", args: ["sh"], user: { uid: 0, gid: 0 } };

function configText(more: Json): string {
  return JSON.stringify({ ...minimal, ...more });
}

function linuxText(linux: Json): string {
  return configText({ linux });
}

/** JSON with `literal` in place of the string "@", for numbers that JavaScript cannot hold. */
function withLiteral(value: Json, literal: string): string {
  return JSON.stringify(value).replace('"@"', literal);
}

/** The message without its head, or "no error". */
function faultOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (!(error instanceof TareError) || error.code !== "bad_input") throw error;
    return error.message.replace("Cannot read config.json: ", "");
  }
  return "no error";
}

describe("a minimal configuration", () => {
  test("has empty defaults everywhere", () => {
    expect(parseConfig(configText({}))).toStrictEqual({
      ociVersion: "1.0.2",
      root: { path: "rootfs", readonly: false },
      mounts: [],
      hooks: {
        prestart: [],
        createRuntime: [],
        createContainer: [],
        startContainer: [],
        poststart: [],
        poststop: [],
      },
      annotations: new Map(),
      linux: {
        namespaces: [],
        uidMappings: [],
        gidMappings: [],
        timeOffsets: {},
        devices: [],
        netDevices: new Map(),
        resources: {
          devices: [],
          memory: {},
          cpu: {},
          blockIO: {
            weightDevice: [],
            throttleReadBpsDevice: [],
            throttleWriteBpsDevice: [],
            throttleReadIOPSDevice: [],
            throttleWriteIOPSDevice: [],
          },
          hugepageLimits: [],
          network: { priorities: [] },
          rdma: new Map(),
          unified: new Map(),
        },
        sysctl: new Map(),
        maskedPaths: [],
        readonlyPaths: [],
      },
    });
  });

  test("may have nulls where the Go tools write them", () => {
    const text = configText({
      process: null,
      hostname: null,
      mounts: null,
      hooks: { prestart: null },
      annotations: null,
      linux: { namespaces: null, resources: { memory: null, devices: null }, seccomp: null },
      windows: { anything: [1] },
    });
    expect(parseConfig(text)).toStrictEqual(parseConfig(configText({ linux: {}, hooks: {} })));
  });

  test("may have a process with nothing but its cwd", () => {
    expect(parseConfig(configText({ process: { cwd: "/" } })).process).toStrictEqual({
      terminal: false,
      cwd: "/",
      env: [],
      args: [],
      rlimits: [],
      capabilities: { bounding: [], permitted: [], inheritable: [], effective: [], ambient: [] },
      noNewPrivileges: false,
      user: { uid: 0, gid: 0, additionalGids: [] },
    });
  });
});

test("every field of a process arrives", () => {
  const text = configText({
    process: {
      terminal: true,
      consoleSize: { height: 25, width: 80 },
      cwd: "/root",
      env: ["A=b", "odd", ""],
      args: ["sh", "-c", ""],
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 1024, hard: 2048 }],
      apparmorProfile: "p",
      selinuxLabel: "l",
      capabilities: { bounding: ["CAP_KILL"], ambient: ["CAP_CHOWN"] },
      noNewPrivileges: true,
      oomScoreAdj: -500,
      scheduler: { policy: "SCHED_DEADLINE", flags: ["SCHED_FLAG_RECLAIM"], runtime: 7 },
      ioPriority: { class: "IOPRIO_CLASS_IDLE", priority: 4 },
      execCPUAffinity: { initial: "0-3,7", final: "0" },
      user: { uid: 1, gid: 2, umask: 63, additionalGids: [5, 6] },
    },
  });
  expect(parseConfig(text).process).toStrictEqual({
    terminal: true,
    consoleSize: { height: 25, width: 80 },
    cwd: "/root",
    env: ["A=b", "odd", ""],
    args: ["sh", "-c", ""],
    rlimits: [{ type: "RLIMIT_NOFILE", soft: 1024n, hard: 2048n }],
    apparmorProfile: "p",
    selinuxLabel: "l",
    capabilities: {
      bounding: ["CAP_KILL"],
      permitted: [],
      inheritable: [],
      effective: [],
      ambient: ["CAP_CHOWN"],
    },
    noNewPrivileges: true,
    oomScoreAdj: -500,
    scheduler: {
      policy: "SCHED_DEADLINE",
      nice: 0,
      priority: 0,
      flags: ["SCHED_FLAG_RECLAIM"],
      runtime: 7n,
      period: 0n,
    },
    ioPriority: { class: "IOPRIO_CLASS_IDLE", priority: 4 },
    execCPUAffinity: { initial: "0-3,7", final: "0" },
    user: { uid: 1, gid: 2, additionalGids: [5, 6], umask: 63 },
  });
});

test("every field beside process and linux arrives", () => {
  const mapping = { containerID: 0, hostID: 1000, size: 10 };
  const mount = {
    destination: "/m",
    type: "tmpfs",
    source: "tmpfs",
    options: ["size=1k", "odd"],
    uidMappings: [mapping],
    gidMappings: [mapping],
  };
  const hook = { path: "/h", args: ["h"], env: ["A=1"], timeout: 3 };
  const config = parseConfig(
    configText({
      root: { path: "/r", readonly: true },
      hostname: "h",
      domainname: "d",
      mounts: [{ destination: "/proc" }, mount],
      hooks: { createRuntime: [hook], poststop: [{ path: "/b" }] },
      annotations: JSON.parse('{"__proto__":"a","constructor":""}'),
    }),
  );
  expect(config.root).toStrictEqual({ path: "/r", readonly: true });
  expect([config.hostname, config.domainname]).toEqual(["h", "d"]);
  expect(config.mounts[0]).toStrictEqual({
    destination: "/proc",
    options: [],
    uidMappings: [],
    gidMappings: [],
  });
  expect(config.mounts[1]).toEqual(mount);
  expect(config.hooks.createRuntime).toEqual([hook]);
  expect(config.hooks.poststop).toStrictEqual([{ path: "/b", args: [] }]);
  expect([...config.annotations]).toEqual([
    ["__proto__", "a"],
    ["constructor", ""],
  ]);
});

test("every field of linux arrives", () => {
  const mapping = { containerID: 0, hostID: 4294967294, size: 2 };
  const linux = parseConfig(
    linuxText({
      namespaces: [
        { type: "pid", path: "/proc/1/ns/pid" },
        { type: "mount", path: "" },
      ],
      uidMappings: [mapping],
      gidMappings: [mapping],
      timeOffsets: { boottime: { secs: -5, nanosecs: 7 }, monotonic: {} },
      devices: [
        { type: "c", path: "/dev/f", major: 10, minor: 229, fileMode: 0o20666, uid: 1, gid: 2 },
        { type: "p", path: "/dev/p" },
      ],
      netDevices: { eth0: { name: "c%d" }, eth1: {} },
      cgroupsPath: "/a/b",
      intelRdt: { closID: "c", schemata: ["L3:0=f"], enableMonitoring: true },
      memoryPolicy: { mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_STATIC_NODES"] },
      sysctl: { "net.core.somaxconn": "256" },
      rootfsPropagation: "rslave",
      maskedPaths: ["/proc/kcore"],
      readonlyPaths: ["/proc/sys"],
      mountLabel: "m",
      personality: { domain: "LINUX32" },
    }),
  ).linux;
  expect(linux.namespaces).toStrictEqual([
    { type: "pid", path: "/proc/1/ns/pid" },
    { type: "mount" },
  ]);
  expect(linux.uidMappings).toEqual([mapping]);
  expect(linux.timeOffsets).toStrictEqual({
    boottime: { secs: -5n, nanosecs: 7 },
    monotonic: { secs: 0n, nanosecs: 0 },
  });
  expect(linux.devices).toStrictEqual([
    { type: "c", path: "/dev/f", major: 10, minor: 229, fileMode: 0o666, uid: 1, gid: 2 },
    { type: "p", path: "/dev/p", major: 0, minor: 0 },
  ]);
  expect([...linux.netDevices]).toEqual([
    ["eth0", { name: "c%d" }],
    ["eth1", {}],
  ]);
  expect(linux.intelRdt).toStrictEqual({
    closID: "c",
    schemata: ["L3:0=f"],
    enableMonitoring: true,
  });
  expect(linux.memoryPolicy).toEqual({
    mode: "MPOL_BIND",
    nodes: "0",
    flags: ["MPOL_F_STATIC_NODES"],
  });
  expect(linux.sysctl.get("net.core.somaxconn")).toBe("256");
  expect(linux.personality).toEqual({ domain: "LINUX32", flags: [] });
  const { cgroupsPath, rootfsPropagation, mountLabel } = linux;
  expect([cgroupsPath, rootfsPropagation, mountLabel]).toEqual(["/a/b", "rslave", "m"]);
  expect([linux.maskedPaths, linux.readonlyPaths]).toEqual([["/proc/kcore"], ["/proc/sys"]]);
});

test("every field of the resources arrives", () => {
  const text = JSON.stringify({
    devices: [
      { allow: false },
      { allow: true, type: "c", major: 1, minor: -1, access: "rw" },
      { allow: false, type: "", access: "m" },
    ],
    memory: { limit: -1, swap: 5, swappiness: 60, disableOOMKiller: true, useHierarchy: false },
    cpu: { shares: 2, quota: -1, burst: 0, period: 100000, cpus: "0-1", mems: "", idle: 1 },
    pids: { limit: 0 },
    blockIO: {
      weight: 10,
      weightDevice: [{ major: 8, minor: 0, weight: 500 }],
      throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 600 }],
    },
    hugepageLimits: [{ pagesize: "2MB", limit: 9 }],
    network: { classID: 1048577, priorities: [{ name: "eth0", priority: 500 }] },
    rdma: { mlx5_1: { hcaHandles: 3 } },
    unified: { "memory.high": "1" },
  });
  const resources = parseResources(text);
  expect(resources.devices).toStrictEqual([
    { allow: false, type: "a", access: "rwm" },
    { allow: true, type: "c", access: "rw", major: 1 },
    { allow: false, type: "a", access: "m" },
  ]);
  expect(resources.memory).toStrictEqual({
    limit: -1n,
    swap: 5n,
    swappiness: 60n,
    disableOOMKiller: true,
    useHierarchy: false,
  });
  expect(resources.cpu).toStrictEqual({
    shares: 2n,
    quota: -1n,
    burst: 0n,
    period: 100000n,
    cpus: "0-1",
    idle: 1n,
  });
  expect(resources.pids).toEqual({ limit: 0n });
  expect(resources.blockIO.weight).toBe(10);
  expect(resources.blockIO.weightDevice).toEqual([{ major: 8, minor: 0, weight: 500 }]);
  expect(resources.blockIO.throttleReadBpsDevice).toEqual([{ major: 8, minor: 0, rate: 600n }]);
  expect(resources.hugepageLimits).toEqual([{ pageSize: "2MB", limit: 9n }]);
  expect(resources.network).toEqual({
    classID: 1048577,
    priorities: [{ name: "eth0", priority: 500 }],
  });
  expect([...resources.rdma]).toEqual([["mlx5_1", { hcaHandles: 3 }]]);
  expect([...resources.unified]).toEqual([["memory.high", "1"]]);
});

describe("seccomp", () => {
  const read = (seccomp: Json) => parseConfig(linuxText({ seccomp })).linux.seccomp;

  test("every field arrives", () => {
    const arg = { index: 5, value: 1, op: "SCMP_CMP_MASKED_EQ" };
    const rule = { names: ["a", "b"], action: "SCMP_ACT_TRACE", errnoRet: 7, args: [arg] };
    const seccomp = {
      defaultAction: "SCMP_ACT_ERRNO",
      defaultErrnoRet: 38,
      architectures: ["SCMP_ARCH_X86_64"],
      flags: [],
      listenerPath: "/l",
      listenerMetadata: "m",
      syscalls: [rule],
    };
    expect(read(seccomp)).toEqual({
      ...seccomp,
      syscalls: [{ ...rule, args: [{ ...arg, value: 1n, valueTwo: 0n }] }],
    } as unknown as ReturnType<typeof read>);
  });

  test("absent flags are the default of the other runtimes, empty ones are none", () => {
    const flags = (more: Json) => read({ defaultAction: "SCMP_ACT_ALLOW", ...more })?.flags;
    expect(flags({})).toEqual(["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]);
    expect(flags({ flags: [] })).toEqual([]);
  });

  test("an empty object is no filter", () => {
    expect(read({})).toBeUndefined();
  });
});

const wide: [literal: string, value: bigint | string][] = [
  ["9223372036854775807", 2n ** 63n - 1n],
  ["-9223372036854775808", -(2n ** 63n)],
  ["9007199254740993", 2n ** 53n + 1n],
  ["-1", -1n],
  ["0", 0n],
  ["1e3", 1000n],
  ["9223372036854775808", "want an integer from -9223372036854775808 to 9223372036854775807"],
  ["1.5", "want an integer"],
  ["1e300", "want an integer"],
  ["99999999999999999999999", "want an integer"],
  ['"5"', "want an integer"],
  ["true", "want an integer"],
  ["{}", "want an integer"],
];

test.each(wide)("a signed field of 64 bits with %s", (literal, want) => {
  const text = withLiteral({ memory: { limit: "@" } }, literal);
  if (typeof want === "bigint") expect(parseResources(text).memory.limit).toBe(want);
  else expect(faultOf(() => parseResources(text))).toContain(`memory.limit: ${want}`);
});

const unsigned: [literal: string, value: bigint | string][] = [
  ["18446744073709551615", 2n ** 64n - 1n],
  ["18446744073709551616", "want an integer from 0 to 18446744073709551615"],
  ["-1", "want an integer from 0 to 18446744073709551615, got -1"],
  ["null", "want an integer, got null"],
];

test.each(unsigned)("an unsigned field of 64 bits with %s", (literal, want) => {
  const rlimits = [{ type: "RLIMIT_AS", hard: 1, soft: "@" }];
  const text = withLiteral({ ...minimal, process: { ...process, rlimits } }, literal);
  if (typeof want === "bigint") expect(parseConfig(text).process?.rlimits[0]?.soft).toBe(want);
  else expect(faultOf(() => parseConfig(text))).toContain(`process.rlimits[0].soft: ${want}`);
});

const ids: [literal: string, value: number | string][] = [
  ["4294967294", 4294967294],
  ["4294967295", "want an integer from 0 to 4294967294, got 4294967295"],
  ["4294967296", "want an integer from 0 to 4294967294, got 4294967296"],
  ["18446744073709551616", "want an integer from 0 to 4294967294, got 18446744073709551616"],
  ["-1", "want an integer from 0 to 4294967294, got -1"],
  ["1.5", "want an integer from 0 to 4294967294, got 1.5"],
  ['"root"', 'want an integer from 0 to 4294967294, got "root"'],
];

test.each(ids)("a user id of %s", (literal, want) => {
  const text = withLiteral({ ...minimal, process: { ...process, user: { uid: "@" } } }, literal);
  if (typeof want === "number") expect(parseConfig(text).process?.user.uid).toBe(want);
  else expect(faultOf(() => parseConfig(text))).toBe(`process.user.uid: ${want}`);
});

const versions: [version: unknown, isGood: boolean][] = [
  ["1.0.0", true],
  ["1.0.2-dev", true],
  ["1.3.0", true],
  ["1.99.0-rc.1+build.5", true],
  ["1.0", true],
  ["0.9.0", false],
  ["2.0.0", false],
  ["10.0.0", false],
  ["1", false],
  ["1.0.2 ", false],
  [`1.0.0-${"a".repeat(80)}`, false],
  ["", false],
  [1, false],
  [undefined, false],
];

test.each(versions)("ociVersion %p", (ociVersion, isGood) => {
  const fault = faultOf(() => parseConfig(configText({ ociVersion })));
  expect(fault === "no error").toBe(isGood);
  expect(fault.startsWith(isGood ? "no error" : "ociVersion: ")).toBe(true);
});

const faults: [more: Json, message: string][] = [
  [{ root: undefined }, "root: want an object, got nothing"],
  [{ root: {} }, "root.path: want a string, got nothing"],
  [{ root: { path: "" } }, "root.path: must not be empty"],
  [{ root: { path: 1 } }, "root.path: want a string, got 1"],
  [{ root: { path: "r", readonly: "yes" } }, 'root.readonly: want true or false, got "yes"'],
  [{ hostname: 7 }, "hostname: want a string, got 7"],
  [{ process: [] }, "process: want an object, got an array"],
  [{ process: {} }, "process.cwd: want a string, got nothing"],
  [{ process: { cwd: "tmp" } }, 'process.cwd: want an absolute path, got "tmp"'],
  [{ process: { cwd: "/", args: "sh" } }, 'process.args: want an array of strings, got "sh"'],
  [{ process: { cwd: "/", env: ["A=1", 2] } }, "process.env[1]: want a string, got 2"],
  [{ process: { cwd: "/", user: 0 } }, "process.user: want an object, got 0"],
  [{ process: { cwd: "/", terminal: 1 } }, "process.terminal: want true or false, got 1"],
  [{ process: { cwd: "/a\0b" } }, 'process.cwd: "/a\\u0000b" has a NUL in it'],
  [
    { process: { cwd: "/", user: { additionalGids: [1, -1] } } },
    "process.user.additionalGids[1]: want an integer from 0 to 4294967294, got -1",
  ],
  [
    { process: { cwd: "/", consoleSize: { height: 65536, width: 1 } } },
    "process.consoleSize.height: want an integer from 0 to 65535, got 65536",
  ],
  [
    { process: { cwd: "/", oomScoreAdj: 1001 } },
    "process.oomScoreAdj: want an integer from -1000 to 1000, got 1001",
  ],
  [
    {
      process: {
        cwd: "/",
        rlimits: [
          { type: "A", soft: 1, hard: 1 },
          { type: "A", soft: 1, hard: 1 },
        ],
      },
    },
    "process.rlimits: A is there twice",
  ],
  [
    { process: { cwd: "/", scheduler: { policy: "SCHED_BEST" } } },
    "process.scheduler.policy: want one of SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_ISO, SCHED_IDLE, " +
      'SCHED_DEADLINE, got "SCHED_BEST"',
  ],
  [
    { process: { cwd: "/", ioPriority: { class: "IOPRIO_CLASS_RT", priority: 8 } } },
    "process.ioPriority.priority: want an integer from 0 to 7, got 8",
  ],
  [{ mounts: {} }, "mounts: want an array of objects, got an object"],
  [{ mounts: [null] }, "mounts[0]: want an object, got null"],
  [{ mounts: [{ destination: "/a" }, {}] }, "mounts[1].destination: want a string, got nothing"],
  [
    {
      mounts: [{ destination: "/a", uidMappings: [{ containerID: 0, hostID: 0, size: 1 }] }],
    },
    "mounts[0]: uidMappings and gidMappings go together",
  ],
  [{ hooks: { poststop: [{}] } }, "hooks.poststop[0].path: want a string, got nothing"],
  [
    { hooks: { poststop: [{ path: "h" }] } },
    'hooks.poststop[0].path: want an absolute path, got "h"',
  ],
  [
    { hooks: { prestart: [{ path: "/h", timeout: 0 }] } },
    "hooks.prestart[0].timeout: want an integer from 1 to 2147483647, got 0",
  ],
  [{ annotations: { a: 1 } }, "annotations.a: want a string, got 1"],
  [{ annotations: { "": "x" } }, "annotations: a key must not be empty"],
];

test.each(faults)("%j is refused", (more, message) => {
  expect(faultOf(() => parseConfig(configText(more)))).toBe(message);
});

const mapping = { containerID: 0, hostID: 0, size: 1 };
const linuxFaults: [linux: Json, message: string][] = [
  [{ namespaces: [{ type: "pid" }, { type: "pid" }] }, 'namespaces: "pid" is there twice'],
  [
    { namespaces: [{ type: "net" }] },
    'namespaces[0].type: want one of pid, network, mount, ipc, uts, user, cgroup, time, got "net"',
  ],
  [
    { namespaces: [{ type: "pid", path: "ns" }] },
    'namespaces[0].path: want an absolute path, got "ns"',
  ],
  [
    { uidMappings: [{ ...mapping, size: 0 }] },
    "uidMappings[0].size: want an integer from 1 to 4294967295, got 0",
  ],
  [
    { gidMappings: [{ containerID: 4294967295, hostID: 0, size: 2 }] },
    "gidMappings[0]: the range ends above 4294967295",
  ],
  [{ uidMappings: Array(341).fill(mapping) }, "uidMappings: 341 entries, the kernel takes 340"],
  [
    { timeOffsets: { realtime: {} } },
    "timeOffsets.realtime: no such clock; boottime, monotonic are",
  ],
  [
    { devices: [{ type: "c", path: "/d", major: 4096, minor: 0 }] },
    "devices[0].major: want an integer from 0 to 4095, got 4096",
  ],
  [
    { devices: [{ type: "c", path: "/d" }] },
    "devices[0].major: want an integer from 0 to 4095, got nothing",
  ],
  [{ devices: [{ type: "x", path: "/d" }] }, 'devices[0].type: want one of c, b, u, p, got "x"'],
  [{ devices: [{ type: "p", path: "d" }] }, 'devices[0].path: want an absolute path, got "d"'],
  [{ netDevices: { "a/b": {} } }, "netDevices.a/b: no interface name"],
  [
    { netDevices: { a: { name: "0123456789abcdef" } } },
    'netDevices.a.name: "0123456789abcdef" is no interface name',
  ],
  [{ netDevices: { a: { name: 23 } } }, "netDevices.a.name: want a string, got 23"],
  [
    { rootfsPropagation: "public" },
    "rootfsPropagation: want one of private, shared, slave, unbindable, rprivate, rshared, rslave, runbindable, got " +
      '"public"',
  ],
  [{ sysctl: { "kernel.x": 1 } }, "sysctl.kernel.x: want a string, got 1"],
  [{ maskedPaths: ["/a", "b"] }, 'maskedPaths[1]: want an absolute path, got "b"'],
  [{ personality: { domain: "BSD" } }, 'personality.domain: want one of LINUX, LINUX32, got "BSD"'],
  [{ resources: { devices: [{}] } }, "resources.devices[0].allow: want true or false, got nothing"],
  [
    { resources: { devices: [{ allow: true }] } },
    "resources.devices[0].access: a rule that allows must name the access",
  ],
  [
    { resources: { devices: [{ allow: true, access: "rr" }] } },
    'resources.devices[0].access: want some of the letters r, w, m, got "rr"',
  ],
  [
    { resources: { devices: [{ allow: false, type: "u" }] } },
    'resources.devices[0].type: want one of a, b, c, got "u"',
  ],
  [
    { resources: { hugepageLimits: [{ limit: 1, pageSize: "64kB" }] } },
    'resources.hugepageLimits[0].pageSize: want a size such as 2MB or 1GB, got "64kB"',
  ],
  [
    { resources: { unified: { "../cgroup.procs": "1" } } },
    'resources.unified: "../cgroup.procs" is no name of a cgroup file',
  ],
  [
    { resources: { rdma: { m: { hcaHandles: "no" } } } },
    'resources.rdma.m.hcaHandles: want an integer from 0 to 4294967295, got "no"',
  ],
  [
    { resources: { blockIO: { weight: 65536 } } },
    "resources.blockIO.weight: want an integer from 0 to 65535, got 65536",
  ],
  [
    { seccomp: { syscalls: [{ names: [] }] } },
    "seccomp.syscalls[0].names: must have at least one name",
  ],
  [
    { seccomp: { defaultAction: "SCMP_ACT_KILL", defaultErrnoRet: 1 } },
    "seccomp.defaultErrnoRet: SCMP_ACT_KILL has no errno",
  ],
  [
    { seccomp: { defaultAction: "SCMP_ACT_ALLOW", listenerMetadata: "m" } },
    "seccomp.listenerMetadata: needs a listenerPath",
  ],
  [
    {
      seccomp: {
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [
          {
            names: ["a"],
            action: "SCMP_ACT_ERRNO",
            args: [{ index: 6, value: 0, op: "SCMP_CMP_EQ" }],
          },
        ],
      },
    },
    "seccomp.syscalls[0].args[0].index: want an integer from 0 to 5, got 6",
  ],
];

test.each(linuxFaults)("linux %j is refused", (linux, message) => {
  const fault = faultOf(() => parseConfig(linuxText(linux)));
  expect(fault.replace(/^linux\./, "")).toBe(message);
});

const documents: [text: string, message: RegExp][] = [
  ["null", /^want an object, got null$/],
  ["[]", /^want an object, got an array$/],
  ["7", /^want an object, got 7$/],
  ["", /^not valid JSON/],
  ["{]", /^not valid JSON/],
  [`{"a":${"[".repeat(200_000)}`, /^(nested too deeply|not valid JSON)/],
];

test.each(documents)("the text %.20s is no configuration", (text, message) => {
  expect(faultOf(() => parseConfig(text))).toMatch(message);
});

describe("parseProcess", () => {
  const own = { bounding: [], permitted: [], inheritable: [], effective: [], ambient: [] };
  const inherited = { ...own, bounding: ["CAP_KILL"] };

  test("keeps the container's capabilities where it names none", () => {
    const text = JSON.stringify(process);
    expect(parseProcess(text, "p", inherited).capabilities).toEqual(inherited);
    expect(parseProcess(text).capabilities).toEqual(own);
    const named = JSON.stringify({ ...process, capabilities: {} });
    expect(parseProcess(named, "p", inherited).capabilities).toEqual(own);
  });

  test("names the file in its errors", () => {
    const message = "Cannot read p: cwd: want a string, got nothing";
    expect(faultOf(() => parseProcess("{}", "p"))).toBe(message);
  });
});

test("an unknown letter makes a denial of devices wider, and a permission an error", () => {
  const read = (allow: boolean, access: string) =>
    parseResources(JSON.stringify({ devices: [{ allow, access }] })).devices[0]?.access;
  expect(read(false, "rwa")).toBe("rwm");
  expect(read(false, "rw")).toBe("rw");
  expect(() => read(true, "rwa")).toThrow("access");
  expect(read(false, "")).toBe("rwm");
});
