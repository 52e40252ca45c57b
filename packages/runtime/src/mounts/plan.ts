/**
 * The file system part of a container's plan: which tree is the root, what is mounted in it, what is
 * hidden or made read-only. Pure: names are only resolved when a step is applied.
 * Source: runtime-spec config.md "Mounts" and config-linux.md.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Config, Mount } from "@tare/spec/oci-runtime.ts";
import type { IdMap, MountStep, ProtectStep, RootStep } from "../container/step.ts";
import {
  MOUNT_ATTR_RDONLY,
  MS_PRIVATE,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
} from "../sys/abi-mount.ts";
import { type MountOptions, parseMountOptions, refuseForBind } from "./options.ts";
import { type HostNamespace, planSysctls } from "./sysctl.ts";

/** Only these may cover a part of /proc: lxcfs and its like (CVE-2019-16884, CVE-2019-19921). */
const OVER_PROC: ReadonlySet<string> = new Set(
  [
    "cpuinfo diskstats meminfo stat swaps uptime loadavg slabinfo",
    "sys/kernel/ns_last_pid sys/crypto/fips_enabled",
  ]
    .join(" ")
    .split(" ")
    .map((name) => `/proc/${name}`),
);

const PROPAGATION: ReadonlyMap<string, { readonly flag: number; readonly recursive: boolean }> =
  new Map([
    ["shared", { flag: MS_SHARED, recursive: false }],
    ["rshared", { flag: MS_SHARED, recursive: true }],
    ["slave", { flag: MS_SLAVE, recursive: false }],
    ["rslave", { flag: MS_SLAVE, recursive: true }],
    ["private", { flag: MS_PRIVATE, recursive: false }],
    ["rprivate", { flag: MS_PRIVATE, recursive: true }],
    ["unbindable", { flag: MS_UNBINDABLE, recursive: false }],
    ["runbindable", { flag: MS_UNBINDABLE, recursive: true }],
  ]);

/** What the mount steps of one container need beside its configuration. */
export type MountFacts = {
  /** The bundle: relative sources start there. Absolute. */
  readonly bundle: string;
  /** The step that mounts the cgroup file system; decided by what the host has. */
  readonly cgroupMount: (target: string, options: MountOptions) => MountStep;
};

function rootPropagation(config: Config): { flag: number; recursive: boolean } | undefined {
  const name = config.linux.rootfsPropagation;
  if (name === undefined || name === "") return undefined;
  const found = PROPAGATION.get(name);
  if (found !== undefined) return found;
  throw new TareError("bad_input", `Cannot use linux.rootfsPropagation "${name}": unknown mode`, {
    hint: `Use one of ${[...PROPAGATION.keys()].join(", ")}`,
  });
}

/** Cuts the new mount namespace off from the host's, and attaches the root file system. */
export function planRoot(config: Config, bundle: string): RootStep[] {
  const wanted = rootPropagation(config);
  // A shared root must stay a peer of the host's until it was cloned; slave is enough otherwise:
  // nothing of ours reaches the host, and what the host mounts later still arrives.
  const before = wanted?.flag === MS_SHARED ? MS_SHARED : MS_SLAVE;
  const flag = wanted?.flag === MS_PRIVATE ? MS_PRIVATE : before;
  return [
    {
      op: "propagation",
      flag,
      why: "mounts made here must not appear on the host",
    },
    {
      op: "root",
      path: absolute(config.root.path, bundle),
      guard: flag === MS_SHARED,
      why: "pivot_root(2) wants the new root to be a mount of its own",
    },
  ];
}

/** What planMounts reads of a configuration. */
export type MountsConfig = {
  readonly mounts: readonly Mount[];
  readonly root: Pick<Config["root"], "path">;
  /** The container's own maps, for binds that take them, and the label of new file systems. */
  readonly linux: Pick<Config["linux"], "uidMappings" | "gidMappings" | "mountLabel"> &
    Partial<Pick<Config["linux"], "namespaces" | "maskedPaths" | "readonlyPaths">>;
};

/** The configured mounts, in their order. */
export function planMounts(config: MountsConfig, facts: MountFacts): MountStep[] {
  return config.mounts.map((mount, index) => {
    try {
      return planMount(config, mount, index, facts);
    } catch (error) {
      throw atMount(error, index);
    }
  });
}

/** What is wrong with a mount, with its place in the configuration. */
function atMount(error: unknown, index: number): unknown {
  if (!(error instanceof TareError)) return error;
  const { code, message, hint } = error;
  const more = hint === undefined ? {} : { hint };
  return new TareError(code, `${message} (mounts[${index}])`, { cause: error, ...more });
}

