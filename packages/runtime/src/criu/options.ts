/**
 * What criu is asked for, from what our caller wishes and what is known of the container. Pure.
 * Source: criu(8) and criu's `rpc.proto`; names of external resources are runc's, so that each runtime
 * can restore what the other has saved.
 */

import { TareError } from "@tare/spec/error.ts";
import { CLONE_NEWNET } from "../sys/abi-process.ts";
import { CGROUP_MODES, NETWORK_LOCKS, type Option, type OptionName } from "./messages.ts";

/** What both directions have in common. Paths are absolute. */
export type Wishes = {
  /** Directory of the image files. */
  readonly images: string;
  /** Directory of the log and of statistics. */
  readonly work: string;
  readonly manageCgroups: keyof typeof CGROUP_MODES;
  /** How criu keeps packets away meanwhile; absent: as criu likes. */
  readonly networkLock?: keyof typeof NETWORK_LOCKS;
  /** Options of criu that are only there or not. */
  readonly flags: readonly OptionName[];
};

export type DumpWishes = Wishes & {
  /** Only memory, while the container goes on. */
  readonly preDump: boolean;
  /** Images of the dump before, relative to `images`. */
  readonly parent?: string;
  readonly pageServer?: { readonly address: string; readonly port: number };
  /** A descriptor that is written to when pages can be asked for. */
  readonly statusFd?: number;
};

/** What is open in the process that asks: criu opens it again there. */
export type Places = { readonly images: number; readonly work: number };

/** A mount whose source is the host's. */
export type ExternalMount = {
  /** Where it lies in the container, every link followed. */
  readonly destination: string;
  /** The name that the image has for it. */
  readonly cookie: string;
  /** Its source on the host. Absolute. */
  readonly source: string;
};

/** A namespace that is not the container's own: it must be there when the container comes back. */
export type ExternalNamespace = { readonly type: "network" | "pid"; readonly inode: bigint };

export type DumpFacts = {
  readonly pid: number;
  readonly rootfs: string;
  readonly mounts: readonly ExternalMount[];
  readonly namespaces: readonly ExternalNamespace[];
  /** The cgroup that freezes all of the container, below its mountpoint's path. */
  readonly freezer: string | undefined;
  /** Hierarchies of cgroups that are saved; undefined: all. */
  readonly controllers: readonly string[] | undefined;
  /** A file of options that overrule ours. */
  readonly configFile: string | undefined;
};

export type RestoreFacts = {
  readonly rootfs: string;
  readonly mounts: readonly ExternalMount[];
  /** Open descriptors of criu in place of what the image only names. */
  readonly inherited: readonly { readonly fd: number; readonly name: string }[];
  readonly joined: readonly { readonly type: string; readonly path: string }[];
  /** Cgroups below the root of each hierarchy; v2's has no controllers. */
  readonly cgroups: readonly { readonly controllers: readonly string[]; readonly path: string }[];
  readonly configFile: string | undefined;
  readonly lsmProfile?: string;
  readonly lsmMountContext?: string;
};

export const DUMP_LOG = "dump.log";
export const RESTORE_LOG = "restore.log";
const LOG_LEVEL = 4;

/** criu's and runc's names of namespaces that others keep. */
export const EXTERNAL_NAMESPACES: {
  readonly [type in ExternalNamespace["type"]]: { readonly kind: string; readonly name: string };
} = {
  network: { kind: "net", name: "extRootNetNS" },
  pid: { kind: "pid", name: "extRootPidNS" },
};

/** criu's names of the namespaces of config.json that a restored container can join. */
export const JOINED_NAMESPACES: ReadonlyMap<string, string> = new Map([
  ["user", "user"],
  ["uts", "uts"],
  ["ipc", "ipc"],
  ["mount", "mnt"],
  ["time", "time"],
]);

/** The annotation of runc and crun that names a file of criu's options. */
export const CONFIG_ANNOTATION = "org.criu.config";
const CONFIG_DIRECTORY = "/etc/criu/";
const DEFAULT_CONFIG = `${CONFIG_DIRECTORY}runc.conf`;

/**
 * The file of options for a container; one that is not there is passed over by criu. Such a file names
 * programs that criu executes, and an annotation may come from an image: so only the administrator's
 * directory counts.
 * @throws TareError `bad_input` for a file elsewhere
 */
