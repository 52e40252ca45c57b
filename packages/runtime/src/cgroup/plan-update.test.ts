import { describe, expect, test } from "bun:test";
import { parseResources } from "@tare/spec/oci-runtime-parse.ts";
import type { CgroupWrite } from "./plan.ts";
import { type InForce, isInForce, planUpdate, valueBefore } from "./plan-update.ts";
import type { CgroupState } from "./state.ts";

const V2: CgroupState = {
  mode: "v2",
  dirs: [
    {
      version: 2,
      controllers: ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"],
      mountpoint: "/sys/fs/cgroup",
      path: "c",
      made: true,
    },
  ],
};

const V1: CgroupState = {
  mode: "v1",
  dirs: ["memory", "cpu", "cpuset", "pids", "blkio"].map((name) => ({
    version: 1,
    controllers: [name],
    mountpoint: `/sys/fs/cgroup/${name}`,
    path: "c",
    made: true,
  })),
};

function plan(state: CgroupState, resources: object, inForce: InForce = {}): string[] {
  const asked = parseResources(JSON.stringify(resources));
  return planUpdate(state, asked, inForce).map(({ file, value }) => `${file}=${value}`);
}

describe("memory and swap on v2, where configurations name their sum", () => {
  const before = { memory: 100n, swap: 50n };

  test("memory alone keeps the sum", () => {
    expect(plan(V2, { memory: { limit: 120 } }, before)).toEqual([
      "memory.swap.max=30",
      "memory.max=120",
    ]);
  });

  test("memory above the sum is refused, as v1 refuses it", () => {
    expect(() => plan(V2, { memory: { limit: 151 } }, before)).toThrow("less than 151");
  });

  test("no swap stays no swap, no limit of swap no limit", () => {
    const limit = { memory: { limit: 120 } };
    expect(plan(V2, limit, { memory: 100n, swap: 0n })).toEqual(["memory.max=120"]);
    expect(plan(V2, limit, { memory: 100n, swap: -1n })).toEqual(["memory.max=120"]);
    expect(plan(V2, limit, { memory: -1n, swap: 50n })).toEqual(["memory.max=120"]);
  });

  test("the sum alone is less the memory in force; without a limit of memory it is refused", () => {
    expect(plan(V2, { memory: { swap: 130 } }, before)).toContain("memory.swap.max=30");
    expect(() => plan(V2, { memory: { swap: 130 } }, { memory: -1n })).toThrow("not given");
    expect(plan(V2, { memory: { swap: -1 } }, before)).toEqual(["memory.swap.max=max"]);
  });

  test("-1 takes both away", () => {
    expect(plan(V2, { memory: { limit: -1 } }, before)).toEqual([
      "memory.swap.max=max",
      "memory.max=max",
    ]);
    expect(plan(V1, { memory: { limit: -1 } })).toEqual([
      "memory.limit_in_bytes=-1",
      "memory.memsw.limit_in_bytes=-1",
    ]);
  });
});

describe("the quota in force stays", () => {
  test("when a period is set alone", () => {
    expect(plan(V2, { cpu: { period: 50_000 } }, { quota: 20_000n })).toEqual([
      "cpu.max=20000 50000",
    ]);
    expect(plan(V2, { cpu: { period: 50_000 } }, { quota: -1n })).toEqual(["cpu.max=max 50000"]);
    expect(plan(V1, { cpu: { period: 50_000 } })).toEqual(["cpu.cfs_period_us=50000"]);
  });

  test("and systemd is told both, on v1 too, since it keeps their quotient", () => {
    const inForce = { quota: 20_000n, period: 80_000n };
    const unit = { name: "c.scope", isUser: false };
    expect(plan({ ...V2, unit }, { cpu: { quota: 7_000 } }, inForce)).toEqual([
      "cpu.max=7000 80000",
    ]);
    expect(plan({ ...V1, unit }, { cpu: { quota: 7_000 } }, inForce)).toEqual([
      "cpu.cfs_period_us=80000",
      "cpu.cfs_quota_us=7000",
    ]);
    expect(plan({ ...V2, unit }, { cpu: { shares: 1024 } }, inForce)).toEqual(["cpu.weight=100"]);
  });

  test("but for one that is named", () => {
    expect(plan(V2, { cpu: { quota: -1, period: 9 } }, { quota: 20_000n })).toEqual([
      "cpu.max=max 9",
    ]);
    expect(plan(V2, { cpu: { quota: 7 } }, { quota: 20_000n })).toEqual(["cpu.max=7"]);
  });
});

