/**
 * The last part of a container's plan: from a privileged process in the finished tree to the
 * user's program. Each privilege is given up as late as it is needed and no later. Pure.
 * Source: runtime-spec config.md "process", capabilities(7), credentials(7).
 */

import { TareError } from "@tare/spec/error.ts";
import type { Capabilities, Config, Process } from "@tare/spec/oci-runtime.ts";
import type { LaunchLinux } from "../container/exec-record.ts";
import type { CapabilityMasks, ProcessStep, SchedulingStep } from "../container/step.ts";
import { CAP_BITS, capabilityNames, rlimitNumber } from "../sys/abi-process.ts";

/** Before the container counts as created: what must be written while files of the kernel are at hand. */
export function planProcessSetup({ process }: Partial<Config>): ProcessStep[] {
  if (process === undefined) return [];
  const steps: ProcessStep[] = [];
  if (process.oomScoreAdj !== undefined) {
    const why = "process.oomScoreAdj asks for it";
    steps.push({ op: "oom-score", value: process.oomScoreAdj, why });
  }
  for (const limit of process.rlimits) steps.push(planRlimit(limit));
  if (process.apparmorProfile !== undefined && process.apparmorProfile !== "") {
    const why = "confine the program from its first instruction";
    steps.push({ op: "apparmor", profile: process.apparmorProfile, why });
  }
  if (process.selinuxLabel !== undefined && process.selinuxLabel !== "") {
    const why = "label the program from its first instruction";
    steps.push({ op: "selinux", label: process.selinuxLabel, why });
  }
  const why = "a missing program is an error of create, not of start";
  if (process.args.length > 0) steps.push({ op: "find-program", why });
  return steps;
}

function planRlimit(limit: Process["rlimits"][number]): ProcessStep {
  const resource = rlimitNumber(limit.type);
  if (resource === undefined) {
    throw new TareError(
      "bad_input",
      `Cannot set process.rlimits "${limit.type}": unknown resource`,
    );
  }
  return { op: "rlimit", limit, resource, why: `process.rlimits asks for ${limit.type}` };
}

/** Whether there is anything for planScheduling, which is a part of its own. */
export function asksForScheduling(
  { linux }: { readonly linux: LaunchLinux },
  process: Process,
): boolean {
  const asked = [process.scheduler, process.ioPriority, linux.memoryPolicy, linux.personality];
  return asked.some((each) => each !== undefined);
}

export type LaunchFacts = {
  /** What planScheduling made of the process; empty where it asks for nothing of that. */
  readonly scheduling: readonly SchedulingStep[];
  /** Whether setgroups(2) may be forbidden, and the caller's groups stay: `groupsMayStay` of facts.ts. */
  readonly groupsMayStay: boolean;
};

/** From the word to start to execve(2). */
export function planLaunch(
  config: { readonly linux: LaunchLinux },
  process: Process,
  { scheduling, groupsMayStay }: LaunchFacts,
): ProcessStep[] {
  const { user } = process;
  const masks = capabilityMasks(process);
  const why = "what the program may do is exactly what the configuration says";
  const privileges: ProcessStep = { op: "capabilities", sets: masks, why };
  const filter: ProcessStep = {
    op: "seccomp",
    why: "as late as possible: the filter binds us too",
  };
  const steps: ProcessStep[] = [
    ...scheduling,
    {
      op: "default-signals",
      why: "what the caller ignores would stay ignored (SIGPIPE of conmon)",
    },
    { op: "umask", mask: user.umask ?? 0o022, why: "files get the modes that the user expects" },
  ];
  if (process.noNewPrivileges) {
    steps.push({ op: "no-new-privileges", why: "setuid programs must gain nothing" });
  }
  steps.push(
    { op: "bounding-set", drop: boundingDrops(process), why: "no execve may ever regain these" },
    {
      op: "identity",
      uid: user.uid,
      gid: user.gid,
      groups: supplementaryGroups(process),
      groupsMayStay: groupsMayStay || mayLackSetgroups(config, process),
      why: "run as the configured user and groups",
    },
    { op: "directory", path: process.cwd, why: "start where the configuration says" },
    { op: "descriptors", why: "a filter may refuse to close what leads out of the container" },
    // Without no_new_privs the filter takes CAP_SYS_ADMIN: then the capabilities go after it.
    ...(process.noNewPrivileges ? [privileges, filter] : [filter, privileges]),
    { op: "execute", why: "the container's program takes over this process" },
  );
  return steps;
}

/**
 * The primary group belongs to the list: a file whose group is denied would else be open to its own
 * group (CVE-2022-36109).
 */
function supplementaryGroups({ user }: Process): readonly number[] {
  return [...new Set([user.gid, ...user.additionalGids])];
}

