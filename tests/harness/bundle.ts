/**
 * OCI bundles for tests: the full configuration that `runc spec` prints, with Docker's capabilities,
 * a cgroup named after the container, and what a test changes.
 * The types are config.json's plain JSON; a test may also pass what the specification forbids.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export type MountConfig = {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
  uidMappings?: IdMap[];
  gidMappings?: IdMap[];
};
export type IdMap = { containerID: number; hostID: number; size: number };
export type HookConfig = { path: string; args?: string[]; env?: string[]; timeout?: number };
export type NamespaceConfig = { type: string; path?: string };

export type ProcessConfig = {
  terminal: boolean;
  consoleSize?: { height: number; width: number };
  user: { uid: number; gid: number; umask?: number; additionalGids?: number[] };
  args: string[];
  env: string[];
  cwd: string;
  capabilities?: Partial<Record<CapabilitySet, string[]>>;
  rlimits?: { type: string; soft: number; hard: number }[];
  noNewPrivileges: boolean;
  oomScoreAdj?: number;
};
export type CapabilitySet = "bounding" | "permitted" | "effective" | "inheritable" | "ambient";

export type LinuxConfig = {
  cgroupsPath?: string;
  namespaces: NamespaceConfig[];
  uidMappings?: IdMap[];
  gidMappings?: IdMap[];
  resources: JsonObject;
  maskedPaths: string[];
  readonlyPaths: string[];
  devices?: Json[];
  seccomp?: Json;
  sysctl?: Record<string, string>;
  rootfsPropagation?: string;
  timeOffsets?: Json;
};

export type BundleConfig = {
  ociVersion: string;
  hostname?: string;
  domainname?: string;
  root: { path: string; readonly: boolean };
  process: ProcessConfig;
  mounts: MountConfig[];
  hooks?: Record<string, HookConfig[]>;
  annotations?: Record<string, string>;
  linux: LinuxConfig;
};

export type BundleOptions = {
  readonly rootfs: string;
  /** False unless given: the shared fixtures must not be written. */
  readonly writable?: boolean;
  readonly process?: Partial<ProcessConfig>;
  readonly linux?: Partial<LinuxConfig>;
  /** Added behind the seven usual mounts. */
  readonly mounts?: readonly MountConfig[];
  readonly hooks?: Record<string, HookConfig[]>;
  readonly annotations?: Record<string, string>;
  readonly hostname?: string;
  /** Last word on the whole configuration. */
  readonly edit?: (config: BundleConfig) => void;
};

/** Docker's default fourteen. */
export const DEFAULT_CAPABILITIES = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FSETID",
  "FOWNER",
  "MKNOD",
  "NET_RAW",
  "SETGID",
  "SETUID",
  "SETFCAP",
  "SETPCAP",
  "NET_BIND_SERVICE",
  "SYS_CHROOT",
  "KILL",
  "AUDIT_WRITE",
].map((name) => `CAP_${name}`);

/** The namespaces of an ordinary container; user and time are asked for by the tests that want them. */
export const DEFAULT_NAMESPACES = ["pid", "network", "ipc", "uts", "mount", "cgroup"];

const TMPFS_OPTIONS = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
const QUIET_OPTIONS = ["nosuid", "noexec", "nodev"];

/** The seven mounts of `runc spec`. */
export function defaultMounts(): MountConfig[] {
  const pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
  return [
    { destination: "/proc", type: "proc", source: "proc" },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    { destination: "/dev/pts", type: "devpts", source: "devpts", options: pts },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: TMPFS_OPTIONS },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: QUIET_OPTIONS },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...QUIET_OPTIONS, "ro"] },
    {
      destination: "/sys/fs/cgroup",
      type: "cgroup",
      source: "cgroup",
      options: [...QUIET_OPTIONS, "relatime", "ro"],
    },
  ];
}

/**
 * The configuration of a container.
 * @param id also the name of its cgroup, below the root of each hierarchy
 * @param mark put in the environment, so that the census knows the container's processes
 */
export function makeConfig(id: string, mark: string, options: BundleOptions): BundleConfig {
  const caps = DEFAULT_CAPABILITIES;
  const config: BundleConfig = {
    ociVersion: "1.0.2",
    hostname: options.hostname ?? "inside",
    root: { path: options.rootfs, readonly: options.writable !== true },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ["true"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/t", mark],
      cwd: "/",
      capabilities: { bounding: caps, permitted: caps, effective: caps },
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 1024, hard: 1024 }],
      noNewPrivileges: true,
      ...options.process,
    },
    mounts: [...defaultMounts(), ...(options.mounts ?? [])],
    linux: {
      cgroupsPath: `/${id}`,
      namespaces: DEFAULT_NAMESPACES.map((type) => ({ type })),
      resources: { devices: [{ allow: false, access: "rwm" }] },
      maskedPaths: [
        "/proc/acpi",
        "/proc/asound",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
      ],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
      ...options.linux,
    },
  };
  if (options.hooks !== undefined) config.hooks = options.hooks;
  if (options.annotations !== undefined) config.annotations = options.annotations;
  options.edit?.(config);
  return config;
}

/** Writes a bundle directory that holds only config.json; the root file system lies elsewhere. */
export function writeBundle(dir: string, config: BundleConfig): void {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "config.json"), JSON.stringify(config, null, 2));
}
