/**
 * Limits as writes for the controllers of cgroup v2. The configuration speaks the language of v1, so
 * values are converted by the formulas that runc and crun share (opencontainers/cgroups `utils.go`).
 * Sources: Documentation/admin-guide/cgroup-v2.rst; runtime-spec, config-linux.md.
 */

import type { BlockIo, CpuResources, MemoryResources, Resources } from "@tare/spec/oci-runtime.ts";
import {
  badLimit,
  type Controller,
  inRange,
  type LimitWrite,
  limitV2,
  noSuchLimit,
} from "./limit.ts";
import { planCpuset, planHugetlb, planPids, planRdma, withIdle } from "./plan-either.ts";
import { isUnset, noLeafWeight } from "./plan-v1.ts";

type Planner = (resources: Resources) => LimitWrite[];

/** A planner for each controller; each answers no write where nothing is asked of it. */
export const V2_PLANNERS: Readonly<Record<Controller, Planner>> = {
  memory: ({ memory }) => planMemory(memory),
  cpu: ({ cpu }) => [...refuseRealtime(cpu), ...cpuWeight(cpu), ...cpuBandwidth(cpu)],
  cpuset: planCpuset,
  pids: planPids,
  blkio: ({ blockIO }) => [...ioWeights(blockIO), ...ioMax(blockIO)],
  hugetlb: (resources) => planHugetlb(resources, 2),
  net_cls: refuseNetwork,
  net_prio: refuseNetwork,
  rdma: planRdma,
  // An eBPF program does it.
  devices: () => [],
};

const MEMORY = "linux.resources.memory";
const CPU = "linux.resources.cpu";
const BLOCK_IO = "linux.resources.blockIO";
const UNIFIED_KEYS_MAX = 256;

/** Files of a cgroup that are commands, not limits: `cgroup.procs` would pull in any process. */
const COMMAND_FILES = ["cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze"];
/** Files that hold a line for each device: a later line does not take the place of an earlier one. */
const FILES_OF_LINES = ["io.max", "io.weight", "io.bfq.weight", "rdma.max"];

/** `max` is the word for all that -1 says in a v1 value. */
function planMemory(memory: MemoryResources): LimitWrite[] {
  refuseV1Memory(memory);
  const writes: LimitWrite[] = [];
  const add = (name: string, file: string, value: string, why: string, more: object = {}): void => {
    writes.push({ controller: "memory", file, value, field: `${MEMORY}.${name}`, why, ...more });
  };
  const { limit = 0n, reservation = 0n } = memory;
  const swap = swapAlone(memory);
  // Swap before memory: the pages over a new limit may not go where they are not allowed.
  if (swap !== undefined) {
    add("swap", "memory.swap.max", limitV2(`${MEMORY}.swap`, swap), "bytes of swap", {
      // Absent where the kernel has no swap: then there is none to limit.
      ifPresent: true,
    });
  }
  if (limit !== 0n) {
    add("limit", "memory.max", limitV2(`${MEMORY}.limit`, limit), "bytes of memory");
  }
  if (reservation !== 0n) {
    const value = limitV2(`${MEMORY}.reservation`, reservation);
    add("reservation", "memory.low", value, "below this, reclaimed last");
  }
  return writes;
}

/** v2 counts swap by itself: what was memory and swap together, less the memory. */
function swapAlone({ limit, swap }: MemoryResources): bigint | undefined {
  if (swap === undefined) return limit === -1n ? -1n : undefined;
  if (swap <= 0n || limit === -1n) return swap;
  if (limit === undefined || limit === 0n) {
    throw badLimit(`${MEMORY}.swap`, swap, "it counts memory too, and memory.limit is not given");
  }
  if (swap < limit) {
    throw badLimit(`${MEMORY}.swap`, swap, `memory and swap together are less than ${limit}`);
  }
  return swap - limit;
}

