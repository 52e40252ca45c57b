import { describe, expect, test } from "bun:test";
import type { DeviceRule, Resources } from "@tare/spec/oci-runtime.ts";
import type { CgroupHost, Hierarchy } from "./host.ts";
import { type CgroupAsk, planCgroup } from "./plan.ts";
import { toShell } from "./shell.ts";
import { parseCgroupState, plannedState } from "./state.ts";

function v1(name: string): Hierarchy {
  const mountpoint = `/sys/fs/cgroup/${name.replace("name=", "")}`;
  return { version: 1, controllers: name.split(","), mountpoint, mountRoot: "/", ownPath: "/job" };
}
function v2(mountpoint: string, ...controllers: string[]): Hierarchy {
  return { version: 2, controllers, mountpoint, mountRoot: "/", ownPath: "/a.slice/job" };
}
const HYBRID: CgroupHost = {
  mode: "hybrid",
  hierarchies: [
    ...["cpuset", "memory", "devices", "pids", "name=systemd"].map(v1),
    v2("/sys/fs/cgroup/unified", "hugetlb"),
  ],
};
const V2: CgroupHost = {
  mode: "v2",
  hierarchies: [v2("/sys/fs/cgroup", "cpu", "io", "memory", "pids")],
};
const NONE: CgroupHost = { mode: "none", hierarchies: [] };
const ALLOW_ALL: DeviceRule = { allow: true, type: "a", access: "rwm" };

function ask(host: CgroupHost, asked: object = {}, more: object = {}): CgroupAsk {
  const resources = {
    devices: [ALLOW_ALL],
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
    ...asked,
  } as unknown as Resources;
  return { host, cgroupsPath: "/tare/c1", id: "c1", resources, rootless: false, ...more };
}

const shell = (asked: CgroupAsk): string => toShell(planCgroup(asked)).join("\n");

test("a plan on v1, as a person would type it", () => {
  const devices = [{ allow: false, type: "a", access: "rwm" }];
  const asked = ask(HYBRID, { memory: { limit: 104857600n }, cpu: { mems: "0" }, devices });
  expect(shell(asked)).toBe(`# its own cgroup of cpuset
mkdir -p /sys/fs/cgroup/cpuset/tare/c1
cat /sys/fs/cgroup/cpuset/tare/cpuset.cpus > /sys/fs/cgroup/cpuset/tare/c1/cpuset.cpus
# its own cgroup of memory
mkdir -p /sys/fs/cgroup/memory/tare/c1
# its own cgroup of devices
mkdir -p /sys/fs/cgroup/devices/tare/c1
# its own cgroup of pids
mkdir -p /sys/fs/cgroup/pids/tare/c1
# its own cgroup of name=systemd
mkdir -p /sys/fs/cgroup/systemd/tare/c1
# its own cgroup of v2
mkdir -p /sys/fs/cgroup/unified/tare/c1
# linux.resources.memory.limit: bytes of memory, page cache included
echo 104857600 > /sys/fs/cgroup/memory/tare/c1/memory.limit_in_bytes
# linux.resources.cpu.mems: take memory of these nodes only
echo 0 > /sys/fs/cgroup/cpuset/tare/c1/cpuset.mems
# linux.resources.devices: any device may not be used, but for what follows
echo a > /sys/fs/cgroup/devices/tare/c1/devices.deny
# linux.resources.devices: may be used
echo 'c *:* m' > /sys/fs/cgroup/devices/tare/c1/devices.allow
# linux.resources.devices: may be used
echo 'b *:* m' > /sys/fs/cgroup/devices/tare/c1/devices.allow
# linux.resources.devices: may be used
echo 'c 1:3 rwm' > /sys/fs/cgroup/devices/tare/c1/devices.allow
# linux.resources.devices: may be used
echo 'c 1:5 rwm' > /sys/fs/cgroup/devices/tare/c1/devices.allow
# linux.resources.devices: may be used
echo 'c 1:7 rwm' > /sys/fs/cgroup/devices/tare/c1/devices.allow
# linux.resources.devices: may be used
echo 'c 1:8 rwm' > /sys/fs/cgroup/devices/tare/c1/devices.allow
# linux.resources.devices: may be used
echo 'c 1:9 rwm' > /sys/fs/cgroup/devices/tare/c1/devices.allow
# linux.resources.devices: may be used
echo 'c 5:0 rwm' > /sys/fs/cgroup/devices/tare/c1/devices.allow
# linux.resources.devices: may be used
echo 'c 5:2 rwm' > /sys/fs/cgroup/devices/tare/c1/devices.allow
# linux.resources.devices: may be used
echo 'c 136:* rwm' > /sys/fs/cgroup/devices/tare/c1/devices.allow
# linux.resources.devices: may be used
echo 'c 10:200 rwm' > /sys/fs/cgroup/devices/tare/c1/devices.allow
echo $$ > /sys/fs/cgroup/cpuset/tare/c1/cgroup.procs
echo $$ > /sys/fs/cgroup/memory/tare/c1/cgroup.procs
echo $$ > /sys/fs/cgroup/devices/tare/c1/cgroup.procs
echo $$ > /sys/fs/cgroup/pids/tare/c1/cgroup.procs
echo $$ > /sys/fs/cgroup/systemd/tare/c1/cgroup.procs
echo $$ > /sys/fs/cgroup/unified/tare/c1/cgroup.procs`);
});

