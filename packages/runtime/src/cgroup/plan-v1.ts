/**
 * Limits as writes for the controllers of cgroup v1.
 * Sources: Documentation/admin-guide/cgroup-v1/, scheduler/{sched-bwc,sched-rt-group}.rst;
 * runtime-spec, config-linux.md. As in runc 0 is "not asked for" where the kernel has no use for it,
 * and `memory.kernel` is passed over: the kernel has dropped it.
 */

import type { BlockIo, CpuResources, MemoryResources, Resources } from "@tare/spec/oci-runtime.ts";
import { type DevicePolicy, deviceLines } from "./device-rules.ts";
import {
  badLimit,
  type Controller,
  inRange,
  type LimitWrite,
  limitV1,
  noSuchLimit,
} from "./limit.ts";
import { isOneWord, planCpuset, planHugetlb, planPids, planRdma, withIdle } from "./plan-either.ts";

type Planner = (resources: Resources, devices: DevicePolicy | undefined) => LimitWrite[];

/** A planner for each controller; each answers no write where nothing is asked of it. */
export const V1_PLANNERS: Readonly<Record<Controller, Planner>> = {
  memory: ({ memory }) => [...memoryLimits(memory), ...memoryHabits(memory)],
  cpu: ({ cpu }) => [...cpuShare(cpu), ...cpuBandwidth(cpu), ...cpuRealtime(cpu)],
  cpuset: planCpuset,
  pids: planPids,
  blkio: ({ blockIO }) => [...blkioWeights(blockIO), ...blkioThrottles(blockIO)],
  hugetlb: (resources) => planHugetlb(resources, 1),
  net_cls: planNetCls,
  net_prio: planNetPrio,
  rdma: planRdma,
  devices: (_resources, devices) => (devices === undefined ? [] : planDevices(devices)),
};

const MEMORY = "linux.resources.memory";
const CPU = "linux.resources.cpu";
const BLOCK_IO = "linux.resources.blockIO";

/**
 * memsw is memory and swap together and the kernel keeps limit <= memsw at every moment (EINVAL).
 * Limit first is right for a new cgroup and when lowering; when raising, limit comes again after it.
 */
function memoryLimits({ limit, swap }: MemoryResources): LimitWrite[] {
  const writes: LimitWrite[] = [];
  const isAsked = limit !== undefined && limit !== 0n;
  // No limit for memory and none named for both: none for both, as runc has it.
  const both = isAsked && limit === -1n && (swap ?? 0n) === 0n ? -1n : (swap ?? 0n);
  if (isAsked) {
    writes.push({
      controller: "memory",
      file: "memory.limit_in_bytes",
      value: limitV1(`${MEMORY}.limit`, limit),
      field: `${MEMORY}.limit`,
      why: "bytes of memory, page cache included",
      ...(both === 0n ? {} : { mayWait: true }),
    });
  }
  if (both === 0n) return writes;
  if (isAsked && limit > 0n && both > 0n && both < limit) {
    throw badLimit(`${MEMORY}.swap`, both, `memory and swap together are less than ${limit}`);
  }
  writes.push({
    controller: "memory",
    file: "memory.memsw.limit_in_bytes",
    value: limitV1(`${MEMORY}.swap`, both),
    field: swap === undefined ? `${MEMORY}.limit` : `${MEMORY}.swap`,
    why: "bytes of memory and swap together",
    // Absent where the kernel has no swap (CONFIG_SWAP=n): then there is none to limit.
    ifPresent: true,
  });
  return writes;
}

function memoryHabits(memory: MemoryResources): LimitWrite[] {
  const writes: LimitWrite[] = [];
  const add = (name: keyof MemoryResources, file: string, value: string, why: string): void => {
    writes.push({ controller: "memory", file, value, field: `${MEMORY}.${name}`, why });
  };
  const { reservation = 0n, kernelTCP = 0n, swappiness = -1n } = memory;
  if (reservation !== 0n) {
    const value = limitV1(`${MEMORY}.reservation`, reservation);
    add("reservation", "memory.soft_limit_in_bytes", value, "above this, reclaimed first");
  }
  if (kernelTCP !== 0n) {
    const value = limitV1(`${MEMORY}.kernelTCP`, kernelTCP);
    add("kernelTCP", "memory.kmem.tcp.limit_in_bytes", value, "bytes of TCP buffers");
  }
  if (memory.disableOOMKiller === true) {
    add("disableOOMKiller", "memory.oom_control", "1", "out of memory: wait, do not kill");
  }
  if (!isUnset(swappiness)) {
    const value = `${inRange(`${MEMORY}.swappiness`, swappiness, 0, 100)}`;
    add("swappiness", "memory.swappiness", value, "how readily pages go to swap");
  }
  if (memory.useHierarchy === false) {
    const why = "every memory cgroup counts its children since Linux 5.11";
    throw noSuchLimit(`${MEMORY}.useHierarchy`, false, why, "Leave the field out");
  }
  return writes;
}

/** The specification's field has no sign, and docker and podman write -1 into it. */
export function isUnset(swappiness: bigint): boolean {
  return swappiness === -1n || swappiness === 0xffff_ffff_ffff_ffffn;
}

function cpuShare({ shares = 0n, idle }: CpuResources): readonly LimitWrite[] {
  const writes: LimitWrite[] = [];
  if (shares !== 0n) {
    writes.push({
      controller: "cpu",
      file: "cpu.shares",
      // The kernel would clamp in silence.
      value: `${inRange(`${CPU}.shares`, shares, 2, 262_144)}`,
      field: `${CPU}.shares`,
      why: "part of the CPU time against its siblings, 1024 is the usual",
    });
  }
  return withIdle(writes, idle);
}

