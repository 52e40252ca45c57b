/**
 * The bundles that commands are played with: between them most of what a configuration can ask for,
 * and what the container says of itself.
 */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type BundleConfig, DEFAULT_NAMESPACES, type MountConfig } from "../harness/bundle.ts";

/** What a bundle may need of the place that it is played in. */
export type Surroundings = {
  /** A directory that every container has as /out. */
  readonly out: string;
  /** A directory of the test's with what binds can take: `link`, `tree/inner/file`, `layers/N`. */
  readonly sources: string;
  /** Where an agent for a filter that notifies listens. */
  readonly agent: string;
  /** The pid of a process with a network namespace to join. */
  readonly holder: () => number;
};

/** What a container says of itself; equal for containers that were made alike. */
export const REPORT = `exec > /out/report 2> /dev/null
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:|Umask)' /proc/self/status
sed -E 's/^[0-9]+ [0-9]+ [0-9:]+ //; s/(shared|master):[0-9]+/\\1/g; s/lowerdir[^ ]*/lowerdir/' /proc/self/mountinfo
cat /proc/self/limits /proc/self/oom_score_adj /proc/self/cgroup /proc/self/timens_offsets /proc/self/uid_map \\
  /proc/sys/net/core/somaxconn /proc/sys/kernel/hostname /proc/self/personality \\
  /sys/fs/cgroup/*/memory.limit_in_bytes /sys/fs/cgroup/*/pids.max /sys/fs/cgroup/*/cpu.shares \\
  /sys/fs/cgroup/*/devices.list
pwd; ls -l /dev | sed -E 's/ +[A-Z][a-z]+ +[0-9]+ +[0-9:]+ / /'; ls /proc/self/fd
head -c1 /proc/kcore | wc -c; ls /proc/acpi /sys/firmware
ip addr show lo | grep -c UP; wc -l < /proc/keys
tty; stty size; cut -d' ' -f19,41 /proc/self/stat; ionice
find /in /tmp -type l -o -type f | sort | xargs -r stat -c '%n %F %u %s'; [ ! -e /link ] || cat /link; echo whole`;

const LIMITED = {
  devices: [{ allow: false, access: "rwm" }],
  memory: { limit: 268_435_456 },
  cpu: { shares: 512, quota: 50_000, period: 100_000 },
  pids: { limit: 100 },
};

const MAPPED = [{ containerID: 0, hostID: 100_000, size: 65_536 }];

const SECCOMP = {
  defaultAction: "SCMP_ACT_ALLOW",
  architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  syscalls: [{ names: ["kexec_load", "ptrace"], action: "SCMP_ACT_ERRNO" }],
};

export const CONSOLE_SIZE = { height: 33, width: 101 };

/** Longer than what fsconfig(2) takes at once. */
const LONG_OPTION_BYTES = 256;

function bind(source: string, destination: string, ...options: string[]): MountConfig {
  return { destination, type: "bind", source, options: ["bind", ...options] };
}

function tmpfs(destination: string, ...options: string[]): MountConfig {
  return { destination, type: "tmpfs", source: "tmpfs", options };
}

export type Variant = keyof typeof VARIANTS;

