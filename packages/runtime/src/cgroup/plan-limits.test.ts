/** What each limit of the configuration becomes, on v1 and on v2: one table for both planners. */

import { describe, expect, test } from "bun:test";
import type { Resources } from "@tare/spec/oci-runtime.ts";
import type { Controller, LimitWrite } from "./limit.ts";
import { V1_PLANNERS } from "./plan-v1.ts";
import { ioWeightOf, V2_PLANNERS, weightOfShares, withUnified } from "./plan-v2.ts";

type Asked = { readonly [name in keyof Resources]?: unknown };

function resources(asked: Asked): Resources {
  const block = asked.blockIO as object;
  const nothing = {
    devices: [],
    memory: {},
    cpu: {},
    hugepageLimits: [],
    network: { priorities: [] },
    rdma: new Map(),
    unified: new Map(),
  };
  const blockIO = {
    weightDevice: [],
    throttleReadBpsDevice: [],
    throttleWriteBpsDevice: [],
    throttleReadIOPSDevice: [],
    throttleWriteIOPSDevice: [],
    ...block,
  };
  return { ...nothing, ...asked, blockIO } as unknown as Resources;
}

/** A write as shell would say it; `?` may be missing, `~` may have to wait, `|` is the second choice. */
function line({ file, value, ifPresent, mayWait, orElse }: LimitWrite): string {
  const marks = (ifPresent === true ? "?" : "") + (mayWait === true ? "~" : "");
  const second = orElse === undefined ? "" : ` | ${orElse.file}=${orElse.value}`;
  return `${file}${marks}=${value}${second}`;
}

const NAMES = Object.keys(V1_PLANNERS) as Controller[];

function v1(asked: Asked): string[] {
  return NAMES.flatMap((name) => V1_PLANNERS[name](resources(asked), undefined)).map(line);
}

function v2(asked: Asked): string[] {
  const all = resources(asked);
  return withUnified(
    NAMES.flatMap((name) => V2_PLANNERS[name](all)),
    all,
  ).map(line);
}

const disk = { major: 8, minor: 0 };

