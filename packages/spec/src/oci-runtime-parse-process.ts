/** The `process` object of `config.json`. Source: runtime-spec 1.3, config.md, "Process". */
import { idMask } from "./id-list.ts";
import { quoteJson } from "./json.ts";
import {
  failAt,
  fieldTable,
  ID_MAX,
  type Place,
  readAbsolutePath,
  readAllOf,
  readBoolean,
  readFields,
  readInteger,
  readIntegers,
  readJson,
  readObjects,
  readOneOf,
  readOptionalInteger,
  readOptionalObject,
  readOptionalString,
  readOptionalUint32,
  readOptionalUint64,
  readString,
  readStrings,
  readUint64,
} from "./json-read.ts";
import type { Capabilities, Process, Rlimit, Scheduler, User } from "./oci-runtime.ts";

type ConsoleSize = NonNullable<Process["consoleSize"]>;
type IoPriority = NonNullable<Process["ioPriority"]>;
type CpuAffinity = NonNullable<Process["execCPUAffinity"]>;

const INT32_MIN = -0x80000000;
const INT32_MAX = 0x7fffffff;

/** proc_pid_oom_score_adj(5). */
const OOM_SCORE_ADJ_MAX = 1000;

const POLICIES: ReadonlySet<string> = new Set([
  "SCHED_OTHER",
  "SCHED_FIFO",
  "SCHED_RR",
  "SCHED_BATCH",
  "SCHED_ISO",
  "SCHED_IDLE",
  "SCHED_DEADLINE",
]);

const SCHEDULER_FLAGS: ReadonlySet<string> = new Set([
  "SCHED_FLAG_RESET_ON_FORK",
  "SCHED_FLAG_RECLAIM",
  "SCHED_FLAG_DL_OVERRUN",
  "SCHED_FLAG_KEEP_POLICY",
  "SCHED_FLAG_KEEP_PARAMS",
  "SCHED_FLAG_UTIL_CLAMP_MIN",
  "SCHED_FLAG_UTIL_CLAMP_MAX",
]);

const IO_CLASSES: ReadonlySet<string> = new Set([
  "IOPRIO_CLASS_RT",
  "IOPRIO_CLASS_BE",
  "IOPRIO_CLASS_IDLE",
]);

const NO_CAPABILITIES: Capabilities = {
  bounding: [],
  permitted: [],
  inheritable: [],
  effective: [],
  ambient: [],
};

/**
 * The process of an `exec --process` file. One that names no capabilities gets `inherited`, the
 * container's own, as in runc. `what` names the file in errors.
 */
export function parseProcess(
  text: string,
  what = "process.json",
  inherited?: Capabilities,
): Process {
  return readJson(text, what, (place) => readProcess(place, inherited));
}

/** A process object; `inherited` stands in for capabilities that it does not name. */
export function readProcess(place: Place, inherited = NO_CAPABILITIES): Process {
  const capabilities = readOptionalObject(place, "capabilities");
  return {
    terminal: readBoolean(place, "terminal"),
    cwd: readAbsolutePath(place, "cwd"),
    env: readStrings(place, "env"),
    args: readStrings(place, "args"),
    rlimits: readRlimits(place),
    capabilities: capabilities === undefined ? inherited : readCapabilities(capabilities),
    noNewPrivileges: readBoolean(place, "noNewPrivileges"),
    user: readUser(readOptionalObject(place, "user")),
    ...readFields(place, OPTIONAL_FIELDS),
  };
}

type OptionalFields = Pick<
  Process,
  | "consoleSize"
  | "apparmorProfile"
  | "selinuxLabel"
  | "oomScoreAdj"
  | "scheduler"
  | "ioPriority"
  | "execCPUAffinity"
>;

const OPTIONAL_FIELDS = fieldTable<OptionalFields>({
  consoleSize: readConsoleSize,
  apparmorProfile: readOptionalString,
  selinuxLabel: readOptionalString,
  oomScoreAdj: readOomScoreAdj,
  scheduler: readScheduler,
  ioPriority: readIoPriority,
  execCPUAffinity: readCpuAffinity,
});

