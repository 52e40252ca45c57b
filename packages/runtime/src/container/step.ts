/**
 * A container is a list of steps: what is done, on what, and why. Plans make steps, pure;
 * `init.ts` applies them in the new namespaces, one loop; nothing else decides.
 */

import type { HookName, IdMapping, Linux, NamespaceType, Rlimit } from "@tare/spec/oci-runtime.ts";
import type { MountOptions } from "../mounts/options.ts";

/** The parts of a step that every step has: one sentence for people. */
type Why = { readonly why: string };

export type MountStep = Why &
  (
    | {
        readonly op: "mount";
        readonly fstype: string;
        readonly source: string;
        readonly target: string;
        readonly options: MountOptions;
      }
    | {
        readonly op: "bind";
        /** Index in the configuration's mounts: sources that the parent opened are found by it. */
        readonly index: number;
        /** Whether the source stays a peer of the host's: events travel in both directions. */
        readonly isPeer: boolean;
        /** Owners are shown through these maps; undefined: as they are. */
        readonly idmap: IdMap | undefined;
        readonly source: string;
        readonly target: string;
        readonly options: MountOptions;
      }
    | {
        readonly op: "mount-cgroup";
        readonly target: string;
        readonly options: MountOptions;
        /** v2 alone is one mount; v1 is a tmpfs with a directory a hierarchy. */
        readonly unified: boolean;
        readonly views: readonly CgroupView[];
        /** Whether the container has a cgroup namespace of its own. */
        readonly private: boolean;
      }
    /** Other options for the mount that is at the target already. */
    | { readonly op: "remount"; readonly target: string; readonly options: MountOptions }
    /** A mount whose read-only attribute had to wait until everything below it was made. */
    | { readonly op: "set-readonly"; readonly target: string }
  );

/** The maps of an id-mapped mount: `containerID` is an id of the file system, `hostID` what is seen. */
export type IdMap = {
  readonly uidMappings: readonly IdMapping[];
  readonly gidMappings: readonly IdMapping[];
  readonly recursive: boolean;
  /** crun's maps in the option's own words, as `uids=0-1000-10;gids=0-1000-10`; they come first. */
  readonly words: string | undefined;
  /** The file of the user namespace that is joined, where the maps are its own. */
  readonly namespace?: string;
};

/** What a container sees of one cgroup hierarchy. */
export type CgroupView = {
  readonly version: 1 | 2;
  /** The directory's name on this host, as `cpu,cpuacct`. */
  readonly name: string;
  /** Mount data of v1, as `cpu,cpuacct` or `name=systemd`. */
  readonly data: string;
  /** The container's own cgroup as a path of the host: what is bound where there is no namespace. */
  readonly hostPath: string;
};

export type DeviceStep = Why &
  (
    | {
        readonly op: "device";
        readonly path: string;
        readonly type: "c" | "b" | "u" | "p";
        readonly major: number;
        readonly minor: number;
        readonly mode: number;
        readonly uid: number;
        readonly gid: number;
        /** What the configuration names of these three: a node that is there already gets it. */
        readonly given: { readonly mode?: number; readonly uid?: number; readonly gid?: number };
      }
    | { readonly op: "link"; readonly path: string; readonly target: string }
    | { readonly op: "console"; readonly width: number; readonly height: number }
  );

export type ProtectStep = Why &
  (
    | { readonly op: "sysctl"; readonly name: string; readonly value: string }
    | { readonly op: "read-only"; readonly path: string }
    | { readonly op: "mask"; readonly path: string }
    | { readonly op: "root-read-only" }
    | { readonly op: "root-propagation"; readonly flag: number; readonly recursive: boolean }
  );

export type NamespaceStep = Why &
  (
    | { readonly op: "join"; readonly type: NamespaceType; readonly path: string }
    | { readonly op: "become-root" }
    | { readonly op: "hide" }
    | { readonly op: "enter-cgroup" }
    /** For systemd, which puts a process into its cgroups from outside. */
    | { readonly op: "wait-cgroup" }
    | { readonly op: "all-processors" }
    | { readonly op: "cgroup-namespace" }
    | { readonly op: "session" }
    | { readonly op: "keyring"; readonly name: string }
    | { readonly op: "loopback" }
    | { readonly op: "hostname"; readonly name: string }
    | { readonly op: "domainname"; readonly name: string }
  );