/** The kernel refuses (EINVAL) a period or a burst that does not fit the quota of that moment. */
function cpuBandwidth({ period = 0n, burst, quota = 0n }: CpuResources): LimitWrite[] {
  const writes: LimitWrite[] = [];
  const wait = quota === 0n ? {} : ({ mayWait: true } as const);
  const add = (name: string, file: string, value: bigint, why: string, more: object): void => {
    const field = `${CPU}.${name}`;
    writes.push({ controller: "cpu", file, value: limitV1(field, value), field, why, ...more });
  };
  if (period !== 0n) add("period", "cpu.cfs_period_us", period, "microseconds of a period", wait);
  if (burst !== undefined) {
    add("burst", "cpu.cfs_burst_us", burst, "microseconds saved up for later", wait);
  }
  if (quota !== 0n) {
    const most = quota < 0n ? -1n : quota;
    add("quota", "cpu.cfs_quota_us", most, "microseconds of CPU in each period", {});
  }
  return writes;
}

function cpuRealtime({ realtimePeriod = 0n, realtimeRuntime = 0n }: CpuResources): LimitWrite[] {
  const writes: LimitWrite[] = [];
  if (realtimePeriod !== 0n) {
    const field = `${CPU}.realtimePeriod`;
    writes.push({
      controller: "cpu",
      file: "cpu.rt_period_us",
      value: limitV1(field, realtimePeriod),
      field,
      why: "microseconds of a realtime period",
      ...(realtimeRuntime === 0n ? {} : { mayWait: true }),
    });
  }
  if (realtimeRuntime !== 0n) {
    const field = `${CPU}.realtimeRuntime`;
    writes.push({
      controller: "cpu",
      file: "cpu.rt_runtime_us",
      value: limitV1(field, realtimeRuntime),
      field,
      why: "microseconds for realtime processes in each of them",
    });
  }
  return writes;
}

/** `blkio.weight` was CFQ's and went with it in Linux 5.0; some kernels keep it as an alias of BFQ's. */
function blkioWeights({ weight = 0, leafWeight = 0, weightDevice }: BlockIo): LimitWrite[] {
  const writes: LimitWrite[] = [];
  const add = (ending: string, value: string, field: string): void => {
    writes.push({
      controller: "blkio",
      file: `blkio.${ending}`,
      value,
      field,
      why: "part of the disk time against its siblings",
      orElse: { file: `blkio.bfq.${ending}`, value },
    });
  };
  if (weight !== 0) {
    const field = `${BLOCK_IO}.weight`;
    add("weight", `${inRange(field, weight, 1, 1000)}`, field);
  }
  for (const device of weightDevice) {
    const field = `${BLOCK_IO}.weightDevice`;
    if ((device.leafWeight ?? 0) !== 0) throw noLeafWeight(field, device.leafWeight);
    if ((device.weight ?? 0) === 0) continue;
    const legal = inRange(field, device.weight ?? 0, 1, 1000);
    add("weight_device", `${device.major}:${device.minor} ${legal}`, field);
  }
  if (leafWeight !== 0) throw noLeafWeight(`${BLOCK_IO}.leafWeight`, leafWeight);
  return writes;
}

/** Leaf weights were CFQ's alone. */
export function noLeafWeight(field: string, value: unknown): Error {
  const why = "the kernel has no leaf weights since Linux 5.0";
  return noSuchLimit(field, value, why, "Leave leafWeight out");
}

function blkioThrottles(blockIO: BlockIo): LimitWrite[] {
  const files = [
    ["throttleReadBpsDevice", "read_bps_device", "bytes a second read from"],
    ["throttleWriteBpsDevice", "write_bps_device", "bytes a second written to"],
    ["throttleReadIOPSDevice", "read_iops_device", "reads a second from"],
    ["throttleWriteIOPSDevice", "write_iops_device", "writes a second to"],
  ] as const;
  return files.flatMap(([name, ending, why]) =>
    blockIO[name].map(({ major, minor, rate }) => {
      return {
        controller: "blkio",
        file: `blkio.throttle.${ending}`,
        value: `${major}:${minor} ${rate}`,
        field: `${BLOCK_IO}.${name}`,
        why: `${why} device ${major}:${minor}`,
      };
    }),
  );
}

function planNetCls({ network }: Resources): LimitWrite[] {
  if ((network.classID ?? 0) === 0) return [];
  return [
    {
      controller: "net_cls",
      file: "net_cls.classid",
      value: `${network.classID}`,
      field: "linux.resources.network.classID",
      why: "the mark that traffic control sees on its packets",
    },
  ];
}

function planNetPrio({ network }: Resources): LimitWrite[] {
  return network.priorities.map(({ name, priority }, index) => {
    const field = `linux.resources.network.priorities[${index}]`;
    if (!isOneWord(name)) throw badLimit(field, name, "an interface name is one word");
    return {
      controller: "net_prio",
      file: "net_prio.ifpriomap",
      value: `${name} ${priority}`,
      field,
      why: `the priority of its packets on ${name}`,
    };
  });
}

function planDevices(devices: DevicePolicy): LimitWrite[] {
  return deviceLines(devices).map(({ file, line }) => {
    const verb = file === "devices.allow" ? "may" : "may not";
    return {
      controller: "devices",
      file,
      value: line,
      field: "linux.resources.devices",
      why: line === "a" ? `any device ${verb} be used, but for what follows` : `${verb} be used`,
    };
  });
}
