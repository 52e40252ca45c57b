/**
 * What changing the limits of a container that exists will do. Pure: what is in force is an argument.
 * The kernel's files are the memory: what an update does not name keeps the value that they have,
 * also where somebody else has set it.
 * Sources: cgroup-v2.rst; cgroup-v1/memory.rst; runc-update(8); runtime-spec, config-linux.md.
 */

import { TareError } from "@tare/spec/error.ts";
import type { CpuResources, MemoryResources, Resources } from "@tare/spec/oci-runtime.ts";
import { type CgroupWrite, planWrites } from "./plan.ts";
import type { CgroupState } from "./state.ts";

/** Values of the container's files, "max" as -1; those of memory absent where v1 has it. */
export type InForce = {
  /** memory.max */
  readonly memory?: bigint | undefined;
  /** memory.swap.max */
  readonly swap?: bigint | undefined;
  /** Both numbers of cpu.max; cpu.cfs_quota_us and cpu.cfs_period_us of v1. */
  readonly quota?: bigint | undefined;
  readonly period?: bigint | undefined;
  /** Bytes in use: memory.current, or memory.usage_in_bytes of v1. */
  readonly usage?: bigint | undefined;
};

/**
 * The writes of an update; devices are not among them.
 * @throws TareError `bad_input` for a value that cannot be, or that `checkBeforeUpdate` refuses;
 *   `no_cgroup` where no hierarchy of the container has the controller.
 */
export function planUpdate(
  state: CgroupState,
  resources: Resources,
  inForce: InForce,
): readonly CgroupWrite[] {
  const memory = completeMemory(resources.memory, inForce);
  checkUsage(memory, inForce.usage);
  // systemd keeps the quota as a share of the period: it must be told both.
  const cpu = completeCpu(resources.cpu, inForce, state.unit !== undefined);
  return planWrites(state.mode, state.dirs, { ...resources, memory, cpu }, undefined);
}

/**
 * v2 keeps memory and swap apart, configurations name their sum. So one of them alone means something
 * only with the other: the sum stays as it is when memory changes. No swap stays no swap.
 */
function completeMemory(memory: MemoryResources, inForce: InForce): MemoryResources {
  const { limit = 0n, swap } = memory;
  const before = inForce.memory ?? -1n;
  if (swap !== undefined && swap > 0n && limit === 0n && before >= 0n) {
    return { ...memory, limit: before };
  }
  const swapBefore = inForce.swap ?? -1n;
  if (swap === undefined && limit > 0n && before >= 0n && swapBefore > 0n) {
    return { ...memory, swap: before + swapBefore };
  }
  return memory;
}

/** cpu.max has quota and period in one line: a period alone would take the quota away. */
function completeCpu(cpu: CpuResources, inForce: InForce, both: boolean): CpuResources {
  const { quota = 0n, period = 0n } = cpu;
  if (quota === 0n && period !== 0n && inForce.quota !== undefined) {
    return { ...cpu, quota: inForce.quota };
  }
  const isAlone = both && quota !== 0n && period === 0n;
  return isAlone && inForce.period !== undefined ? { ...cpu, period: inForce.period } : cpu;
}

/** `checkBeforeUpdate`: the kernel would rather kill than refuse a limit below what is in use. */
function checkUsage(memory: MemoryResources, usage: bigint | undefined): void {
  if (memory.checkBeforeUpdate !== true || usage === undefined) return;
  const { limit = 0n, swap = 0n } = memory;
  if (swap > 0n && swap <= usage) throw tooLow("memory+swap", swap, usage);
  if (limit > 0n && limit <= usage) throw tooLow("memory", limit, usage);
}

function tooLow(what: string, limit: bigint, usage: bigint): TareError {
  const why = `rejecting ${what} limit ${limit} <= usage ${usage}`;
  return new TareError("bad_input", `Cannot update the container: ${why}`);
}

/** Whether a file already has a value: then it is not written. */
export function isInForce({ value }: CgroupWrite, text: string): boolean {
  return text.trim() === value;
}

/** Files with a line for each device, and what a device without a line has. */
const DEVICE_FILES: readonly (readonly [ending: string, none: string])[] = [
  ["io.max", "rbps=max wbps=max riops=max wiops=max"],
  ["io.weight", "default"],
  ["io.bfq.weight", "default"],
  ["rdma.max", "hca_handle=max hca_object=max"],
  [".weight_device", "0"],
  [".read_bps_device", "0"],
  [".write_bps_device", "0"],
  [".read_iops_device", "0"],
  [".write_iops_device", "0"],
  ["net_prio.ifpriomap", "0"],
];

/**
 * The value that puts back what `text`, the file's content, says.
 * Undefined where the file says nothing that could be written.
 */
export function valueBefore({ file, value }: CgroupWrite, text: string): string | undefined {
  // An empty cpuset of v2; the kernel passes over a write of nothing.
  if (text.trim() === "") return text === "" ? undefined : "\n";
  const lines = text.trim().split("\n");
  if (file === "memory.oom_control") return wordAfter(lines, "oom_kill_disable");
  const known = DEVICE_FILES.find(([ending]) => file.endsWith(ending));
  const [subject = "", ...words] = value.split(" ");
  if (known === undefined) return lines.length === 1 ? text.trim() : undefined;
  // "100" in a file of weights is the one of every device without a line.
  const key = words.length === 0 ? "default" : subject;
  const line = lines.find((each) => each.startsWith(`${key} `));
  if (line !== undefined) return line;
  return words.length === 0 ? text.trim() : `${subject} ${known[1]}`;
}

function wordAfter(lines: readonly string[], name: string): string | undefined {
  return lines.find((line) => line.startsWith(`${name} `))?.slice(name.length + 1);
}
