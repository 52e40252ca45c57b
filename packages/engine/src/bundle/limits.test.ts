import { describe, expect, test } from "bun:test";
import type { ResourceRequest } from "../container/request.ts";
import { planResources } from "./resources.ts";
import { planRlimits } from "./rlimits.ts";
import { planSysctls } from "./sysctls.ts";

const FACTS = { cpus: 4, swapAccounting: true };
const M = 1024n * 1024n;

describe("planResources", () => {
  const memory: [name: string, request: ResourceRequest, want: object][] = [
    ["swaps as much again", { memory: 100n * M }, { limit: 100n * M, swap: 200n * M }],
    [
      "takes a given sum",
      { memory: 100n * M, memorySwap: 100n * M },
      { limit: 100n * M, swap: 100n * M },
    ],
    [
      "lifts the limit on swap",
      { memory: 100n * M, memorySwap: -1n },
      { limit: 100n * M, swap: -1n },
    ],
    ["is nothing for 0", { memory: 0n }, {}],
  ];
  test.each(memory)("memory %s", (_name, request, want) => {
    expect(planResources(request, FACTS, []).memory).toEqual(want);
  });

  test("memory without swap accounting leaves swap out", () => {
    const facts = { ...FACTS, swapAccounting: false };
    expect(planResources({ memory: 100n * M }, facts, []).memory).toEqual({ limit: 100n * M });
  });

  const cpu: [name: string, request: ResourceRequest, want: object][] = [
    ["time", { nanoCpus: 1_500_000_000n }, { quota: 150_000n, period: 100_000n }],
    ["least shares", { cpuShares: 1n }, { shares: 2n }],
    ["most shares", { cpuShares: 10n ** 9n }, { shares: 262_144n }],
    ["set", { cpusetCpus: "0-1" }, { cpus: "0-1" }],
    ["nothing", {}, {}],
  ];
  test.each(cpu)("cpu %s", (_name, request, want) => {
    expect(planResources(request, FACTS, []).cpu).toEqual(want);
  });

  const refused: [name: string, request: ResourceRequest, message: RegExp][] = [
    ["little memory", { memory: 5n * M }, /the least is 6 MiB/],
    ["swap alone", { memorySwap: 10n * M }, /there is no --memory/],
    ["less swap than memory", { memory: 10n * M, memorySwap: 9n * M }, /less than --memory/],
    ["more cpus than there are", { nanoCpus: 5_000_000_000n }, /want 0.01 to 4/],
    ["too little time", { nanoCpus: 1n }, /want 0.01 to 4/],
    ["negative shares", { cpuShares: -1n }, /negative/],
  ];
  test.each(refused)("refuses %s", (_name, request, message) => {
    expect(() => planResources(request, FACTS, [])).toThrow(message);
  });

  test("processes are limited unless the caller lifts it", () => {
    const limit = (pidsLimit: bigint) => planResources({ pidsLimit }, FACTS, []).pids?.limit;
    expect(planResources({}, FACTS, []).pids?.limit).toBe(2048n);
    expect([limit(10n), limit(0n), limit(-1n)]).toEqual([10n, -1n, -1n]);
  });
});

describe("planRlimits", () => {
  test("-1 is the kernel's infinity, the last of a name wins", () => {
    const ask = (soft: bigint, hard: bigint) => ({ name: "nofile", soft, hard });
    expect(planRlimits([ask(1n, 2n), ask(5n, -1n)])).toEqual([
      { type: "RLIMIT_NOFILE", soft: 5n, hard: 2n ** 64n - 1n },
    ]);
  });

  test.each([
    ["files", 1n, 1n, /no such limit/],
    ["nofile", 2n, 1n, /soft is above hard/],
    ["nofile", -1n, 1n, /soft is above hard/],
  ] as const)("refuses %s %d:%d", (name, soft, hard, message) => {
    expect(() => planRlimits([{ name, soft, hard }])).toThrow(message);
  });
});

describe("planSysctls", () => {
  test.each(["kernel.shmmax", "kernel.sem", "fs.mqueue.msg_max", "net.ipv4.ip_forward"])(
    "lets %s be set",
    (name) => expect(planSysctls(new Map([[name, "1"]]), "none").get(name)).toBe("1"),
  );

  const refused: [name: string, value: string, network: "none" | "host", message: RegExp][] = [
    ["net.ipv4.ip_forward", "1", "host", /the host's setting/],
    ["kernel.core_pattern", "|/x", "none", /the whole machine/],
    ["vm.swappiness", "1", "none", /the whole machine/],
    ["net.ipv4.x", "1\nkernel.core_pattern=x", "none", /control character/],
    ["net/../kernel/core_pattern", "1", "none", /character that no setting has/],
    ["net..x", "1", "none", /empty part/],
    ["kernel.shm_rmid_forced_not", "1", "none", /the whole machine/],
  ];
  test.each(refused)("refuses %s=%s", (name, value, network, message) => {
    expect(() => planSysctls(new Map([[name, value]]), network)).toThrow(message);
  });
});