export function configFileOf(annotations: ReadonlyMap<string, string>): string | undefined {
  const path = annotations.get(CONFIG_ANNOTATION) ?? DEFAULT_CONFIG;
  if (path === "") return undefined;
  const name = path.slice(CONFIG_DIRECTORY.length);
  const isPlain = path.startsWith(CONFIG_DIRECTORY) && !name.includes("/") && !name.includes("\0");
  if (isPlain && name !== "" && name !== "." && name !== "..") return path;
  throw new TareError("bad_input", `Cannot use annotation ${CONFIG_ANNOTATION} "${path}"`, {
    hint: `Only files of ${CONFIG_DIRECTORY} count: criu executes what such a file says`,
  });
}

/** Of a dump or a pre-dump. */
export function dumpOptions(wishes: DumpWishes, facts: DumpFacts, places: Places): Option[] {
  const { parent, pageServer } = wishes;
  // criu reads what is external when it looks at mounts, which a pre-dump does not.
  const mounts = wishes.preDump ? [] : facts.mounts;
  return [
    ["pid", facts.pid],
    ["root", facts.rootfs],
    ...commonOptions(wishes, facts, places, DUMP_LOG),
    ...given("freeze_cgroup", facts.freezer),
    ...(facts.controllers ?? []).map((name): Option => ["cgroup_dump_controller", name]),
    ...given("parent_img", parent),
    ...(parent === undefined && !wishes.preDump ? [] : [["track_mem", true] as const]),
    ...(pageServer === undefined ? [] : [["ps", [pageServer.address, pageServer.port]] as const]),
    ...facts.namespaces.map(({ type, inode }): Option => {
      const { kind, name } = EXTERNAL_NAMESPACES[type];
      return ["external", `${kind}[${inode}]:${name}`];
    }),
    ...mounts.map(
      ({ destination, cookie }): Option => ["external", `mnt[${destination}]:${cookie}`],
    ),
  ];
}

/** Of a restore: the first process becomes the child of who asks. */
export function restoreOptions(wishes: Wishes, facts: RestoreFacts, places: Places): Option[] {
  return [
    ["rst_sibling", true],
    ["root", facts.rootfs],
    ...commonOptions(wishes, facts, places, RESTORE_LOG),
    ["evasive_devices", true],
    ...facts.cgroups.map(cgroupRoot),
    ...facts.mounts.map(({ cookie, source }): Option => ["external", `mnt[${cookie}]:${source}`]),
    ...facts.inherited.map(({ fd, name }): Option => ["inherit_fd", [name, fd]]),
    ...facts.joined.map(
      ({ type, path }): Option => ["join_ns", [JOINED_NAMESPACES.get(type) ?? type, path]],
    ),
    ...given("lsm_profile", facts.lsmProfile),
    ...given("lsm_mount_context", facts.lsmMountContext),
  ];
}

function commonOptions(
  { manageCgroups, networkLock, flags }: Wishes,
  { configFile }: { readonly configFile: string | undefined },
  places: Places,
  log: string,
): Option[] {
  return [
    ["images_dir_fd", places.images],
    ["work_dir_fd", places.work],
    ["log_file", log],
    ["log_level", LOG_LEVEL],
    ["manage_cgroups_mode", CGROUP_MODES[manageCgroups]],
    ...(networkLock === undefined ? [] : [["network_lock", NETWORK_LOCKS[networkLock]] as const]),
    // Links and addresses are the business of who made them, as with runc.
    ["empty_ns", CLONE_NEWNET],
    // A terminal's other end is a program outside: at the restore it goes to another.
    ["orphan_pts_master", true],
    ["notify_scripts", true],
    ...given("config_file", configFile),
    ...flags.map((name): Option => [name, true]),
  ];
}

function given(name: OptionName, value: string | undefined): Option[] {
  return value === undefined ? [] : [[name, value]];
}

/** Without a name it would hold for each hierarchy: also for those in which the container has no cgroup. */
function cgroupRoot({ controllers, path }: RestoreFacts["cgroups"][number]): Option {
  return ["cg_root", [controllers.join(","), path]];
}