describe("checkBeforeUpdate", () => {
  const check = (memory: object, usage?: bigint) =>
    plan(V1, { memory: { checkBeforeUpdate: true, ...memory } }, { usage });

  test("refuses what is in use already", () => {
    expect(() => check({ limit: 99 }, 100n)).toThrow("rejecting memory limit 99 <= usage 100");
    expect(() => check({ limit: 50, swap: 100 }, 100n)).toThrow("rejecting memory+swap limit 100");
  });

  test("lets the rest pass, and what is not known", () => {
    expect(check({ limit: 101 }, 100n)).toEqual(["memory.limit_in_bytes=101"]);
    expect(check({ limit: -1 }, 100n).length).toBe(2);
    expect(check({ limit: 1 })).toEqual(["memory.limit_in_bytes=1"]);
    expect(plan(V1, { memory: { limit: 1 } }, { usage: 100n }).length).toBe(1);
  });
});

test("devices are none of its matter, and nothing asked is nothing done", () => {
  expect(plan(V1, { devices: [{ allow: false, access: "rwm" }] })).toEqual([]);
  expect(plan(V2, {}, { memory: 1n, swap: 1n, quota: 1n, usage: 1n })).toEqual([]);
});

test("a controller that the container has no cgroup of is named", () => {
  expect(() => plan(V1, { hugepageLimits: [{ pageSize: "2MB", limit: 1 }] })).toThrow("hugetlb");
});

function write(file: string, value: string): CgroupWrite {
  return { dir: 0, controller: "x", file, value, field: "x", why: "x" };
}

describe("what is put back", () => {
  test.each([
    ["pids.max", "5", "max\n", "max"],
    ["cpu.max", "7", "20000 100000\n", "20000 100000"],
    ["cpuset.cpus", "1", "\n", "\n"],
    ["memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n", "0"],
    [
      "io.max",
      "8:0 rbps=1",
      "8:0 rbps=2 wbps=max riops=max wiops=max\n",
      "8:0 rbps=2 wbps=max riops=max wiops=max",
    ],
    ["io.max", "8:0 rbps=1", "18:0 rbps=2\n", "8:0 rbps=max wbps=max riops=max wiops=max"],
    ["io.weight", "300", "default 100\n8:0 50\n", "default 100"],
    ["io.bfq.weight", "300", "100\n", "100"],
    ["io.weight", "8:0 300", "default 100\n8:0 50\n", "8:0 50"],
    ["io.weight", "8:0 300", "default 100\n", "8:0 default"],
    ["blkio.throttle.read_bps_device", "8:0 1", "", undefined],
    ["blkio.throttle.read_bps_device", "8:0 1", "8:16 5\n", "8:0 0"],
    ["net_prio.ifpriomap", "lo 5", "lo 1\neth0 2\n", "lo 1"],
    [
      "rdma.max",
      "mlx4_0 hca_object=1",
      "mlx4_0 hca_handle=2 hca_object=max\n",
      "mlx4_0 hca_handle=2 hca_object=max",
    ],
    ["memory.stat", "1", "anon 1\nfile 2\n", undefined],
  ])("into %s after %j, where it said %j", (file, value, text, before) => {
    expect(valueBefore(write(file, value), text)).toBe(before);
  });

  test("what is there already is not written", () => {
    expect(isInForce(write("pids.max", "5"), "5\n")).toBe(true);
    expect(isInForce(write("pids.max", "5"), "55\n")).toBe(false);
  });
});