function refuseV1Memory(memory: MemoryResources): void {
  const { kernelTCP = 0n, swappiness = -1n } = memory;
  const refuse = (name: string, value: unknown): Error =>
    noSuchLimit(`${MEMORY}.${name}`, value, "cgroup v2 has no such limit", "Leave the field out");
  if (kernelTCP !== 0n) throw refuse("kernelTCP", kernelTCP);
  if (!isUnset(swappiness)) throw refuse("swappiness", swappiness);
  if (memory.disableOOMKiller === true) throw refuse("disableOOMKiller", true);
  if (memory.useHierarchy === false) throw refuse("useHierarchy", false);
}

function refuseRealtime({ realtimePeriod = 0n, realtimeRuntime = 0n }: CpuResources): LimitWrite[] {
  for (const [name, value] of Object.entries({ realtimePeriod, realtimeRuntime })) {
    if (value === 0n) continue;
    const why = "cgroup v2 does not share out realtime";
    throw noSuchLimit(`${CPU}.${name}`, value, why, "Leave the field out");
  }
  return [];
}

function cpuWeight({ shares = 0n, idle }: CpuResources): readonly LimitWrite[] {
  const writes: LimitWrite[] = [];
  if (shares !== 0n) {
    writes.push({
      controller: "cpu",
      file: "cpu.weight",
      value: `${weightOfShares(shares)}`,
      field: `${CPU}.shares`,
      why: "part of the CPU time against its siblings, 100 is the usual",
    });
  }
  return withIdle(writes, idle);
}

/**
 * Shares of v1 (2 to 262144, usually 1024) as a weight of v2 (1 to 10000, usually 100): the curve
 * through the least, the usual and the most, of runc 1.3.2 and crun 1.23 and newer.
 */
export function weightOfShares(shares: bigint): number {
  if (shares <= 2n) return 1;
  if (shares >= 262_144n) return 10_000;
  const log = Math.log2(Number(shares));
  const weight = 10 ** ((log * log + 125 * log) / 612 - 7 / 34);
  // Mathematical libraries differ in the last bit: 1024 is 100, never 101.
  return Math.ceil(weight - 1e-9);
}

function cpuBandwidth({ quota = 0n, period = 0n, burst }: CpuResources): LimitWrite[] {
  const writes: LimitWrite[] = [];
  if (burst !== undefined) {
    const field = `${CPU}.burst`;
    writes.push({
      controller: "cpu",
      file: "cpu.max.burst",
      value: `${inRange(field, burst, 0, Number.MAX_SAFE_INTEGER)}`,
      field,
      why: "microseconds saved up for later",
      // The kernel refuses (EINVAL) a burst above the quota of that moment.
      ...(quota === 0n ? {} : { mayWait: true }),
    });
  }
  if (quota === 0n && period === 0n) return writes;
  const name = quota === 0n ? "period" : "quota";
  const most = quota === 0n ? "max" : limitV2(`${CPU}.quota`, quota < 0n ? -1n : quota);
  writes.push({
    controller: "cpu",
    file: "cpu.max",
    // Without a second number the kernel keeps the period that there is.
    value: period === 0n ? most : `${most} ${period}`,
    field: `${CPU}.${name}`,
    why: "microseconds of CPU in each period, and the period",
  });
  return writes;
}

/** A weight of blkio (10 to 1000; BFQ takes 1 to 9, too) as one of io (1 to 10000). */
export function ioWeightOf(weight: number): number {
  return Math.max(1, 1 + Math.trunc(((weight - 10) * 9999) / 990));
}