describe("on both versions", () => {
  const cases: [name: string, asked: Asked, v1: string[], v2: string[]][] = [
    ["nothing asked, nothing written", {}, [], []],
    [
      "zeros are not asked for",
      {
        memory: { limit: 0n, reservation: 0n },
        cpu: { shares: 0n, quota: 0n, period: 0n, cpus: "" },
      },
      [],
      [],
    ],
    [
      "memory",
      { memory: { limit: 104857600n } },
      ["memory.limit_in_bytes=104857600"],
      ["memory.max=104857600"],
    ],
    [
      "above 2^53",
      { memory: { limit: 9223372036854771712n } },
      ["memory.limit_in_bytes=9223372036854771712"],
      ["memory.max=9223372036854771712"],
    ],
    [
      "memory and swap",
      { memory: { limit: 100n, swap: 300n } },
      ["memory.limit_in_bytes~=100", "memory.memsw.limit_in_bytes?=300"],
      ["memory.swap.max?=200", "memory.max=100"],
    ],
    [
      "no swap at all",
      { memory: { limit: 100n, swap: 100n } },
      ["memory.limit_in_bytes~=100", "memory.memsw.limit_in_bytes?=100"],
      ["memory.swap.max?=0", "memory.max=100"],
    ],
    [
      "any swap",
      { memory: { limit: 100n, swap: -1n } },
      ["memory.limit_in_bytes~=100", "memory.memsw.limit_in_bytes?=-1"],
      ["memory.swap.max?=max", "memory.max=100"],
    ],
    [
      "no limit for memory is none for swap",
      { memory: { limit: -1n } },
      ["memory.limit_in_bytes~=-1", "memory.memsw.limit_in_bytes?=-1"],
      ["memory.swap.max?=max", "memory.max=max"],
    ],
    [
      "reservation",
      { memory: { reservation: 5n } },
      ["memory.soft_limit_in_bytes=5"],
      ["memory.low=5"],
    ],
    ["kernel memory is passed over", { memory: { kernel: 5n, useHierarchy: true } }, [], []],
    ["shares", { cpu: { shares: 512n } }, ["cpu.shares=512"], ["cpu.weight=59"]],
    [
      "quota and period",
      { cpu: { quota: 50000n, period: 100000n } },
      ["cpu.cfs_period_us~=100000", "cpu.cfs_quota_us=50000"],
      ["cpu.max=50000 100000"],
    ],
    [
      "quota alone keeps the period",
      { cpu: { quota: 50000n } },
      ["cpu.cfs_quota_us=50000"],
      ["cpu.max=50000"],
    ],
    [
      "period alone",
      { cpu: { period: 50000n } },
      ["cpu.cfs_period_us=50000"],
      ["cpu.max=max 50000"],
    ],
    ["no quota", { cpu: { quota: -1n } }, ["cpu.cfs_quota_us=-1"], ["cpu.max=max"]],
    ["no quota, in another way", { cpu: { quota: -5n } }, ["cpu.cfs_quota_us=-1"], ["cpu.max=max"]],
    [
      "burst",
      { cpu: { quota: 50000n, burst: 9n } },
      ["cpu.cfs_burst_us~=9", "cpu.cfs_quota_us=50000"],
      ["cpu.max.burst~=9", "cpu.max=50000"],
    ],
    [
      "idle after the shares",
      { cpu: { shares: 1024n, idle: 1n } },
      ["cpu.shares=1024", "cpu.idle=1"],
      ["cpu.weight=100", "cpu.idle=1"],
    ],
    [
      "not idle before the shares",
      { cpu: { shares: 1024n, idle: 0n } },
      ["cpu.idle=0", "cpu.shares=1024"],
      ["cpu.idle=0", "cpu.weight=100"],
    ],
    [
      "cpuset",
      { cpu: { cpus: "0-1", mems: "0" } },
      ["cpuset.cpus=0-1 | cpus=0-1", "cpuset.mems=0 | mems=0"],
      ["cpuset.cpus=0-1 | cpus=0-1", "cpuset.mems=0 | mems=0"],
    ],
    ["pids", { pids: { limit: 10n } }, ["pids.max=10"], ["pids.max=10"]],
    ["no process is one", { pids: { limit: 0n } }, ["pids.max=1"], ["pids.max=1"]],
    ["any number of processes", { pids: { limit: -1n } }, ["pids.max=max"], ["pids.max=max"]],
    [
      "weight of the disk",
      { blockIO: { weight: 750 } },
      ["blkio.weight=750 | blkio.bfq.weight=750"],
      ["io.bfq.weight=750 | io.weight=7475"],
    ],
    [
      "weight of one disk",
      { blockIO: { weightDevice: [{ ...disk, weight: 500 }, disk] } },
      ["blkio.weight_device=8:0 500 | blkio.bfq.weight_device=8:0 500"],
      ["io.bfq.weight=8:0 500 | io.weight=8:0 4950"],
    ],
    [
      "throttles",
      {
        blockIO: {
          throttleReadBpsDevice: [{ ...disk, rate: 600n }],
          throttleWriteIOPSDevice: [
            { ...disk, rate: 300n },
            { major: 9, minor: 1, rate: 0n },
          ],
        },
      },
      [
        "blkio.throttle.read_bps_device=8:0 600",
        "blkio.throttle.write_iops_device=8:0 300",
        "blkio.throttle.write_iops_device=9:1 0",
      ],
      ["io.max=8:0 rbps=600 wiops=300", "io.max=9:1 wiops=max"],
    ],
    [
      "huge pages",
      { hugepageLimits: [{ pageSize: "2MB", limit: 4194304n }] },
      ["hugetlb.2MB.limit_in_bytes=4194304", "hugetlb.2MB.rsvd.limit_in_bytes?=4194304"],
      ["hugetlb.2MB.max=4194304", "hugetlb.2MB.rsvd.max?=4194304"],
    ],
    [
      "rdma",
      {
        rdma: new Map([
          ["mlx5_1", { hcaHandles: 3, hcaObjects: 4 }],
          ["mlx4_0", {}],
        ]),
      },
      ["rdma.max=mlx5_1 hca_handle=3 hca_object=4"],
      ["rdma.max=mlx5_1 hca_handle=3 hca_object=4"],
    ],
  ];
  test.each(cases)("%s", (_name, asked, wantV1, wantV2) => {
    expect(v1(asked)).toEqual(wantV1);
    expect(v2(asked)).toEqual(wantV2);
  });
});

