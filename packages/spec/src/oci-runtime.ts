/**
 * The OCI runtime specification's `config.json` and state, as types.
 * Source: runtime-spec 1.3, config.md, config-linux.md, runtime.md. Field names are the specification's.
 * 64-bit kernel values are `bigint`: a JavaScript number loses them above 2^53.
 */

export type Config = {
  readonly ociVersion: string;
  readonly root: Root;
  readonly process?: Process;
  readonly hostname?: string;
  readonly domainname?: string;
  readonly mounts: readonly Mount[];
  readonly hooks: Hooks;
  readonly annotations: ReadonlyMap<string, string>;
  readonly linux: Linux;
};

export type Root = { readonly path: string; readonly readonly: boolean };

export type Mount = {
  readonly destination: string;
  readonly type?: string;
  readonly source?: string;
  readonly options: readonly string[];
  readonly uidMappings: readonly IdMapping[];
  readonly gidMappings: readonly IdMapping[];
};

export type Process = {
  readonly terminal: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  readonly cwd: string;
  readonly env: readonly string[];
  /** May be empty in a bundle that is only created; `start` then fails. */
  readonly args: readonly string[];
  readonly rlimits: readonly Rlimit[];
  readonly apparmorProfile?: string;
  readonly selinuxLabel?: string;
  readonly capabilities: Capabilities;
  readonly noNewPrivileges: boolean;
  readonly oomScoreAdj?: number;
  readonly scheduler?: Scheduler;
  readonly ioPriority?: { readonly class: string; readonly priority: number };
  readonly execCPUAffinity?: { readonly initial?: string; readonly final?: string };
  readonly user: User;
};

export type User = {
  readonly uid: number;
  readonly gid: number;
  readonly umask?: number;
  readonly additionalGids: readonly number[];
};

/** `type` is the name with its prefix, as in `RLIMIT_NOFILE`. */
export type Rlimit = { readonly type: string; readonly soft: bigint; readonly hard: bigint };

/** Names with their prefix, as in `CAP_CHOWN`; a set that the configuration leaves out is empty. */
export type Capabilities = {
  readonly bounding: readonly string[];
  readonly permitted: readonly string[];
  readonly inheritable: readonly string[];
  readonly effective: readonly string[];
  readonly ambient: readonly string[];
};

export type Scheduler = {
  readonly policy: string;
  readonly nice: number;
  readonly priority: number;
  readonly flags: readonly string[];
  /** Of SCHED_DEADLINE, in nanoseconds. */
  readonly runtime?: bigint;
  readonly deadline?: bigint;
  readonly period: bigint;
};

export type HookName =
  | "prestart"
  | "createRuntime"
  | "createContainer"
  | "startContainer"
  | "poststart"
  | "poststop";

export type Hooks = { readonly [name in HookName]: readonly Hook[] };

export type Hook = {
  readonly path: string;
  readonly args: readonly string[];
  /** Absent, not empty: the caller's, or the program's where the hook is one of the container's. */
  readonly env?: readonly string[];
  /** Seconds. */
  readonly timeout?: number;
};

export type NamespaceType =
  | "pid"
  | "network"
  | "mount"
  | "ipc"
  | "uts"
  | "user"
  | "cgroup"
  | "time";

export type Namespace = { readonly type: NamespaceType; readonly path?: string };

export type IdMapping = {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
};

export type Device = {
  readonly type: "c" | "b" | "u" | "p";
  readonly path: string;
  readonly major: number;
  readonly minor: number;
  readonly fileMode?: number;
  readonly uid?: number;
  readonly gid?: number;
};

export type TimeOffset = { readonly secs: bigint; readonly nanosecs: number };

export type Linux = {
  readonly namespaces: readonly Namespace[];
  readonly uidMappings: readonly IdMapping[];
  readonly gidMappings: readonly IdMapping[];
  readonly timeOffsets: { readonly boottime?: TimeOffset; readonly monotonic?: TimeOffset };
  readonly devices: readonly Device[];
  readonly netDevices: ReadonlyMap<string, { readonly name?: string }>;
  readonly cgroupsPath?: string;
  readonly resources: Resources;
  readonly intelRdt?: IntelRdt;
  readonly memoryPolicy?: MemoryPolicy;
  readonly sysctl: ReadonlyMap<string, string>;
  readonly seccomp?: Seccomp;
  readonly rootfsPropagation?: string;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly mountLabel?: string;
  readonly personality?: { readonly domain: string; readonly flags: readonly string[] };
};

export type IntelRdt = {
  readonly closID?: string;
  readonly l3CacheSchema?: string;
  readonly memBwSchema?: string;
  readonly schemata: readonly string[];
  readonly enableMonitoring: boolean;
};