/** BFQ has the scale of v1; where BFQ is not, the weight is for the io.cost controller. */
function ioWeights({ weight = 0, leafWeight = 0, weightDevice }: BlockIo): LimitWrite[] {
  const writes: LimitWrite[] = [];
  const add = (field: string, prefix: string, asked: number): void => {
    inRange(field, asked, 1, 1000);
    writes.push({
      controller: "io",
      file: "io.bfq.weight",
      value: `${prefix}${asked}`,
      field,
      why: "part of the disk time against its siblings",
      orElse: { file: "io.weight", value: `${prefix}${ioWeightOf(asked)}` },
    });
  };
  if (weight !== 0) add(`${BLOCK_IO}.weight`, "", weight);
  for (const device of weightDevice) {
    const field = `${BLOCK_IO}.weightDevice`;
    if ((device.leafWeight ?? 0) !== 0) throw noLeafWeight(field, device.leafWeight);
    const asked = device.weight ?? 0;
    if (asked !== 0) add(field, `${device.major}:${device.minor} `, asked);
  }
  if (leafWeight !== 0) throw noLeafWeight(`${BLOCK_IO}.leafWeight`, leafWeight);
  return writes;
}

/** One line for each device. A rate of 0 takes a limit of v1 away; v2's word for it is max. */
function ioMax(blockIO: BlockIo): LimitWrite[] {
  const keys = [
    ["throttleReadBpsDevice", "rbps"],
    ["throttleWriteBpsDevice", "wbps"],
    ["throttleReadIOPSDevice", "riops"],
    ["throttleWriteIOPSDevice", "wiops"],
  ] as const;
  const lines = new Map<string, { readonly field: string; readonly limits: string[] }>();
  for (const [name, key] of keys) {
    for (const { major, minor, rate } of blockIO[name]) {
      const device = `${major}:${minor}`;
      const line = lines.get(device) ?? { field: `${BLOCK_IO}.${name}`, limits: [] };
      line.limits.push(`${key}=${rate === 0n ? "max" : rate}`);
      lines.set(device, line);
    }
  }
  return [...lines].map(([device, { field, limits }]) => {
    const why = "bytes and operations a second, read from and written to the device";
    return { controller: "io", file: "io.max", value: `${device} ${limits.join(" ")}`, field, why };
  });
}

function refuseNetwork({ network }: Resources): LimitWrite[] {
  const { classID = 0, priorities } = network;
  const hint = "Match on the cgroup's path with nftables instead, or leave the field out";
  const refuse = (name: string, controller: string, value: unknown): Error => {
    const why = `cgroup v2 has no controller "${controller}"`;
    return noSuchLimit(`linux.resources.network.${name}`, value, why, hint);
  };
  if (classID !== 0) throw refuse("classID", "net_cls", classID);
  if (priorities.length > 0) throw refuse("priorities", "net_prio", priorities[0]?.name);
  return [];
}

/**
 * The writes with those of `linux.resources.unified` after them, a line each. They have the last
 * word, as in runc and crun: a write that one of them would replace is left out.
 * @throws TareError `bad_input` for a key that is no file of a controller, or is a command.
 */
export function withUnified(writes: readonly LimitWrite[], { unified }: Resources): LimitWrite[] {
  if (unified.size > UNIFIED_KEYS_MAX) {
    throw badLimit("linux.resources.unified", unified.size, `more than ${UNIFIED_KEYS_MAX} keys`);
  }
  const isReplaced = (write: LimitWrite): boolean =>
    unified.has(write.file) && !FILES_OF_LINES.includes(write.file);
  const kept = writes.filter((write) => !isReplaced(write));
  return [...kept, ...[...unified].flatMap(([key, value]) => unifiedWrites(key, value))];
}

function unifiedWrites(key: string, value: string): LimitWrite[] {
  const field = "linux.resources.unified";
  const dot = key.indexOf(".");
  if (key.includes("/") || key.includes("\0")) throw badLimit(field, key, "it must be a file name");
  if (dot < 1) {
    const why = `the specified key has not the form CONTROLLER.VALUE \`${key}\``;
    throw badLimit(field, key, why);
  }
  if (COMMAND_FILES.includes(key)) throw badLimit(field, key, "it is a command, not a limit");
  const lines = value.split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    return {
      controller: key.slice(0, dot),
      file: key,
      value: line,
      field: `${field}.${key}`,
      why: "set by its name, after all others",
    };
  });
}
