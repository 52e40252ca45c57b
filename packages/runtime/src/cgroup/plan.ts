/**
 * What making a container's cgroup will do: directories, then writes. Pure: the host is an argument.
 * A container joins every hierarchy that is mounted, as with runc and crun, so that each controller
 * can be changed later, and no file of /proc/PID/cgroup shows where its caller lives.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Resources } from "@tare/spec/oci-runtime.ts";
import { DEFAULT_DEVICES } from "./default-devices.ts";
import { allowsEverything, type DevicePolicy, devicePolicy } from "./device-rules.ts";
import { deviceProgram } from "./devices-bpf.ts";
import type { CgroupHost, CgroupMode, Hierarchy } from "./host.ts";
import { badLimit, type Controller, type LimitWrite } from "./limit.ts";
import { type CgroupLocation, componentsIn, locateCgroup } from "./path.ts";
import { V1_PLANNERS } from "./plan-v1.ts";
import { V2_PLANNERS, withUnified } from "./plan-v2.ts";

export type CgroupAsk = {
  readonly host: CgroupHost;
  /** `linux.cgroupsPath`. */
  readonly cgroupsPath?: string;
  /** The container's name: the cgroup's, where no path is given. */
  readonly id: string;
  readonly resources: Resources;
  /** The caller is not root, or root of a user namespace only: cgroups are made where allowed. */
  readonly rootless: boolean;
  /** Where it goes, where somebody else has decided that. */
  readonly location?: CgroupLocation;
  /** Whether cgroups that may not be made are passed over; absent: as `rootless` says. */
  readonly lenient?: boolean;
};

export type CgroupDir = {
  readonly version: 1 | 2;
  readonly controllers: readonly string[];
  readonly mountpoint: string;
  /** Below the mountpoint; the last one is the container's. */
  readonly path: readonly string[];
  /** v1 cpuset: files that are empty in a new cgroup, and none may join it before they are filled. */
  readonly inherit: readonly string[];
  /** v2: controllers to turn on for the children of every cgroup above. */
  readonly enable: readonly string[];
  /** v2: the ones without which a limit cannot be kept, and what asks for them. */
  readonly needed: readonly { readonly controller: string; readonly field: string }[];
  /** A caller without the right to make it goes on without it: no limit depends on it. */
  readonly optional: boolean;
  readonly why: string;
};

const CPUSET_FILES = ["cpuset.cpus", "cpuset.mems"];

/** A write to a file in one of the plan's directories. */
export type CgroupWrite = LimitWrite & { readonly dir: number };

export type CgroupPlan = {
  readonly mode: CgroupMode;
  readonly dirs: readonly CgroupDir[];
  /** In order; all of them before any process joins. */
  readonly writes: readonly CgroupWrite[];
  /** v2: an eBPF program that judges the use of devices, and the directory it is for. */
  readonly devices?: { readonly dir: number; readonly program: Uint8Array; readonly why: string };
};

/**
 * The plan for a container's cgroup. With no limits asked for there is no write but the device rules.
 * @throws TareError `no_cgroup` where a limit needs a controller that this host has not;
 *   `bad_input` where a path or a value is wrong; `unsupported` for device rules v1 cannot express.
 */
export function planCgroup(ask: CgroupAsk): CgroupPlan {
  const { host, resources, rootless } = ask;
  const location = ask.location ?? locateCgroup(ask.cgroupsPath, ask.id);
  const joined = hierarchiesToJoin(host);
  // Only root of the host may set device rules; what others may open, file permissions say.
  const devices = rootless ? undefined : devicePolicy(resources.devices, DEFAULT_DEVICES);
  const writes = planWrites(host.mode, joined, resources, devices);
  const own = joined.map((_hierarchy, index) => writes.filter(({ dir }) => dir === index));
  const lenient =
    (ask.lenient ?? rootless) && ask.location === undefined && (ask.cgroupsPath ?? "") === "";
  const dirs = joined.map((hierarchy, index): CgroupDir => {
    const path = componentsIn(hierarchy, location);
    return directory(hierarchy, path, own[index] ?? [], { mode: host.mode, lenient });
  });
  const plan = { mode: host.mode, dirs, writes };
  const filter = devices === undefined ? undefined : deviceFilter(joined, devices);
  return filter === undefined ? plan : { ...plan, devices: filter };
}

/** What a plan must know of a hierarchy: the directories of a container's state say the same. */
export type Joined = Pick<Hierarchy, "version" | "controllers">;

/**
 * The writes that set limits, each with the index of its hierarchy.
 * @param devices absent: the rules for devices stay as they are
 * @throws TareError as planCgroup.
 */
export function planWrites(
  mode: CgroupMode,
  joined: readonly Joined[],
  resources: Resources,
  devices: DevicePolicy | undefined,
): readonly CgroupWrite[] {
  const holders = holdersOf(joined);
  const writes = limitWrites(mode, holders, resources, devices);
  return writes.map((write) => ({ ...write, dir: directoryOf(holders, write) }));
}

/** Which hierarchies a container gets a cgroup of its own in. */
export function hierarchiesToJoin(host: CgroupHost): readonly Hierarchy[] {
  return host.hierarchies;
}