function planMount(
  config: MountsConfig,
  mount: Mount,
  index: number,
  facts: MountFacts,
): MountStep {
  const options = parseMountOptions(mount.options);
  const target = placeOf(mount.destination, absolute(config.root.path, facts.bundle));
  const type = options.bind !== "none" ? "bind" : (mount.type ?? "none");
  if (options.remount) {
    if (options.bind !== "none") refuseForBind(options, target);
    return { op: "remount", target, options, why: "a mount that is there gets other options" };
  }
  if (type === "cgroup" || type === "cgroup2") {
    if (target === "/") refuseOnRoot(mount);
    return facts.cgroupMount(target, options);
  }
  const isBind = type === "bind" || type === "none";
  return isBind
    ? planBind(config, mount, index, { options, target, bundle: facts.bundle })
    : planNew(mount, type, labelled(config, type, options), target);
}

function planBind(
  config: MountsConfig,
  mount: Mount,
  index: number,
  { options, target, bundle }: { options: MountOptions; target: string; bundle: string },
): MountStep {
  if (mount.source === undefined || mount.source === "") {
    throw new TareError("bad_input", `Cannot bind on "${mount.destination}": it has no source`);
  }
  checkOverProc(target, "bind");
  refuseForBind(options, target);
  refuseCopyUp(options, target, "bind");
  if (options.links.size > 1 && options.links.has("copy-symlink")) {
    throw new TareError(
      "bad_input",
      `Cannot bind on "${target}": copy-symlink excludes src-nofollow and dest-nofollow`,
    );
  }
  const source = absolute(mount.source, bundle);
  const idmap = idMapOf(config, mount, options);
  if (idmap !== undefined && options.links.has("copy-symlink")) {
    throw new TareError("bad_input", `Cannot bind on "${target}": copy-symlink excludes id maps`);
  }
  const why = `make "${source}" visible inside`;
  const isPeer =
    idmap === undefined && staysPeer(config, options, target, absolute(config.root.path, bundle));
  return { op: "bind", index, isPeer, idmap, source, target, options, why };
}

/**
 * A shared bind is a peer of its source, as by mount(8) and crun. Not where something is mounted in
 * it, which would appear on the host and stay there; nor in a user namespace, whose
 * root could mount on the host, or in a mount namespace that is joined.
 */
function staysPeer(
  { mounts, linux }: MountsConfig,
  { propagation, links }: MountOptions,
  target: string,
  root: string,
): boolean {
  if (propagation.at(-1)?.flag !== MS_SHARED || links.has("copy-symlink")) return false;
  const isElsewhere = linux.namespaces?.some(
    ({ type, path }) => type === "user" || (type === "mount" && path !== undefined),
  );
  if (isElsewhere === true) return false;
  const { maskedPaths = [], readonlyPaths = [] } = linux;
  const covered = ["/dev/console", ...maskedPaths, ...readonlyPaths].map(normalize);
  const places = [...mounts.map(({ destination }) => placeOf(destination, root)), ...covered];
  const below = target === "/" ? "/" : `${target}/`;
  return !places.some((place) => place.startsWith(below) && place !== target);
}

function planNew(mount: Mount, type: string, options: MountOptions, target: string): MountStep {
  checkOverProc(target, type);
  refuseCopyUp(options, target, type);
  if (options.idmap !== undefined || mount.uidMappings.length > 0) {
    throw new TareError("bad_input", `Cannot map the ids of "${target}": it is not a bind`, {
      hint: "Only binds can be id-mapped",
    });
  }
  const late = waitsForChildren(type, target);
  return {
    op: "mount",
    fstype: type,
    source: mount.source ?? type,
    target,
    options: late ? withoutReadonly(options) : options,
    why: MOUNT_WHY.get(type) ?? `mount a file system of type ${type}`,
  };
}

/** The kernel's views have no files to label: the policy says what theirs are. As runc. */
const UNLABELLED: ReadonlySet<string> = new Set(["proc", "sysfs", "mqueue"]);

/** linux.mountLabel becomes an option of SELinux; the runtime refuses it where that is not on. */
function labelled(
  { linux: { mountLabel = "" } }: MountsConfig,
  type: string,
  options: MountOptions,
): MountOptions {
  if (mountLabel === "" || UNLABELLED.has(type)) return options;
  return { ...options, data: [...options.data, `context=${mountLabel}`] };
}

function refuseCopyUp({ copyUp }: MountOptions, target: string, type: string): void {
  if (!copyUp || (type === "tmpfs" && target !== "/")) return;
  throw new TareError("bad_input", `Cannot use tmpcopyup on "${target}"`, {
    hint: "It fills a tmpfs with what the directory below it holds",
  });
}

function refuseOnRoot(mount: Mount): never {
  throw new TareError("bad_input", `Cannot mount on "${mount.destination}": it is the root`);
}

/** A destination that begins with the root's path on the host lies below it, as in runc. */
function placeOf(destination: string, root: string): string {
  const path = normalize(destination);
  const top = normalize(root);
  return top !== "/" && path.startsWith(`${top}/`) ? path.slice(top.length) : path;
}

