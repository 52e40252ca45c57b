/**
 * Scheduling, I/O priority, memory policy and personality of the program, as kernel structures, and
 * the calls that take them. Few containers have any: this is a part of its own.
 * Source: sched(7), ioprio_set(2), set_mempolicy(2), personality(2).
 */

import { assertNever, TareError } from "@tare/spec/error.ts";
import { idMask } from "@tare/spec/id-list.ts";
import type { MemoryPolicy, Process, Scheduler } from "@tare/spec/oci-runtime.ts";
import type { LaunchLinux } from "../container/exec-record.ts";
import type { SchedulingStep } from "../container/step.ts";
import { EINVAL } from "../sys/abi-errno.ts";
import { check, during, errnoOf } from "../sys/check.ts";
import type { Sys } from "../sys/types.ts";

/** sched(7) policies by number. */
const POLICIES = [
  "SCHED_OTHER",
  "SCHED_FIFO",
  "SCHED_RR",
  "SCHED_BATCH",
  "SCHED_ISO",
  "SCHED_IDLE",
  "SCHED_DEADLINE",
];
const SCHED_FLAGS: ReadonlyMap<string, bigint> = new Map([
  ["SCHED_FLAG_RESET_ON_FORK", 0x01n],
  ["SCHED_FLAG_RECLAIM", 0x02n],
  ["SCHED_FLAG_DL_OVERRUN", 0x04n],
  ["SCHED_FLAG_KEEP_POLICY", 0x08n],
  ["SCHED_FLAG_KEEP_PARAMS", 0x10n],
  ["SCHED_FLAG_UTIL_CLAMP_MIN", 0x20n],
  ["SCHED_FLAG_UTIL_CLAMP_MAX", 0x40n],
]);
/** `struct sched_attr` of sched_setattr(2), second version: the flags of clamping want its fields. */
const SCHED_ATTR_BYTES = 56;
const DEADLINE = "SCHED_DEADLINE";
/** The kernel counts in units of 1024 ns and wants the sign's bit. */
const DEADLINE_NS_MIN = 1024n;
const DEADLINE_NS_MAX = 2n ** 63n - 1n;
const NICE_MIN = -20;
const NICE_MAX = 19;
const IOPRIO_WHO_PROCESS = 1;

/**
 * What the configuration asks for, in the order in which it is done.
 * @param cpus the processors of the container's cpuset, where one is being made
 */
export function planScheduling(
  config: { readonly linux: LaunchLinux },
  process: Process,
  cpus?: string,
): SchedulingStep[] {
  return [
    ...planScheduler(process, cpus),
    ...planIoPriority(process),
    ...planMemoryPolicy(config),
    ...planPersonality(config),
  ];
}

export function applyScheduling(sys: Sys, step: SchedulingStep): void {
  during(
    () => `Cannot honour ${step.field}`,
    () => applyStep(sys, step),
  );
}

function applyStep(sys: Sys, step: SchedulingStep): unknown {
  switch (step.op) {
    case "scheduler":
      return setScheduler(sys, step);
    case "io-priority":
      return check(sys.ioprio_set(IOPRIO_WHO_PROCESS, 0, step.priority), "ioprio_set");
    case "memory-policy":
      return check(sys.set_mempolicy(step.mode, step.nodes, nodeBits(step.nodes)), "set_mempolicy");
    case "personality":
      return check(sys.personality(step.persona), "personality");
    default:
      return assertNever(step);
  }
}

/** The kernel takes one bit less than it is told of, and 0 for all that there are. */
function nodeBits(nodes: Uint8Array): number {
  return Math.max(1, nodes.length * 8);
}

function setScheduler(
  sys: Sys,
  { attr, refusal }: Extract<SchedulingStep, { op: "scheduler" }>,
): void {
  const ret = sys.sched_setattr(0, attr, 0);
  if (refusal === undefined || errnoOf(ret) !== EINVAL) return void check(ret, "sched_setattr");
  // These words are crun's.
  throw new TareError("bad_input", `sched_setattr: \`SCHED_DEADLINE\` ${refusal}`);
}