describe("on v1 alone", () => {
  const cases: [name: string, asked: Asked, want: string[]][] = [
    ["swappiness", { memory: { swappiness: 60n } }, ["memory.swappiness=60"]],
    ["swappiness left to the kernel", { memory: { swappiness: -1n } }, []],
    ["the same without a sign", { memory: { swappiness: 2n ** 64n - 1n } }, []],
    ["the OOM killer off", { memory: { disableOOMKiller: true } }, ["memory.oom_control=1"]],
    ["the OOM killer on is the default", { memory: { disableOOMKiller: false } }, []],
    ["TCP buffers", { memory: { kernelTCP: 5n } }, ["memory.kmem.tcp.limit_in_bytes=5"]],
    ["swap alone, for an update", { memory: { swap: 300n } }, ["memory.memsw.limit_in_bytes?=300"]],
    [
      "realtime",
      { cpu: { realtimePeriod: 1000000n, realtimeRuntime: 950000n } },
      ["cpu.rt_period_us~=1000000", "cpu.rt_runtime_us=950000"],
    ],
    [
      "network",
      { network: { classID: 1048577, priorities: [{ name: "eth0", priority: 5 }] } },
      ["net_cls.classid=1048577", "net_prio.ifpriomap=eth0 5"],
    ],
  ];
  test.each(cases)("%s", (_name, asked, want) => {
    expect(v1(asked)).toEqual(want);
  });
});

describe("unified, on v2 alone", () => {
  const unified = (entries: Record<string, string>, more: Asked = {}): string[] =>
    v2({ ...more, unified: new Map(Object.entries(entries)) });

  test("has the last word", () => {
    const asked = { memory: { limit: 100n }, cpu: { shares: 1024n }, pids: { limit: 7n } };
    expect(unified({ "memory.max": "200", "cpu.weight": "42" }, asked)).toEqual([
      "pids.max=7",
      "memory.max=200",
      "cpu.weight=42",
    ]);
  });

  test("a line each, beside those of other fields", () => {
    const asked = { blockIO: { throttleReadBpsDevice: [{ ...disk, rate: 1n }] } };
    expect(unified({ "io.max": "8:16 rbps=2\n\n8:32 rbps=3\n" }, asked)).toEqual([
      "io.max=8:0 rbps=1",
      "io.max=8:16 rbps=2",
      "io.max=8:32 rbps=3",
    ]);
  });

  const refused: [name: string, key: string, message: string][] = [
    ["a path", "../memory.max", "it must be a file name"],
    ["a NUL", "memory.max\0", "it must be a file name"],
    [
      "no controller",
      "NOT-A-VALID-KEY",
      "the specified key has not the form CONTROLLER.VALUE `NOT-A-VALID-KEY`",
    ],
    ["an empty controller", ".max", "CONTROLLER.VALUE"],
    ["a process pulled in from outside", "cgroup.procs", "it is a command"],
    ["a kill", "cgroup.kill", "it is a command"],
  ];
  test.each(refused)("refuses %s", (_name, key, message) => {
    expect(() => unified({ [key]: "1" })).toThrow(message);
  });

  test("refuses a flood of keys", () => {
    const keys = Array.from({ length: 257 }, (_, index) => [`memory.x${index}`, "1"]);
    expect(() => unified(Object.fromEntries(keys))).toThrow("more than 256 keys");
  });
});