const MOUNT_WHY: ReadonlyMap<string, string> = new Map([
  ["proc", "show the processes of the new pid namespace, not the host's"],
  ["sysfs", "show the devices of the new network namespace"],
  ["tmpfs", "give files that vanish with the container"],
  ["devpts", "give terminals that no other container sees"],
  ["mqueue", "show the message queues of the new ipc namespace"],
]);

/** The maps of the mount itself, else those of the container's user namespace. */
function idMapOf(config: MountsConfig, mount: Mount, options: MountOptions): IdMap | undefined {
  const own = mount.uidMappings.length + mount.gidMappings.length > 0;
  if (!own && options.idmap === undefined) return undefined;
  const equals = options.idmap?.indexOf("=") ?? -1;
  const words = equals < 0 ? undefined : options.idmap?.slice(equals + 1);
  const { uidMappings, gidMappings } = own && words === undefined ? mount : config.linux;
  const recursive = options.idmap?.startsWith("ridmap") === true;
  const joined = config.linux.namespaces?.find(({ type }) => type === "user")?.path;
  if (!own && words === undefined && uidMappings.length === 0 && joined !== undefined) {
    return { uidMappings, gidMappings, recursive, words, namespace: joined };
  }
  if (words === undefined && (uidMappings.length === 0 || gidMappings.length === 0)) {
    throw new TareError(
      "bad_input",
      `Cannot map the ids of "${mount.destination}": uidMappings or gidMappings is missing`,
      {
        hint: "Give both for the mount, or a user namespace with both",
      },
    );
  }
  return { uidMappings, gidMappings, recursive, words };
}

/** A file system in place of /proc would answer for the kernel: only procfs may be there. */
function checkOverProc(target: string, type: string): void {
  if (type === "proc" || (!target.startsWith("/proc/") && target !== "/proc")) return;
  // A bind of a real procfs is checked by its magic number when it is applied.
  if (target === "/proc" && type === "bind") return;
  if (OVER_PROC.has(target)) return;
  throw new TareError("bad_input", `Cannot mount "${type}" on "${target}": it would cover procfs`, {
    hint: `Only these may be covered: ${[...OVER_PROC].join(", ")}`,
  });
}

/** A tmpfs or /dev gets its mount points and devices first, and only then becomes read-only. */
function waitsForChildren(type: string, target: string): boolean {
  return type === "tmpfs" || target === "/dev";
}

function withoutReadonly(options: MountOptions): MountOptions {
  const without = options.attributes.set & ~MOUNT_ATTR_RDONLY;
  return { ...options, attributes: { ...options.attributes, set: without } };
}

/** What protects the finished tree; everything here runs inside the new root. */
export function planProtection(config: Config, isHost: HostNamespace): ProtectStep[] {
  const steps: ProtectStep[] = planSysctls(config, isHost);
  for (const path of config.linux.readonlyPaths) {
    steps.push({ op: "read-only", path, why: "kernel settings there are the host's too" });
  }
  for (const path of new Set(config.linux.maskedPaths.map(normalize))) {
    steps.push({ op: "mask", path, why: "it would tell about, or control, the host" });
  }
  // The other two held before anything was mounted: again, they would undo what a mount asks for.
  const wanted = rootPropagation(config);
  if (wanted !== undefined && wanted.flag !== MS_PRIVATE && wanted.flag !== MS_SLAVE) {
    steps.push({ op: "root-propagation", ...wanted, why: "linux.rootfsPropagation asks for it" });
  }
  if (config.root.readonly) {
    steps.push({ op: "root-read-only", why: "root.readonly asks for it" });
  }
  return steps;
}

type LateReadonly = Extract<MountStep, { op: "set-readonly" }>;

/** Mounts that had to wait before they become read-only. */
export function planLateReadonly(config: MountsConfig, bundle: string): LateReadonly[] {
  const root = absolute(config.root.path, bundle);
  return config.mounts.flatMap((mount): LateReadonly[] => {
    // Most mounts are told apart by their words alone, without reading them.
    if (!mount.options.includes("ro")) return [];
    const options = parseMountOptions(mount.options);
    const target = placeOf(mount.destination, root);
    const late =
      options.bind === "none" &&
      (waitsForChildren(mount.type ?? "none", target) || mount.type === "cgroup");
    if (!late || (options.attributes.set & MOUNT_ATTR_RDONLY) === 0) return [];
    return [{ op: "set-readonly", target, why: "what is inside of it is complete now" }];
  });
}

/** An absolute path without empty, "." and ".." components; ".." stops at the root, as in a chroot. */
export function normalize(path: string): string {
  // Nearly all are so already; a name that begins with a dot is looked at twice.
  const isPlain = path.startsWith("/") && !path.includes("/.") && !path.includes("//");
  if (isPlain && (path.length === 1 || !path.endsWith("/"))) return path;
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

function absolute(path: string, bundle: string): string {
  return path.startsWith("/") ? path : `${bundle}/${path}`;
}
