import { describe, expect, test } from "bun:test";
import { DEFAULT_DEVICES } from "../cgroup/default-devices.ts";
import { ACCESS_ALL, ANY, type DeviceMatch, devicePolicy } from "../cgroup/device-rules.ts";
import type { LimitWrite } from "../cgroup/limit.ts";
import { annotationProperties } from "./annotations.ts";
import { deviceProperties } from "./devices.ts";
import {
  creationProperties,
  limitProperties,
  maskOf,
  needsVersion,
  withWholePercents,
} from "./properties.ts";
import { nameScope } from "./unit.ts";

const MAX = 2n ** 64n - 1n;

describe("the scope of a container", () => {
  const name = (path?: string, isUser = false) => nameScope(path, { id: "c1", isUser });

  test.each([
    [undefined, "tare-runtime-c1.scope", "system.slice", "system.slice/tare-runtime-c1.scope"],
    ["", "tare-runtime-c1.scope", "system.slice", "system.slice/tare-runtime-c1.scope"],
    ["machine.slice:libpod:x", "libpod-x.scope", "machine.slice", "machine.slice/libpod-x.scope"],
    [":docker:x", "docker-x.scope", "system.slice", "system.slice/docker-x.scope"],
    ["a-b-c.slice:p:x", "p-x.scope", "a-b-c.slice", "a.slice/a-b.slice/a-b-c.slice/p-x.scope"],
    ["-.slice:p:x", "p-x.scope", "-.slice", "p-x.scope"],
    ["-:p:x", "p-x.scope", "-.slice", "p-x.scope"],
    ["s.slice::x", "x.scope", "s.slice", "s.slice/x.scope"],
  ])("%p", (path, unit, slice, components) => {
    expect(name(path)).toEqual({ unit, slice, components: components.split("/") });
  });

  test("of a user's systemd is in user.slice", () => {
    expect(name(undefined, true).slice).toBe("user.slice");
    expect(name("a.slice:p:x", true).slice).toBe("a.slice");
  });

  test("an id may have a plus, a unit's name may not", () => {
    expect(nameScope("", { id: "a+b", isUser: false }).unit).toBe("tare-runtime-a\\x2bb.scope");
  });

  test.each([
    ["/system.slice/x", "slice:prefix:name"],
    ["a:b", "slice:prefix:name"],
    ["a.slice:b:c:d", "slice:prefix:name"],
    ["system:p:x", '".slice"'],
    ["a--b.slice:p:x", "empty part"],
    ["-a.slice:p:x", "empty part"],
    [".slice:p:x", "empty part"],
    ["../x.slice:p:x", "cannot be the name"],
    ["a.slice/b.slice:p:x", "cannot be the name"],
    ["a.slice:p:../../x", "cannot be the name"],
    ["a.slice:p:x\ny", "cannot be the name"],
    ["a.slice:p:x\0", "cannot be the name"],
    ["a.slice:p:x y", "cannot be the name"],
    ["a.slice:p:", "name is empty"],
    ["a.slice:p:b.slice", "names a slice"],
    [`a.slice:p:${"x".repeat(250)}`, "255 characters"],
  ])("%p is refused", (path, why) => {
    expect(() => name(path)).toThrow(why);
  });
});

function writes(...pairs: readonly (readonly [file: string, value: string])[]): LimitWrite[] {
  return pairs.map(([file, value]) => ({ controller: "x", file, value, field: "f", why: "w" }));
}

function limits(...pairs: readonly (readonly [file: string, value: string])[]) {
  const found = limitProperties(writes(...pairs), 252);
  return Object.fromEntries(found.map(({ name, value }) => [name, value]));
}

