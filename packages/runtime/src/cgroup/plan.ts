/**
 * What making a container's cgroup will do: directories, then writes. Pure: the host is an argument.
 * A container joins every hierarchy that is mounted, as with runc and crun, so that each controller
 * can be changed later, and no file of /proc/PID/cgroup shows where its caller lives.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Resources } from "@tare/spec/oci-runtime.ts";
import { DEFAULT_DEVICE_RULES } from "./default-devices.ts";
import { allowsEverything, type DevicePolicy, devicePolicy } from "./device-rules.ts";
import { deviceProgram } from "./devices-bpf.ts";
import type { CgroupHost, CgroupMode, Hierarchy } from "./host.ts";
import { badLimit, type Controller, type LimitWrite } from "./limit.ts";
import { type CgroupManager, componentsIn, locateCgroup } from "./path.ts";
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
  readonly manager?: CgroupManager;
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
  const location = locateCgroup(ask.cgroupsPath, ask.id, ask.manager);
  const joined = hierarchiesToJoin(host);
  // Only root of the host may set device rules; what others may open, file permissions say.
  const devices = rootless ? undefined : devicePolicy(resources.devices, DEFAULT_DEVICE_RULES);
  const writes = limitWrites(host, resources, devices).map((write) => {
    return { ...write, dir: directoryOf(joined, write) };
  });
  const lenient = rootless && (ask.cgroupsPath ?? "") === "";
  const dirs = joined.map((hierarchy, index): CgroupDir => {
    const own = writes.filter((write) => write.dir === index);
    return {
      ...directory(hierarchy, componentsIn(hierarchy, location), own, host.mode),
      optional: lenient && own.length === 0,
    };
  });
  const plan = { mode: host.mode, dirs, writes };
  const filter = devices === undefined ? undefined : deviceFilter(joined, devices);
  return filter === undefined ? plan : { ...plan, devices: filter };
}

/** Which hierarchies a container gets a cgroup of its own in. */
export function hierarchiesToJoin(host: CgroupHost): readonly Hierarchy[] {
  return host.hierarchies;
}

function directory(
  hierarchy: Hierarchy,
  path: readonly string[],
  writes: readonly LimitWrite[],
  mode: CgroupMode,
): Omit<CgroupDir, "optional"> {
  const { version, controllers, mountpoint } = hierarchy;
  const isSet = (file: string): boolean => writes.some((write) => write.file === file);
  const cpuset = version === 1 && controllers.includes("cpuset");
  const asked = new Map(writes.map((write) => [write.controller, write.field]));
  asked.delete("cgroup");
  const needed =
    version === 1 ? [] : [...asked].map(([controller, field]) => ({ controller, field }));
  // Beside v1, v2 is there for its processes; elsewhere it also counts what nobody limits.
  const enable = mode === "v2" ? controllers : needed.map(({ controller }) => controller);
  return {
    version,
    controllers,
    mountpoint,
    path,
    inherit: cpuset ? ["cpuset.cpus", "cpuset.mems"].filter((file) => !isSet(file)) : [],
    enable: version === 1 ? [] : enable,
    needed,
    why: version === 1 ? `its own cgroup of ${controllers.join(", ")}` : "its own cgroup of v2",
  };
}

/** Each controller by the planner of the hierarchy that has it; v1 where none has, for the error. */
function limitWrites(
  host: CgroupHost,
  resources: Resources,
  devices: DevicePolicy | undefined,
): readonly LimitWrite[] {
  const names = Object.keys(V1_PLANNERS) as Controller[];
  if (host.mode === "v2") {
    return withUnified(
      names.flatMap((name) => V2_PLANNERS[name](resources)),
      resources,
    );
  }
  if (resources.unified.size > 0) {
    const key = [...resources.unified.keys()].join(", ");
    const why = "invalid configuration: it needs cgroup v2, and this host has v1";
    throw badLimit("linux.resources.unified", key, why);
  }
  return names.flatMap((name) => {
    if (holder(host.hierarchies, 1, name) >= 0) return V1_PLANNERS[name](resources, devices);
    if (isOnV2(host.hierarchies, name)) return V2_PLANNERS[name](resources);
    const toKeep = devices !== undefined && allowsEverything(devices) ? undefined : devices;
    return V1_PLANNERS[name](resources, toKeep);
  });
}

function isOnV2(hierarchies: readonly Hierarchy[], controller: Controller): boolean {
  if (controller === "devices") return hierarchies.some(({ version }) => version === 2);
  return holder(hierarchies, 2, controller === "blkio" ? "io" : controller) >= 0;
}

function holder(hierarchies: readonly Hierarchy[], version: 1 | 2, controller: string): number {
  return hierarchies.findIndex(
    (each) => each.version === version && each.controllers.includes(controller),
  );
}

function directoryOf(joined: readonly Hierarchy[], write: LimitWrite): number {
  const { controller } = write;
  const v1 = holder(joined, 1, controller);
  const v2 = v1 >= 0 ? v1 : holder(joined, 2, controller);
  if (v2 >= 0) return v2;
  // cgroup.max.depth and the like are in every cgroup of v2.
  const core = joined.findIndex(({ version }) => version === 2 && controller === "cgroup");
  if (core >= 0) return core;
  throw noController(
    write,
    joined.some(({ version }) => version === 2),
  );
}

/** For a limit that was asked for and that no hierarchy of this host can keep. */
export function noController(write: LimitWrite, isV2: boolean): TareError {
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
function deviceFilter(joined: readonly Hierarchy[], policy: DevicePolicy): CgroupPlan["devices"] {
  const dir = joined.findIndex(({ version }) => version === 2);
  if (dir < 0 || allowsEverything(policy) || holder(joined, 1, "devices") >= 0) return undefined;
  const why = "an eBPF program allows the devices of linux.resources.devices and the default ones";
  return { dir, program: deviceProgram(policy), why };
}