describe("what is refused", () => {
  const both: [name: string, asked: Asked, message: string][] = [
    [
      "a limit below -1",
      { memory: { limit: -2n } },
      'Cannot apply linux.resources.memory.limit "-2"',
    ],
    ["swap below memory", { memory: { limit: 100n, swap: 99n } }, "less than 100"],
    ["idle of 2", { cpu: { idle: 2n } }, "it must be 0 to 1"],
    ["a weight of 1001", { blockIO: { weight: 1001 } }, "it must be 1 to 1000"],
    [
      "a weight of 1001 for a disk",
      { blockIO: { weightDevice: [{ ...disk, weight: 1001 }] } },
      "it must be 1 to 1000",
    ],
    ["a leaf weight", { blockIO: { leafWeight: 500 } }, "no leaf weights since Linux 5.0"],
    [
      "a leaf weight for a disk",
      { blockIO: { weightDevice: [{ ...disk, leafWeight: 500 }] } },
      "no leaf weights",
    ],
    [
      "a page size with a path",
      { hugepageLimits: [{ pageSize: "../x2MB", limit: 1n }] },
      "a page size is",
    ],
    [
      "a page size without a number",
      { hugepageLimits: [{ pageSize: "MB", limit: 1n }] },
      "a page size is",
    ],
    [
      "a long page size",
      { hugepageLimits: [{ pageSize: `${"1".repeat(99)}MB`, limit: 1n }] },
      "a page size is",
    ],
    ["a device name of two lines", { rdma: new Map([["a\nb", { hcaHandles: 1 }]]) }, "one word"],
    ["non-hierarchical memory", { memory: { useHierarchy: false } }, "useHierarchy"],
  ];
  test.each(both)("%s", (_name, asked, message) => {
    expect(() => v1(asked)).toThrow(message);
    expect(() => v2(asked)).toThrow(message);
  });

  test("on v1: shares that the kernel would clamp, and a bad interface name", () => {
    expect(() => v1({ cpu: { shares: 1n } })).toThrow("it must be 2 to 262144");
    expect(() => v1({ cpu: { shares: 262145n } })).toThrow("it must be 2 to 262144");
    expect(() => v1({ memory: { swappiness: 101n } })).toThrow("it must be 0 to 100");
    const priorities = [{ name: "eth0 5\nlo", priority: 1 }];
    expect(() => v1({ network: { priorities } })).toThrow("one word");
  });

  const v2Only: [name: string, asked: Asked, field: string][] = [
    ["swappiness", { memory: { swappiness: 60n } }, "memory.swappiness"],
    ["the OOM killer off", { memory: { disableOOMKiller: true } }, "memory.disableOOMKiller"],
    ["realtime", { cpu: { realtimeRuntime: 950_000n } }, "cpu.realtimeRuntime"],
    ["a realtime period", { cpu: { realtimePeriod: 1_000_000n } }, "cpu.realtimePeriod"],
    ["TCP buffers", { memory: { kernelTCP: 5n } }, "memory.kernelTCP"],
    ["swap without memory", { memory: { swap: 5n } }, "memory.swap"],
    ["a packet class", { network: { classID: 1, priorities: [] } }, "network.classID"],
    [
      "packet priorities",
      { network: { priorities: [{ name: "lo", priority: 1 }] } },
      "network.priorities",
    ],
  ];
  test.each(v2Only)("on v2: %s", (_name, asked, field) => {
    expect(() => v2(asked)).toThrow(`Cannot apply linux.resources.${field}`);
  });
});

test("swap 0 with no memory limit is no swap, on v2", () => {
  expect(v2({ memory: { swap: 0n } })).toEqual(["memory.swap.max?=0"]);
});

describe("conversions", () => {
  const shares: [shares: bigint, weight: number][] = [
    [2n, 1],
    [3n, 2],
    [100n, 17],
    [512n, 59],
    [1024n, 100],
    [2048n, 174],
    [3333n, 256],
    [260000n, 9929],
    [262144n, 10000],
    [1n, 1],
    [9_999_999n, 10000],
  ];
  test.each(shares)("%s shares are weight %s", (from, to) => {
    expect(weightOfShares(from)).toBe(to);
  });

  test("shares never fall where they rise", () => {
    let before = 0;
    for (let step = 2n; step <= 262_144n; step += 97n) {
      const weight = weightOfShares(step);
      expect(weight >= before && weight >= 1 && weight <= 10_000).toBeTrue();
      before = weight;
    }
  });

  const weights: [blkio: number, io: number][] = [
    [1, 1],
    [9, 1],
    [10, 1],
    [100, 910],
    [500, 4950],
    [750, 7475],
    [1000, 10000],
  ];
  test.each(weights)("blkio weight %s is io weight %s", (from, to) => {
    expect(ioWeightOf(from)).toBe(to);
  });
});