export function planScheduler({ scheduler }: Process, cpus?: string): SchedulingStep[] {
  if (scheduler === undefined) return [];
  if (scheduler.policy === DEADLINE && cpus !== undefined) {
    // The kernel's answer is a bare EPERM (sched(7)); the words after the name are runc's.
    const why =
      "process scheduler can't be used together with AllowedCPUs (linux.resources.cpu.cpus)";
    throw wrong("process.scheduler.policy", scheduler.policy, why);
  }
  const policy = POLICIES.indexOf(scheduler.policy);
  if (policy < 0) throw unknown("process.scheduler.policy", scheduler.policy, POLICIES);
  checkScheduler(scheduler);
  let flags = 0n;
  for (const name of scheduler.flags) {
    const flag = SCHED_FLAGS.get(name);
    if (flag === undefined) throw unknown("process.scheduler.flags", name, [...SCHED_FLAGS.keys()]);
    flags |= flag;
  }
  const attr = new Uint8Array(SCHED_ATTR_BYTES);
  const view = new DataView(attr.buffer);
  view.setUint32(0, SCHED_ATTR_BYTES, true);
  view.setUint32(4, policy, true);
  view.setBigUint64(8, flags, true);
  view.setInt32(16, scheduler.nice, true);
  view.setInt32(20, scheduler.priority, true);
  view.setBigUint64(24, scheduler.runtime ?? 0n, true);
  view.setBigUint64(32, scheduler.deadline ?? 0n, true);
  view.setBigUint64(40, scheduler.period, true);
  const field = `process.scheduler "${scheduler.policy}"`;
  const why = "process.scheduler asks for it";
  const refusal = scheduler.policy === DEADLINE ? deadlineFault(scheduler) : undefined;
  return [{ op: "scheduler", attr, field, why, ...(refusal === undefined ? {} : { refusal }) }];
}

/** The first rule of sched(7), "SCHED_DEADLINE", that the times break. */
function deadlineFault({ runtime, deadline, period }: Scheduler): string | undefined {
  if (runtime === undefined) return "requires `runtime`";
  if (deadline === undefined) return "requires `deadline`";
  for (const [name, value] of Object.entries({ runtime, deadline })) {
    if (value === 0n) return `${name} must be greater than 0`;
    if (value < DEADLINE_NS_MIN || value > DEADLINE_NS_MAX) {
      return `${name} (${value}) must be between ${DEADLINE_NS_MIN} and ${DEADLINE_NS_MAX}`;
    }
  }
  if (runtime > deadline) return `runtime (${runtime}) must be <= deadline (${deadline})`;
  if (period !== 0n && deadline > period) {
    return `deadline (${deadline}) must be <= period (${period})`;
  }
  return undefined;
}

/** What the kernel would pass over in silence: fields of another policy. As runc. */
function checkScheduler({ policy, nice, priority, ...times }: Scheduler): void {
  const { runtime = 0n, deadline = 0n, period } = times;
  const fair = policy === "SCHED_OTHER" || policy === "SCHED_BATCH";
  if (fair && (nice < NICE_MIN || nice > NICE_MAX)) {
    throw wrong("process.scheduler.nice", `${nice}`, `want ${NICE_MIN} to ${NICE_MAX}`);
  }
  if (priority !== 0 && policy !== "SCHED_FIFO" && policy !== "SCHED_RR") {
    throw wrong(
      "process.scheduler.priority",
      `${priority}`,
      "only SCHED_FIFO and SCHED_RR have one",
    );
  }
  if (policy !== DEADLINE && (runtime !== 0n || deadline !== 0n || period !== 0n)) {
    const why = "only SCHED_DEADLINE has runtime, deadline and period";
    throw wrong("process.scheduler.policy", policy, why);
  }
}

const IO_CLASSES = ["IOPRIO_CLASS_NONE", "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"];
const IO_CLASS_SHIFT = 13;

export function planIoPriority({ ioPriority }: Process): SchedulingStep[] {
  if (ioPriority === undefined) return [];
  const number = IO_CLASSES.indexOf(ioPriority.class);
  if (number < 0) throw unknown("process.ioPriority.class", ioPriority.class, IO_CLASSES);
  const priority = (number << IO_CLASS_SHIFT) | ioPriority.priority;
  const field = `process.ioPriority "${ioPriority.class}"`;
  return [{ op: "io-priority", priority, field, why: "process.ioPriority asks for it" }];
}

/** linux/mempolicy.h: the enumeration of modes. */
const MEMORY_MODES: ReadonlyMap<string, number> = new Map([
  ["MPOL_DEFAULT", 0],
  ["MPOL_PREFERRED", 1],
  ["MPOL_BIND", 2],
  ["MPOL_INTERLEAVE", 3],
  ["MPOL_LOCAL", 4],
  ["MPOL_PREFERRED_MANY", 5],
  ["MPOL_WEIGHTED_INTERLEAVE", 6],
]);
const MEMORY_FLAGS: ReadonlyMap<string, number> = new Map([
  ["MPOL_F_STATIC_NODES", 1 << 15],
  ["MPOL_F_RELATIVE_NODES", 1 << 14],
  ["MPOL_F_NUMA_BALANCING", 1 << 13],
]);
/** A whole word above the last node: see nodeBits. */
const MASK_BYTES_MORE = 8;