describe("limits", () => {
  test.each([
    ["memory.max", "1048576", { MemoryMax: 1048576n }],
    ["memory.max", "max", { MemoryMax: MAX }],
    ["memory.max", "2G", { MemoryMax: 2n ** 31n }],
    ["memory.max", "nonsense", {}],
    ["memory.low", "7", { MemoryLow: 7n }],
    ["memory.high", "7", { MemoryHigh: 7n }],
    ["memory.min", "7", { MemoryMin: 7n }],
    ["memory.swap.max", "0", { MemorySwapMax: 0n }],
    ["memory.limit_in_bytes", "-1", { MemoryLimit: MAX }],
    ["memory.limit_in_bytes", "9", { MemoryLimit: 9n }],
    ["pids.max", "20", { TasksMax: 20n }],
    ["pids.max", "max", { TasksMax: MAX }],
    ["pids.max", "0", { TasksMax: 1n }],
    ["cpu.weight", "100", { CPUWeight: 100n }],
    ["cpu.shares", "1024", { CPUShares: 1024n }],
    ["cpu.idle", "1", { CPUWeight: 0n }],
    ["cpu.idle", "0", {}],
    ["cpu.max", "50000 100000", { CPUQuotaPeriodUSec: 100000n, CPUQuotaPerSecUSec: 500000n }],
    ["cpu.max", "50000", { CPUQuotaPerSecUSec: 500000n }],
    ["cpu.max", "max 50000", { CPUQuotaPeriodUSec: 50000n, CPUQuotaPerSecUSec: MAX }],
    ["cpu.max", "max", { CPUQuotaPerSecUSec: MAX }],
    ["cpu.max", "x", {}],
    ["cpu.cfs_quota_us", "12345", { CPUQuotaPerSecUSec: 130000n }],
    ["cpu.cfs_period_us", "50000", { CPUQuotaPeriodUSec: 50000n, CPUQuotaPerSecUSec: MAX }],
    ["io.bfq.weight", "100", { IOWeight: 100n }],
    ["io.bfq.weight", "1000", { IOWeight: 10000n }],
    ["io.bfq.weight", "8:0 500", {}],
    ["io.weight", "default 300", { IOWeight: 300n }],
    ["blkio.weight", "500", { BlockIOWeight: 500n }],
    ["cpuset.cpus", "0-1,3", { AllowedCPUs: Uint8Array.of(0b1011) }],
    ["cpuset.mems", "0", { AllowedMemoryNodes: Uint8Array.of(1) }],
    ["hugetlb.2MB.max", "7", {}],
    ["constructor", "7", {}],
  ] as const)("%s %s", (file, value, properties) => {
    expect(limits([file, value])).toEqual(properties);
  });

  test("the quota of v1 stands in two files", () => {
    expect(limits(["cpu.cfs_period_us", "200000"], ["cpu.cfs_quota_us", "100000"])).toEqual({
      CPUQuotaPeriodUSec: 200000n,
      CPUQuotaPerSecUSec: 500000n,
    });
  });

  test("an idle unit has no other weight, and older versions know neither", () => {
    expect(limits(["cpu.weight", "5"], ["cpu.idle", "1"])).toEqual({ CPUWeight: 0n });
    const idle = writes(["cpu.idle", "1"]);
    expect(limitProperties(idle, 251)).toEqual([]);
    expect(needsVersion(idle)).toBe(true);
    expect(needsVersion(writes(["pids.max", "1"]))).toBe(false);
  });

  test("who dies when memory is out is said at the beginning, to those who understand it", () => {
    const group = writes(["memory.oom.group", "1"]);
    expect(creationProperties(group, 253)).toEqual([
      { name: "OOMPolicy", signature: "s", value: "kill" },
    ]);
    expect(creationProperties(group, 252)).toEqual([]);
  });

  test.each([
    ["cpu.max", "12345 100000", "13000 100000"],
    ["cpu.max", "50000 100000", "50000 100000"],
    ["cpu.max", "12345", "13000"],
    ["cpu.max", "max 100000", "max 100000"],
    ["cpu.cfs_quota_us", "12345", "13000"],
    ["cpu.cfs_quota_us", "-1", "-1"],
    ["memory.max", "12345", "12345"],
  ])("%s %s is written as %s", (file, value, want) => {
    expect(withWholePercents(writes([file, value]))[0]?.value).toBe(want);
  });

  test.each([
    ["0", [1]],
    ["0,8", [1, 1]],
    ["7-8", [128, 1]],
    [" 1 , 2 ", [6]],
    ["8191", [...new Array(1023).fill(0), 128]],
    ["", undefined],
    ["a", undefined],
    ["1-", undefined],
    ["-1", undefined],
    ["1-2-3", undefined],
    ["8192", undefined],
    ["0-4294967295", undefined],
    ["3-1", undefined],
  ])("CPUs %p", (list, bytes) => {
    const mask = maskOf(list);
    expect(mask === undefined ? undefined : [...mask]).toEqual(bytes);
  });
});