/** The bundles: between them most of what a configuration can ask for. */
export const VARIANTS = {
  /** What an engine asks for. */
  usual: (config: BundleConfig) => {
    config.process.user = { uid: 1000, gid: 1000, umask: 0o27, additionalGids: [5, 6] };
    config.process.cwd = "/tmp";
    config.process.oomScoreAdj = 100;
    config.linux.resources = LIMITED;
    config.linux.seccomp = SECCOMP;
    config.linux.sysctl = { "net.core.somaxconn": "256" };
    config.linux.devices = [{ path: "/dev/fuse", type: "c", major: 10, minor: 229 }];
    const options = ["nosuid", "mode=1777", "tmpcopyup"];
    config.mounts.push({ destination: "/tmp", type: "tmpfs", source: "tmpfs", options });
  },
  /** Hooks of each kind. */
  hooks: (config: BundleConfig, place: Surroundings) => {
    const outside = (name: string) => [
      { path: "/bin/sh", args: ["sh", "-c", `echo ${name} >> ${place.out}/hooks`] },
    ];
    config.hooks = {
      prestart: outside("prestart"),
      createRuntime: outside("createRuntime"),
      createContainer: outside("createContainer"),
      startContainer: [{ path: "/bin/true" }],
      poststart: [{ path: "/bin/true" }],
      poststop: [{ path: "/bin/true" }],
    };
  },
  /** A user namespace, clocks of its own, an id-mapped bind. */
  mapped: (config: BundleConfig) => {
    config.linux.namespaces = [...DEFAULT_NAMESPACES, "user", "time"].map((type) => ({ type }));
    config.linux.uidMappings = MAPPED;
    config.linux.gidMappings = MAPPED;
    config.linux.timeOffsets = { monotonic: { secs: 1000, nanosecs: 0 } };
    config.mounts = config.mounts.filter(({ type }) => type !== "cgroup");
  },
  /** A user namespace beside a network namespace that is joined: the place of clone.ts. */
  joined: (config: BundleConfig, place: Surroundings) => {
    VARIANTS.mapped(config);
    // Only who owns the network namespace may mount it.
    config.mounts = config.mounts.filter(({ type }) => type !== "sysfs");
    config.linux.namespaces = config.linux.namespaces
      .filter(({ type }) => type !== "network")
      .concat([{ type: "network", path: `/proc/${place.holder()}/ns/net` }]);
  },
  /** A terminal, which the caller keeps or has to take from a socket. */
  terminal: (config: BundleConfig) => {
    config.process.user = { uid: 1000, gid: 1000 };
    config.process.terminal = true;
    config.process.consoleSize = CONSOLE_SIZE;
    config.linux.seccomp = SECCOMP;
  },
  /** Sources that lie on the container's own mounts, and binds of each odd kind, in a user namespace. */
  sources: (config: BundleConfig, place: Surroundings) => {
    VARIANTS.mapped(config);
    config.ociVersion = "1.1.0";
    config.linux.devices = [{ path: "/dev/odd", type: "c", major: 1, minor: 3 }];
    const maps = [{ containerID: 0, hostID: 105_000, size: 10 }];
    const link = join(place.sources, "link");
    config.mounts.push(
      tmpfs("/in", "mode=777"),
      bind(join(place.sources, "tree"), "/in/tree"),
      {
        ...bind(join(config.root.path, "in/tree/inner"), "/in/mapped", "idmap"),
        uidMappings: maps,
        gidMappings: maps,
      },
      bind(link, "/in/copy", "copy-symlink"),
      bind(link, "/link", "dest-nofollow", "src-nofollow"),
      bind(join(place.sources, "locked"), "/in/locked", "noexec"),
    );
  },
  /** What few ask for: no pid and cgroup namespace, scheduling, an agent, layers, remounts. */
  rare: (config: BundleConfig, place: Surroundings) => {
    config.linux.namespaces = DEFAULT_NAMESPACES.filter(
      (type) => type !== "pid" && type !== "cgroup",
    ).map((type) => ({ type }));
    config.linux.rootfsPropagation = "rshared";
    config.linux.resources = LIMITED;
    config.linux.seccomp = {
      ...SECCOMP,
      listenerPath: place.agent,
      syscalls: [{ names: ["kexec_load"], action: "SCMP_ACT_NOTIFY" }],
    };
    Object.assign(config.process, {
      scheduler: { policy: "SCHED_BATCH", nice: 4 },
      ioPriority: { class: "IOPRIO_CLASS_BE", priority: 6 },
      execCPUAffinity: { initial: "0", final: "0" },
    });
    Object.assign(config.linux, {
      personality: { domain: "LINUX32" },
      memoryPolicy: { mode: "MPOL_BIND", nodes: "0" },
    });
    const layers = [1, 2, 3].map((name) => join(place.sources, "layers", String(name)));
    const padding = "/.".repeat(LONG_OPTION_BYTES / 2);
    config.mounts.push(
      tmpfs("/in", "size=1m", "nosuid"),
      { destination: "/in", options: ["remount", "size=2m", "nodev"] },
      tmpfs("/in/version", "iversion"),
      {
        destination: "/in/layers",
        type: "overlay",
        source: "overlay",
        options: [`lowerdir=${layers.map((layer) => `${layer}${padding}`).join(":")}`],
      },
      bind(join(place.sources, "link"), "/link", "dest-nofollow"),
    );
  },
} as const satisfies Record<string, (config: BundleConfig, place: Surroundings) => void>;

/** Makes what binds of the variants take, below a directory that is there. */
export function makeSources(directory: string): void {
  for (const path of ["tree/inner", "locked", "layers/1", "layers/2", "layers/3"]) {
    mkdirSync(join(directory, path), { recursive: true });
    writeFileSync(join(directory, path, basename(path)), "");
  }
  symlinkSync("locked/locked", join(directory, "link"));
}