export type RootStep = Why &
  (
    | { readonly op: "propagation"; readonly flag: number }
    | { readonly op: "root"; readonly path: string; readonly guard: boolean }
    /** A procfs of our own: what is written for the container never goes through the container's. */
    | { readonly op: "procfs" }
    /** Devices of the host, to be bound where a user namespace may not make its own. */
    | { readonly op: "take-devices"; readonly paths: readonly string[] }
    | { readonly op: "parent-hooks" }
    | { readonly op: "hooks"; readonly name: HookName }
    | { readonly op: "pivot"; readonly shared: boolean }
    /** In place of pivot, where the host's root cannot be left: weaker. */
    | { readonly op: "move-root" }
    | { readonly op: "working-directory"; readonly path: string }
  );

export type ProcessStep = Why &
  (
    | { readonly op: "rlimit"; readonly limit: Rlimit; readonly resource: number }
    | { readonly op: "oom-score"; readonly value: number }
    | { readonly op: "apparmor"; readonly profile: string }
    | { readonly op: "selinux"; readonly label: string }
    | { readonly op: "find-program" }
    | { readonly op: "wait-start" }
    | { readonly op: "no-new-privileges" }
    | { readonly op: "default-signals" }
    | { readonly op: "umask"; readonly mask: number }
    | { readonly op: "bounding-set"; readonly drop: readonly number[] }
    | {
        readonly op: "identity";
        readonly uid: number;
        readonly gid: number;
        readonly groups: readonly number[];
        /** Whether the user namespace may forbid setgroups(2): then the caller's groups stay. */
        readonly groupsMayStay: boolean;
      }
    | { readonly op: "directory"; readonly path: string }
    | { readonly op: "descriptors" }
    | { readonly op: "capabilities"; readonly sets: CapabilityMasks }
    | { readonly op: "seccomp" }
    | { readonly op: "execute" }
    | SchedulingStep
  );

/** What few configurations ask for; `field` names it in errors. */
export type SchedulingStep = Why & {
  readonly field: string;
} /** `refusal` is why the kernel answers EINVAL, where that can be told from the fields. */ & (
    | { readonly op: "scheduler"; readonly attr: Uint8Array; readonly refusal?: string }
    | { readonly op: "io-priority"; readonly priority: number }
    /** `nodes` is a mask for set_mempolicy(2). */
    | { readonly op: "memory-policy"; readonly mode: number; readonly nodes: Uint8Array }
    | { readonly op: "personality"; readonly persona: number }
  );

/** What only a further process of a container does, on its way into it. */
export type EntryStep = Why &
  (
    | { readonly op: "enter-cgroup" }
    /** Processors it may run on once its cgroup has them, as a mask in bytes. */
    | { readonly op: "affinity"; readonly mask: Uint8Array }
    | { readonly op: "leave-host" }
    | { readonly op: "enter"; readonly namespaces: number }
    | { readonly op: "become-root" }
    | { readonly op: "keyring"; readonly name: string }
    | { readonly op: "terminal"; readonly width: number; readonly height: number }
    | { readonly op: "hide" }
    | { readonly op: "fork" }
    | { readonly op: "session" }
    | { readonly op: "control-terminal" }
  );

export type ExecStep = EntryStep | ProcessStep;

export type CapabilityMasks = {
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
  readonly ambient: readonly number[];
};

export type Step = NamespaceStep | RootStep | MountStep | DeviceStep | ProtectStep | ProcessStep;

/** What is to be done for one container, in order, by whom. */
export type Plan = {
  /** Flags of the clone3(2) that makes the container's first process. */
  readonly clone: CloneStep;
  /** What that process does, from its first instruction to execve(2). */
  readonly init: readonly Step[];
};

export type CloneStep = {
  /** New namespaces, made all at once. */
  readonly namespaces: readonly NamespaceType[];
  readonly flags: number;
  /** Joined before the clone: the pid namespace, which counts only for children; all, with `stage`. */
  readonly joined: readonly { readonly type: NamespaceType; readonly path: string }[];
  /** Whether a process between us and the container does that, so that we stay where we are. */
  readonly stage: boolean;
  /** Clocks of the new time namespace; undefined where none is set. */
  readonly offsets: Linux["timeOffsets"] | undefined;
};