test("a plan on v2, as a person would type it", () => {
  const asked = ask(V2, { memory: { limit: -1n }, devices: [] }, { cgroupsPath: "/it's" });
  expect(shell(asked)).toBe(`# its own cgroup of v2
mkdir -p '/sys/fs/cgroup/it'\\''s'
echo '+cpu +io +memory +pids' > /sys/fs/cgroup/cgroup.subtree_control
# linux.resources.memory.swap: bytes of swap
echo max > '/sys/fs/cgroup/it'\\''s/memory.swap.max'
# linux.resources.memory.limit: bytes of memory
echo max > '/sys/fs/cgroup/it'\\''s/memory.max'
# an eBPF program allows the devices of linux.resources.devices and the default ones; the shell has no word for bpf(2)
echo $$ > '/sys/fs/cgroup/it'\\''s/cgroup.procs'`);
});

describe("the least number of writes", () => {
  test("nothing asked and all devices allowed: none on v2, on v1 the one that allows them", () => {
    const plan = planCgroup(ask(V2));
    expect(plan.writes).toEqual([]);
    expect(plan.devices).toBeUndefined();
    expect(planCgroup(ask(HYBRID)).writes.map(({ file, value }) => `${file} ${value}`)).toEqual([
      "devices.allow a",
    ]);
  });

  test("beside v1 nothing is turned on for v2 that no limit needs", () => {
    expect(planCgroup(ask(HYBRID)).dirs.at(-1)?.enable).toEqual([]);
    const hugepageLimits = [{ pageSize: "2MB", limit: 5n }];
    const plan = planCgroup(ask(HYBRID, { hugepageLimits }));
    expect(plan.dirs.at(-1)?.enable).toEqual(["hugetlb"]);
    expect(plan.dirs.at(-1)?.needed).toEqual([
      { controller: "hugetlb", field: "linux.resources.hugepageLimits[0]" },
    ]);
    expect(plan.writes.map(({ dir, file }) => `${dir} ${file}`)).toContain("5 hugetlb.2MB.max");
  });
});

describe("devices", () => {
  test("are denied where the configuration says nothing", () => {
    const plan = planCgroup(ask(HYBRID, { devices: [] }));
    expect(plan.writes[0]).toEqual({
      controller: "devices",
      dir: 2,
      file: "devices.deny",
      value: "a",
      field: "linux.resources.devices",
      why: "any device may not be used, but for what follows",
    });
    expect(planCgroup(ask(V2, { devices: [] })).devices?.dir).toBe(0);
  });

  test("are judged by a program where only v2 is there to do it", () => {
    const hierarchies = HYBRID.hierarchies.filter((each) => !each.controllers.includes("devices"));
    const plan = planCgroup(ask({ mode: "hybrid", hierarchies }, { devices: [] }));
    expect(plan.devices?.dir).toBe(4);
    expect(plan.writes).toEqual([]);
  });

  test("cannot be left open in silence where nothing can deny them", () => {
    const host: CgroupHost = { mode: "v1", hierarchies: [v1("memory")] };
    expect(() => planCgroup(ask(host, { devices: [] }))).toThrow('no cgroup controller "devices"');
    expect(planCgroup(ask(host)).writes).toEqual([]);
  });

  test("are not for a rootless caller to rule", () => {
    expect(planCgroup(ask(V2, { devices: [] }, { rootless: true })).devices).toBeUndefined();
    expect(planCgroup(ask(NONE, { devices: [] }, { rootless: true })).writes).toEqual([]);
  });
});