/** Where a v2 hierarchy is among the joined ones; no controller has a blank in its name. */
const ANY_V2 = "any v2";

/** The index of the hierarchy that has a controller; v1 comes first where both have one. */
type Holders = ReadonlyMap<string, { readonly index: number; readonly version: 1 | 2 }>;

function holdersOf(joined: readonly Joined[]): Holders {
  const holders = new Map<string, { readonly index: number; readonly version: 1 | 2 }>();
  for (const [index, { version, controllers }] of joined.entries()) {
    const holder = { index, version };
    if (version === 2) holders.set(ANY_V2, holder);
    for (const name of controllers) {
      if (version === 1 || !holders.has(name)) holders.set(name, holder);
    }
  }
  return holders;
}

function directory(
  hierarchy: Hierarchy,
  path: readonly string[],
  writes: readonly LimitWrite[],
  { mode, lenient }: { readonly mode: CgroupMode; readonly lenient: boolean },
): CgroupDir {
  const { version, controllers, mountpoint } = hierarchy;
  const place = {
    version,
    controllers,
    mountpoint,
    path,
    optional: lenient && writes.length === 0,
  };
  if (version === 1) {
    const isSet = (file: string): boolean => writes.some((write) => write.file === file);
    const inherit = controllers.includes("cpuset")
      ? CPUSET_FILES.filter((file) => !isSet(file))
      : [];
    const why = `its own cgroup of ${controllers.join(", ")}`;
    return { ...place, inherit, enable: [], needed: [], why };
  }
  const asked = new Map(writes.map((write) => [write.controller, write.field]));
  asked.delete("cgroup");
  const needed = [...asked].map(([controller, field]) => ({ controller, field }));
  // Beside v1, v2 is there for its processes; elsewhere it also counts what nobody limits.
  const enable = mode === "v2" ? controllers : needed.map(({ controller }) => controller);
  return { ...place, inherit: [], enable, needed, why: "its own cgroup of v2" };
}

/** Each controller by the planner of the hierarchy that has it; v1 where none has, for the error. */
function limitWrites(
  mode: CgroupMode,
  holders: Holders,
  resources: Resources,
  devices: DevicePolicy | undefined,
): readonly LimitWrite[] {
  const names = Object.keys(V1_PLANNERS) as Controller[];
  if (mode === "v2") {
    const writes = names.flatMap((name) => V2_PLANNERS[name](resources));
    return withUnified(writes, resources);
  }
  if (resources.unified.size > 0) {
    const key = [...resources.unified.keys()].join(", ");
    const why = "invalid configuration: it needs cgroup v2, and this host has v1";
    throw badLimit("linux.resources.unified", key, why);
  }
  return names.flatMap((name) => {
    if (holders.get(name)?.version === 1) return V1_PLANNERS[name](resources, devices);
    if (holders.has(nameOnV2(name))) return V2_PLANNERS[name](resources);
    const toKeep = devices !== undefined && allowsEverything(devices) ? undefined : devices;
    return V1_PLANNERS[name](resources, toKeep);
  });
}

function nameOnV2(controller: Controller): string {
  if (controller === "devices") return ANY_V2;
  return controller === "blkio" ? "io" : controller;
}

function directoryOf(holders: Holders, write: LimitWrite): number {
  const v2 = holders.get(ANY_V2);
  // cgroup.max.depth and the like are in every cgroup of v2.
  const holder = write.controller === "cgroup" ? v2 : holders.get(write.controller);
  if (holder === undefined) throw noController(write, isUnified(holders));
  return holder.index;
}

/** Whether v2 is all that there is: beside v1, a controller that is missing there can be mounted. */
function isUnified(holders: Holders): boolean {
  return [...holders.values()].every(({ version }) => version === 2) && holders.size > 0;
}

/** For a limit that was asked for and that no hierarchy of this host can keep. */
function noController(write: LimitWrite, isV2: boolean): TareError {
  const { controller, field, value } = write;
  const mount = `mount -t cgroup -o ${controller} cgroup /sys/fs/cgroup/${controller}`;
  const hint = isV2
    ? `Turn it on in the parent: echo +${controller} > cgroup.subtree_control; or see cgroup_disable= in /proc/cmdline`
    : `Mount it: ${mount}; or see cgroup_disable= in /proc/cmdline`;
  // The words for a key that somebody named by hand are those that tools look for in crun's.
  const what = field.startsWith("linux.resources.unified")
    ? `the requested cgroup controller \`${controller}\` is not available`
    : `this host has no cgroup controller "${controller}"`;
  return new TareError("no_cgroup", `Cannot apply ${field} "${value}": ${what}`, { hint });
}

/** v2 has no devices controller: a program, where no v1 hierarchy has one, and rules say anything. */
export function deviceFilter(
  joined: readonly Joined[],
  policy: DevicePolicy,
): CgroupPlan["devices"] {
  const holders = holdersOf(joined);
  const v2 = holders.get(ANY_V2);
  if (v2 === undefined || holders.has("devices") || allowsEverything(policy)) return undefined;
  const why = "an eBPF program allows the devices of linux.resources.devices and the default ones";
  return { dir: v2.index, program: deviceProgram(policy), why };
}