export function planMemoryPolicy({ linux }: { readonly linux: LaunchLinux }): SchedulingStep[] {
  const policy = linux.memoryPolicy;
  if (policy === undefined) return [];
  const base = MEMORY_MODES.get(policy.mode);
  if (base === undefined) {
    throw unknown("linux.memoryPolicy.mode", policy.mode, [...MEMORY_MODES.keys()]);
  }
  let mode = base;
  for (const name of policy.flags) {
    const flag = MEMORY_FLAGS.get(name);
    if (flag === undefined) throw unknown("linux.memoryPolicy.flags", name, memoryPolicyFlags());
    mode |= flag;
  }
  const nodes = nodeMask(policy);
  const shown = policy.nodes === undefined ? "" : ` on nodes "${policy.nodes}"`;
  const field = `linux.memoryPolicy "${policy.mode}"${shown}`;
  return [{ op: "memory-policy", mode, nodes, field, why: "linux.memoryPolicy asks for it" }];
}

function nodeMask({ mode, nodes = "" }: MemoryPolicy): Uint8Array {
  const mask = idMask(nodes);
  if (mask === undefined) {
    throw wrong("linux.memoryPolicy.nodes", nodes, "want a list such as 0-3,7");
  }
  const isNone = mode === "MPOL_DEFAULT" || mode === "MPOL_LOCAL";
  if (isNone && mask.length > 0) {
    const why = `${mode} mode requires 0 nodes but got ${bitsIn(mask)}`;
    throw wrong("linux.memoryPolicy.nodes", nodes, why);
  }
  if (!isNone && mode !== "MPOL_PREFERRED" && mask.length === 0) {
    throw wrong("linux.memoryPolicy.nodes", nodes, `${mode} needs a node`);
  }
  if (mask.length === 0) return mask;
  const padded = new Uint8Array(mask.length + MASK_BYTES_MORE);
  padded.set(mask);
  return padded;
}

function bitsIn(mask: Uint8Array): number {
  let count = 0;
  for (const byte of mask) for (let left = byte; left !== 0; left &= left - 1) count++;
  return count;
}

/** Names of all modes, for `features`. */
export function memoryPolicyModes(): readonly string[] {
  return [...MEMORY_MODES.keys()];
}

/** Names of all flags, for `features`. */
export function memoryPolicyFlags(): readonly string[] {
  return [...MEMORY_FLAGS.keys()];
}

/** linux/personality.h: PER_LINUX and PER_LINUX32. */
const DOMAINS: ReadonlyMap<string, number> = new Map([
  ["LINUX", 0x0000],
  ["LINUX32", 0x0008],
]);
/** The specification names none; these are those of personality(2) that change a Linux program. */
const PERSONALITY_FLAGS: ReadonlyMap<string, number> = new Map([
  ["UNAME26", 0x0020000],
  ["ADDR_NO_RANDOMIZE", 0x0040000],
  ["FDPIC_FUNCPTRS", 0x0080000],
  ["MMAP_PAGE_ZERO", 0x0100000],
  ["ADDR_COMPAT_LAYOUT", 0x0200000],
  ["READ_IMPLIES_EXEC", 0x0400000],
  ["ADDR_LIMIT_32BIT", 0x0800000],
  ["SHORT_INODE", 0x1000000],
  ["WHOLE_SECONDS", 0x2000000],
  ["STICKY_TIMEOUTS", 0x4000000],
  ["ADDR_LIMIT_3GB", 0x8000000],
]);

export function planPersonality({ linux }: { readonly linux: LaunchLinux }): SchedulingStep[] {
  const wanted = linux.personality;
  if (wanted === undefined) return [];
  const domain = DOMAINS.get(wanted.domain);
  if (domain === undefined) {
    throw unknown("linux.personality.domain", wanted.domain, [...DOMAINS.keys()]);
  }
  let persona = domain;
  for (const name of wanted.flags) {
    const flag = PERSONALITY_FLAGS.get(name);
    if (flag === undefined) {
      throw unknown("linux.personality.flags", name, [...PERSONALITY_FLAGS.keys()]);
    }
    persona |= flag;
  }
  const field = `linux.personality "${wanted.domain}"`;
  return [{ op: "personality", persona, field, why: "linux.personality asks for it" }];
}

function unknown(field: string, value: string, known: readonly string[]): TareError {
  return new TareError("bad_input", `Cannot use ${field} "${value}": unknown`, {
    hint: `Use one of ${known.join(", ")}`,
  });
}

function wrong(field: string, value: string, why: string): TareError {
  return new TareError("bad_input", `Cannot use ${field} "${value}": ${why}`);
}