describe("a limit that this host cannot keep", () => {
  const cases: [name: string, host: CgroupHost, asked: object, message: string][] = [
    [
      "memory",
      NONE,
      { memory: { limit: 5n } },
      'Cannot apply linux.resources.memory.limit "5": this host has no cgroup controller "memory"',
    ],
    [
      "shares on v1",
      HYBRID,
      { cpu: { shares: 5n } },
      'linux.resources.cpu.shares "5": this host has no cgroup controller "cpu"',
    ],
    [
      "cpus on v2",
      V2,
      { cpu: { cpus: "0" } },
      'linux.resources.cpu.cpus "0": this host has no cgroup controller "cpuset"',
    ],
    [
      "disks on v1",
      HYBRID,
      {
        blockIO: {
          weight: 100,
          weightDevice: [],
          throttleReadBpsDevice: [],
          throttleWriteBpsDevice: [],
          throttleReadIOPSDevice: [],
          throttleWriteIOPSDevice: [],
        },
      },
      'no cgroup controller "blkio"',
    ],
    [
      "a named key",
      V2,
      { unified: new Map([["foo.bar", "x"]]) },
      "the requested cgroup controller `foo` is not available",
    ],
    ["any key on v1", HYBRID, { unified: new Map([["memory.min", "1"]]) }, "invalid configuration"],
  ];
  test.each(cases)("%s", (_name, host, asked, message) => {
    expect(() => planCgroup(ask(host, asked))).toThrow(message);
  });

  test("core files of v2 need no controller", () => {
    const plan = planCgroup(ask(V2, { unified: new Map([["cgroup.max.depth", "3"]]) }));
    expect(plan.writes.map(({ dir, file }) => `${dir} ${file}`)).toEqual(["0 cgroup.max.depth"]);
    expect(plan.dirs[0]?.needed).toEqual([]);
  });
});

describe("what may fail for a rootless caller", () => {
  const optional = (asked: object, more: object): boolean[] =>
    planCgroup(ask(HYBRID, asked, { rootless: true, cgroupsPath: undefined, ...more })).dirs.map(
      (dir) => dir.optional,
    );

  test("all cgroups without a limit", () => {
    expect(optional({}, {}).every((each) => each)).toBeTrue();
    expect(optional({ memory: { limit: 5n } }, {}).indexOf(false)).toBe(1);
  });

  test("none where a path was asked for, or for root", () => {
    expect(optional({}, { cgroupsPath: "/x" }).some((each) => each)).toBeFalse();
    expect(optional({}, { rootless: false }).some((each) => each)).toBeFalse();
    expect(optional({}, { lenient: false }).some((each) => each)).toBeFalse();
    // Root sets rules for devices all the same, which are not given up.
    const rootLenient = optional({}, { rootless: false, lenient: true });
    expect(rootLenient.filter((each) => !each)).toHaveLength(1);
  });
});

describe("the state", () => {
  test("comes back from JSON", () => {
    const state = plannedState(planCgroup(ask(HYBRID)));
    expect(state.dirs[0]).toEqual({
      version: 1,
      controllers: ["cpuset"],
      mountpoint: "/sys/fs/cgroup/cpuset",
      path: "tare/c1",
      made: true,
    });
    expect(parseCgroupState(JSON.parse(JSON.stringify(state)))).toEqual(state);
    expect(state.planned).toBeTrue();
    const skipped = { mode: state.mode, dirs: state.dirs, skipped: "no right" };
    expect(parseCgroupState(JSON.parse(JSON.stringify(skipped)))).toEqual(skipped);
  });

  const good = { version: 1, controllers: ["memory"], mountpoint: "/m", path: "a/b", made: true };
  const bad: [name: string, dir: unknown][] = [
    ["a path that leaves its mountpoint", { ...good, path: "../../etc" }],
    ["the mountpoint itself", { ...good, path: "/" }],
    ["a mountpoint that is not absolute", { ...good, mountpoint: "m" }],
    ["a mountpoint with a NUL", { ...good, mountpoint: "/m\0" }],
    ["an owner that is not yes or no", { ...good, made: 1 }],
    ["an unknown version", { ...good, version: 3 }],
    ["no controllers", { ...good, controllers: undefined }],
    ["no object", null],
    ["a list", []],
  ];
  test.each(bad)("refuses %s", (_name, dir) => {
    expect(() => parseCgroupState({ mode: "v1", dirs: [dir] })).toThrow("Cannot read state");
    expect(parseCgroupState({ mode: "v1", dirs: [good] }).dirs).toHaveLength(1);
  });

  test("refuses an unknown mode and a flood of directories", () => {
    expect(() => parseCgroupState({ mode: "v3", dirs: [] })).toThrow("cgroup.mode");
    expect(() => parseCgroupState({ mode: "v1", dirs: new Array(65).fill(good) })).toThrow("dirs");
    expect(() => parseCgroupState("x")).toThrow("Cannot read state");
    expect(() => parseCgroupState({ mode: "v1", dirs: [], planned: 1 })).toThrow("planned");
    expect(() => parseCgroupState({ mode: "v1", dirs: [], skipped: 1 })).toThrow("skipped");
  });
});