export type MemoryPolicy = {
  readonly mode: string;
  readonly nodes?: string;
  readonly flags: readonly string[];
};

export type Resources = {
  readonly devices: readonly DeviceRule[];
  readonly memory: MemoryResources;
  readonly cpu: CpuResources;
  readonly pids?: { readonly limit: bigint };
  readonly blockIO: BlockIo;
  readonly hugepageLimits: readonly { readonly pageSize: string; readonly limit: bigint }[];
  readonly network: {
    readonly classID?: number;
    readonly priorities: readonly { readonly name: string; readonly priority: number }[];
  };
  readonly rdma: ReadonlyMap<
    string,
    { readonly hcaHandles?: number; readonly hcaObjects?: number }
  >;
  readonly unified: ReadonlyMap<string, string>;
};

/** Absent `type` and "a" mean all; absent numbers are wild cards, as -1 is. */
export type DeviceRule = {
  readonly allow: boolean;
  readonly type: "a" | "b" | "c";
  readonly major?: number;
  readonly minor?: number;
  /** Some of the letters r, w, m. */
  readonly access: string;
};

/** Bytes; -1 is "no limit". */
export type MemoryResources = {
  readonly limit?: bigint;
  readonly reservation?: bigint;
  /** Memory and swap together. */
  readonly swap?: bigint;
  readonly kernel?: bigint;
  readonly kernelTCP?: bigint;
  readonly swappiness?: bigint;
  readonly disableOOMKiller?: boolean;
  readonly useHierarchy?: boolean;
  readonly checkBeforeUpdate?: boolean;
};

/** Times in microseconds. */
export type CpuResources = {
  readonly shares?: bigint;
  readonly quota?: bigint;
  readonly burst?: bigint;
  readonly period?: bigint;
  readonly realtimeRuntime?: bigint;
  readonly realtimePeriod?: bigint;
  readonly cpus?: string;
  readonly mems?: string;
  readonly idle?: bigint;
};

export type BlockIo = {
  readonly weight?: number;
  readonly leafWeight?: number;
  readonly weightDevice: readonly {
    readonly major: number;
    readonly minor: number;
    readonly weight?: number;
    readonly leafWeight?: number;
  }[];
  readonly throttleReadBpsDevice: readonly Throttle[];
  readonly throttleWriteBpsDevice: readonly Throttle[];
  readonly throttleReadIOPSDevice: readonly Throttle[];
  readonly throttleWriteIOPSDevice: readonly Throttle[];
};

export type Throttle = { readonly major: number; readonly minor: number; readonly rate: bigint };

export type SeccompAction =
  | "SCMP_ACT_KILL"
  | "SCMP_ACT_KILL_PROCESS"
  | "SCMP_ACT_KILL_THREAD"
  | "SCMP_ACT_TRAP"
  | "SCMP_ACT_ERRNO"
  | "SCMP_ACT_TRACE"
  | "SCMP_ACT_ALLOW"
  | "SCMP_ACT_LOG"
  | "SCMP_ACT_NOTIFY";

export type SeccompOperator =
  | "SCMP_CMP_NE"
  | "SCMP_CMP_LT"
  | "SCMP_CMP_LE"
  | "SCMP_CMP_EQ"
  | "SCMP_CMP_GE"
  | "SCMP_CMP_GT"
  | "SCMP_CMP_MASKED_EQ";

export type Seccomp = {
  readonly defaultAction: SeccompAction;
  readonly defaultErrnoRet?: number;
  /** Such as `SCMP_ARCH_X86_64`; empty means the architecture of the runtime. */
  readonly architectures: readonly string[];
  readonly flags: readonly string[];
  readonly listenerPath?: string;
  readonly listenerMetadata?: string;
  readonly syscalls: readonly SeccompRule[];
};

export type SeccompRule = {
  readonly names: readonly string[];
  readonly action: SeccompAction;
  readonly errnoRet?: number;
  readonly args: readonly SeccompArg[];
};

export type SeccompArg = {
  readonly index: number;
  readonly value: bigint;
  readonly valueTwo: bigint;
  readonly op: SeccompOperator;
};

/** runtime.md, "State", and `paused`, the value that runc and crun add; hooks never read that one. */
export type Status = "creating" | "created" | "running" | "paused" | "stopped";

/** runtime.md, "State": what `state` prints and hooks read from standard input. */
export type State = {
  readonly ociVersion: string;
  readonly id: string;
  readonly status: Status;
  /** Absent while creating and once stopped. */
  readonly pid?: number;
  readonly bundle: string;
  readonly annotations?: Readonly<Record<string, string>>;
};

export const OCI_VERSION = "1.3.0";