const AFFINITY_FIELDS = fieldTable<CpuAffinity>({
  initial: readCpuList,
  final: readCpuList,
});

/** A process object, or undefined where it is absent. */
export function readOptionalProcess(place: Place, key: string): Process | undefined {
  const process = readOptionalObject(place, key);
  return process === undefined ? undefined : readProcess(process);
}

function readCapabilities(place: Place): Capabilities {
  return {
    bounding: readStrings(place, "bounding"),
    permitted: readStrings(place, "permitted"),
    inheritable: readStrings(place, "inheritable"),
    effective: readStrings(place, "effective"),
    ambient: readStrings(place, "ambient"),
  };
}

/** Both ids are 0 where they are absent, as in every runtime that is written in Go. */
function readUser(place: Place | undefined): User {
  if (place === undefined) return { uid: 0, gid: 0, additionalGids: [] };
  const umask = readOptionalUint32(place, "umask");
  const user = {
    uid: readOptionalInteger(place, "uid", 0, ID_MAX) ?? 0,
    gid: readOptionalInteger(place, "gid", 0, ID_MAX) ?? 0,
    additionalGids: readIntegers(place, "additionalGids", 0, ID_MAX),
  };
  return umask === undefined ? user : { ...user, umask };
}

function readRlimits(place: Place): readonly Rlimit[] {
  const rlimits = readObjects(place, "rlimits", (inner) => ({
    type: readString(inner, "type"),
    soft: readUint64(inner, "soft"),
    hard: readUint64(inner, "hard"),
  }));
  const seen = new Set<string>();
  for (const { type } of rlimits) {
    if (seen.has(type)) failAt(place, "rlimits", `${type} is there twice`);
    seen.add(type);
  }
  return rlimits;
}

/** ioctl_tty(2): the kernel keeps both in 16 bits. */
function readConsoleSize(place: Place, key: string): ConsoleSize | undefined {
  const size = readOptionalObject(place, key);
  if (size === undefined) return undefined;
  return {
    height: readInteger(size, "height", 0, 0xffff),
    width: readInteger(size, "width", 0, 0xffff),
  };
}

function readOomScoreAdj(place: Place, key: string): number | undefined {
  return readOptionalInteger(place, key, -OOM_SCORE_ADJ_MAX, OOM_SCORE_ADJ_MAX);
}

function readScheduler(place: Place, key: string): Scheduler | undefined {
  const inner = readOptionalObject(place, key);
  if (inner === undefined) return undefined;
  const runtime = readOptionalUint64(inner, "runtime");
  const deadline = readOptionalUint64(inner, "deadline");
  return {
    policy: readOneOf(inner, "policy", POLICIES),
    nice: readOptionalInteger(inner, "nice", INT32_MIN, INT32_MAX) ?? 0,
    priority: readOptionalInteger(inner, "priority", INT32_MIN, INT32_MAX) ?? 0,
    flags: readAllOf(inner, "flags", SCHEDULER_FLAGS),
    ...(runtime === undefined ? {} : { runtime }),
    ...(deadline === undefined ? {} : { deadline }),
    period: readOptionalUint64(inner, "period") ?? 0n,
  };
}

function readIoPriority(place: Place, key: string): IoPriority | undefined {
  const inner = readOptionalObject(place, key);
  if (inner === undefined) return undefined;
  return {
    class: readOneOf(inner, "class", IO_CLASSES),
    priority: readOptionalInteger(inner, "priority", 0, 7) ?? 0,
  };
}

/** A list as idMask reads it, with a processor in it: as runc, an empty one is refused. */
function readCpuList(place: Place, key: string): string | undefined {
  const list = readOptionalString(place, key);
  if (list === undefined || (idMask(list)?.length ?? 0) > 0) return list;
  return failAt(place, key, `want a list of processors such as 0-3,7, got ${quoteJson(list)}`);
}

function readCpuAffinity(place: Place, key: string): CpuAffinity | undefined {
  const inner = readOptionalObject(place, key);
  return inner === undefined ? undefined : readFields(inner, AFFINITY_FIELDS);
}