/** A user without privileges maps one group, and only after setgroups(2) is given up (user_namespaces(7)). */
function mayLackSetgroups({ linux }: { readonly linux: LaunchLinux }, { user }: Process): boolean {
  const mapped = linux.namespaces.some(({ type }) => type === "user");
  const one = linux.gidMappings.length === 1 && linux.gidMappings[0]?.size === 1;
  return mapped && one && user.additionalGids.length === 0;
}

let numbersByName: ReadonlyMap<string, number> | undefined;

function numberOf(name: string): number | undefined {
  numbersByName ??= new Map(capabilityNames().map((known, number) => [known, number]));
  return numbersByName.get(name);
}

/** Of the names that the kernel has; `withinKnown` told the caller of the others. */
function capabilityNumbers(names: readonly string[]): number[] {
  return names.map(numberOf).filter((number) => number !== undefined);
}

/** Put together from two halves: a BigInt for each bit would cost more than the rest of the plan. */
function mask(numbers: readonly number[]): bigint {
  let low = 0;
  let high = 0;
  for (const number of numbers) {
    if (number < 32) low |= 1 << number;
    else high |= 1 << (number - 32);
  }
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/** The five sets as the kernel takes them. */
export function capabilityMasks(process: Process): CapabilityMasks {
  const { effective, permitted, inheritable, ambient } = process.capabilities;
  return {
    effective: mask(capabilityNumbers(effective)),
    permitted: mask(capabilityNumbers(permitted)),
    inheritable: mask(capabilityNumbers(inheritable)),
    ambient: capabilityNumbers(
      ambient.filter((name) => permitted.includes(name) && inheritable.includes(name)),
    ),
  };
}

/**
 * The kernel keeps no ambient one that is not both permitted and inheritable (capabilities(7));
 * configurations that ask for more are common, and runc and crun pass over it too.
 */
export function lostAmbient({ capabilities }: Process): readonly string[] {
  const { ambient, permitted, inheritable } = capabilities;
  return ambient.filter((name) => !permitted.includes(name) || !inheritable.includes(name));
}

/**
 * A process without the names that are no capability, and these: what cannot be mapped is for a warning,
 * and no failure (config.md, "Linux Process").
 */
export function withinKnown(process: Process): {
  readonly process: Process;
  readonly unknown: readonly string[];
} {
  const unknown = namesOf(process.capabilities).filter((name) => numberOf(name) === undefined);
  return { process: unknown.length === 0 ? process : without(process, unknown), unknown };
}

/** Where no name at all is known, somebody writes them in another way, and means a container that has them. */
export function refuseOnlyUnknown({ capabilities }: Process): void {
  const names = namesOf(capabilities);
  if (names.length === 0 || names.some((name) => numberOf(name) !== undefined)) return;
  throw new TareError(
    "bad_input",
    `Cannot use process.capabilities: none of ${names.join(", ")} is a capability`,
    { hint: "Names are written as CAP_CHOWN" },
  );
}

/** Each name of the five sets once. */
function namesOf({ bounding, effective, permitted, inheritable, ambient }: Capabilities): string[] {
  return [...new Set([...bounding, ...effective, ...permitted, ...inheritable, ...ambient])];
}

function without(process: Process, names: readonly string[]): Process {
  const { bounding, effective, permitted, inheritable, ambient } = process.capabilities;
  const left = (set: readonly string[]) => set.filter((name) => !names.includes(name));
  const capabilities = {
    bounding: left(bounding),
    effective: left(effective),
    permitted: left(permitted),
    inheritable: left(inheritable),
    ambient: left(ambient),
  };
  return { ...process, capabilities };
}

/**
 * A process without the capabilities that whoever makes it does not hold, and their names: what cannot
 * be granted is for a warning, and no failure (config.md, "Linux Process").
 */
export function withinHeld(
  process: Process,
  held: bigint,
): { readonly process: Process; readonly lacking: readonly string[] } {
  const { effective, permitted, inheritable } = capabilityMasks(process);
  const missing = (effective | permitted | inheritable) & ~held;
  if (missing === 0n) return { process, lacking: [] };
  const lacking = capabilityNames().filter((_name, bit) => ((missing >> BigInt(bit)) & 1n) !== 0n);
  return { process: without(process, lacking), lacking };
}

/** Up to the last bit of a set: a newer kernel has capabilities that we have no name for. */
function boundingDrops(process: Process): number[] {
  const kept = new Set(capabilityNumbers(process.capabilities.bounding));
  return Array.from({ length: CAP_BITS }, (_, number) => number).filter(
    (number) => !kept.has(number),
  );
}
