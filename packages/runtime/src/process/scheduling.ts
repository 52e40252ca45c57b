/** Scheduling, I/O priority and personality of the program, as kernel structures. Pure. */

import { TareError } from "@tare/spec/error.ts";
import type { Config, Process } from "@tare/spec/oci-runtime.ts";
import type { ProcessStep } from "../container/step.ts";

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
/** `struct sched_attr` of sched_setattr(2), first version. */
const SCHED_ATTR_BYTES = 48;

export function planScheduler({ scheduler }: Process): ProcessStep[] {
  if (scheduler === undefined) return [];
  const policy = POLICIES.indexOf(scheduler.policy);
  if (policy < 0) throw unknown("scheduler.policy", scheduler.policy, POLICIES);
  let flags = 0n;
  for (const name of scheduler.flags) {
    const flag = SCHED_FLAGS.get(name);
    if (flag === undefined) throw unknown("scheduler.flags", name, [...SCHED_FLAGS.keys()]);
    flags |= flag;
  }
  const attr = new Uint8Array(SCHED_ATTR_BYTES);
  const view = new DataView(attr.buffer);
  view.setUint32(0, SCHED_ATTR_BYTES, true);
  view.setUint32(4, policy, true);
  view.setBigUint64(8, flags, true);
  view.setInt32(16, scheduler.nice, true);
  view.setInt32(20, scheduler.priority, true);
  view.setBigUint64(24, scheduler.runtime, true);
  view.setBigUint64(32, scheduler.deadline, true);
  view.setBigUint64(40, scheduler.period, true);
  return [{ op: "scheduler", attr, why: "process.scheduler asks for it" }];
}

const IO_CLASSES = ["IOPRIO_CLASS_NONE", "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"];
const IO_CLASS_SHIFT = 13;

export function planIoPriority({ ioPriority }: Process): ProcessStep[] {
  if (ioPriority === undefined) return [];
  const number = IO_CLASSES.indexOf(ioPriority.class);
  if (number < 0) throw unknown("ioPriority.class", ioPriority.class, IO_CLASSES);
  const priority = (number << IO_CLASS_SHIFT) | ioPriority.priority;
  return [{ op: "io-priority", priority, why: "process.ioPriority asks for it" }];
}

/** linux/personality.h: PER_LINUX and PER_LINUX32. */
const DOMAINS: ReadonlyMap<string, number> = new Map([
  ["LINUX", 0x0000],
  ["LINUX32", 0x0008],
]);

export function planPersonality(config: Config): ProcessStep[] {
  const wanted = config.linux.personality;
  if (wanted === undefined) return [];
  const persona = DOMAINS.get(wanted.domain);
  if (persona === undefined)
    throw unknown("personality.domain", wanted.domain, [...DOMAINS.keys()]);
  if (wanted.flags.length > 0) {
    throw new TareError(
      "unsupported",
      `Cannot use linux.personality.flags "${wanted.flags[0]}": the specification defines none`,
    );
  }
  return [{ op: "personality", persona, why: "linux.personality asks for it" }];
}

function unknown(field: string, value: string, known: readonly string[]): TareError {
  return new TareError("bad_input", `Cannot use ${field} "${value}": unknown`, {
    hint: `Use one of ${known.join(", ")}`,
  });
}