describe("devices", () => {
  const show = (
    rules: Parameters<typeof devicePolicy>[0],
    version: 1 | 2,
    defaults: readonly DeviceMatch[] = [],
  ) => deviceProperties(devicePolicy(rules, defaults), version).map(({ value }) => value);
  const deny = { allow: false, type: "a", access: "rwm" } as const;

  test("the usual ones", () => {
    const [policy, allowed] = show([deny], 2, DEFAULT_DEVICES);
    expect(policy).toBe("strict");
    expect(allowed).toEqual([
      ["char-*", "m"],
      ["block-*", "m"],
      ["/dev/char/1:3", "rwm"],
      ["/dev/char/1:5", "rwm"],
      ["/dev/char/1:7", "rwm"],
      ["/dev/char/1:8", "rwm"],
      ["/dev/char/1:9", "rwm"],
      ["/dev/char/5:0", "rwm"],
      ["/dev/char/5:2", "rwm"],
      ["char-136", "rwm"],
      ["/dev/char/10:200", "rwm"],
    ]);
  });

  test("everything", () => {
    expect(show([{ allow: true, type: "a", access: "rwm" }], 1)).toEqual(["auto", []]);
  });

  test("everything but some: v2 has our own program, v1 would be opened by systemd", () => {
    const rules = [
      { allow: true, type: "a", access: "rwm" },
      { allow: false, type: "b", access: "rwm" },
    ] as const;
    expect(show(rules, 2)).toEqual(["auto", []]);
    expect(show(rules, 1)).toEqual(["strict", []]);
  });

  test("what is taken back is not in the list", () => {
    const rules = [
      { allow: true, type: "c", major: 4, minor: 1, access: "rwm" },
      { allow: false, type: "c", major: 4, access: "w" },
    ] as const;
    expect(show(rules, 2)).toEqual(["strict", [["/dev/char/4:1", "rm"]]]);
  });

  test("a minor number of any major is no list of systemd's", () => {
    const any: DeviceMatch = { allow: true, type: "b", major: ANY, minor: 3, access: ACCESS_ALL };
    const list = (version: 1 | 2) =>
      deviceProperties({ defaultAllow: false, rules: [any] }, version)[1]?.value;
    expect(list(2)).toEqual([["block-*", "rwm"]]);
    expect(list(1)).toEqual([]);
  });
});

describe("annotations", () => {
  const one = (name: string, value: string) =>
    annotationProperties(new Map([[`org.systemd.property.${name}`, value]]))[0];

  test.each([
    ["CollectMode", "'inactive-or-failed'", "s", "inactive-or-failed"],
    ["Description", '"it\\"s"', "s", 'it"s'],
    ["After", "['a.service', \"b.service\"]", "as", ["a.service", "b.service"]],
    ["After", "[]", "as", []],
    ["DefaultDependencies", "true", "b", true],
    ["TimeoutStopUSec", "uint64 123456789", "t", 123456789n],
    ["TimeoutStopUSec", "5", "t", 5n],
    ["TimeoutStopSec", "5", "t", 5000000n],
    ["RuntimeMaxSec", "uint64 2", "t", 2000000n],
    ["KillSignal", "int32 9", "i", 9],
    ["ManagedOOMMemoryPressureLimit", "uint32 7", "u", 7],
  ])("%s=%s", (name, value, signature, want) => {
    const written =
      name.endsWith("Sec") && !name.endsWith("USec") ? name.replace("Sec", "USec") : name;
    expect(one(name, value)).toEqual({ name: written, signature, value: want } as never);
  });

  test.each([
    ["ExecStart", "'x'"],
    ["BPFProgram", "'x'"],
    ["DeviceAllow", "[]"],
    ["DevicePolicy", "'auto'"],
    ["Delegate", "true"],
    ["MemoryMax", "uint64 1"],
    ["OnFailure", "['a.service']"],
    ["Requires", "['a.service']"],
    ["Wants", "['a.service']"],
    ["Conflicts", "['ssh.service']"],
    ["SuccessAction", "'poweroff-force'"],
    ["FailureAction", "'reboot'"],
    ["JobTimeoutAction", "'reboot'"],
    ["PIDs", "[]"],
    ["Slice", "'-.slice'"],
    ["ManagedOOMPreference", "'omit'"],
    ["constructor", "true"],
    ["__proto__", "true"],
    ["", "true"],
  ])("%s may not be set", (name, value) => {
    expect(() => one(name, value)).toThrow("not among the properties");
  });

  test.each([
    ["CollectMode", "inactive"],
    ["CollectMode", "'a' 'b'"],
    ["CollectMode", "'a"],
    ["CollectMode", "5"],
    ["After", "'a.service'"],
    ["After", "['a'"],
    ["After", "['a' 'b']"],
    ["After", "['a'] x"],
    ["After", "[1]"],
    ["DefaultDependencies", "1"],
    ["DefaultDependencies", "yes"],
    ["TimeoutStopUSec", "-1"],
    ["TimeoutStopUSec", "uint64 18446744073709551616"],
    ["TimeoutStopSec", "18446744073709551615"],
    ["TimeoutStopUSec", "1e9"],
    ["TimeoutStopUSec", "float 1"],
    ["KillSignal", "2147483648"],
    ["KillSignal", ""],
    ["KillSignal", "-"],
  ])("%s=%s has the wrong type", (name, value) => {
    expect(() => one(name, value)).toThrow("the value is to be");
  });

  test("a list without an end, and others' annotations", () => {
    const many = `[${new Array(100).fill("'a'").join(",")}]`;
    expect(() => one("After", many)).toThrow("the value is to be");
    expect(() => one("After", "x".repeat(5000))).toThrow("too long");
    expect(
      annotationProperties(
        new Map([
          ["org.systemd", "x"],
          ["a.b", "c"],
        ]),
      ),
    ).toEqual([]);
  });
});
