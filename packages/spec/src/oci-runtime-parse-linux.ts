/** The `linux` object of `config.json`. Source: runtime-spec 1.3, config-linux.md. */
import { idMask } from "./id-list.ts";
import { quoteJson } from "./json.ts";
import {
  failAt,
  fieldTable,
  ID_MAX,
  type Place,
  readAbsolutePath,
  readAbsolutePaths,
  readAllOf,
  readBoolean,
  readFields,
  readInteger,
  readObject,
  readObjectMap,
  readObjects,
  readOneOf,
  readOptionalInt64,
  readOptionalInteger,
  readOptionalObject,
  readOptionalString,
  readOptionalUint32,
  readStringMap,
  readStrings,
} from "./json-read.ts";
import type {
  Device,
  IntelRdt,
  Linux,
  MemoryPolicy,
  Namespace,
  NamespaceType,
  TimeOffset,
} from "./oci-runtime.ts";
import { readIdMappings } from "./oci-runtime-parse-mapping.ts";
import { readResources } from "./oci-runtime-parse-resources.ts";
import { readSeccomp } from "./oci-runtime-parse-seccomp.ts";

type Personality = NonNullable<Linux["personality"]>;
type TimeOffsets = Linux["timeOffsets"];

/** netdevice(7): IFNAMSIZ is 16 with the final NUL. */
const INTERFACE_NAME_MAX = 15;

/** The kernel's device numbers have 12 and 20 bits; what is above would name another device. */
const MAJOR_MAX = 0xfff;
const MINOR_MAX = 0xfffff;

const NANOSECONDS_MAX = 999_999_999;

const NAMESPACE_TYPES: ReadonlySet<NamespaceType> = new Set<NamespaceType>([
  "pid",
  "network",
  "mount",
  "ipc",
  "uts",
  "user",
  "cgroup",
  "time",
]);

const DEVICE_TYPES: ReadonlySet<Device["type"]> = new Set<Device["type"]>(["c", "b", "u", "p"]);

/** The four of the specification, and the recursive spellings that every engine writes. */
const PROPAGATIONS: ReadonlySet<string> = new Set([
  "private",
  "shared",
  "slave",
  "unbindable",
  "rprivate",
  "rshared",
  "rslave",
  "runbindable",
]);

const POLICY_MODES: ReadonlySet<string> = new Set([
  "MPOL_DEFAULT",
  "MPOL_BIND",
  "MPOL_INTERLEAVE",
  "MPOL_WEIGHTED_INTERLEAVE",
  "MPOL_PREFERRED",
  "MPOL_PREFERRED_MANY",
  "MPOL_LOCAL",
]);

const POLICY_FLAGS: ReadonlySet<string> = new Set([
  "MPOL_F_NUMA_BALANCING",
  "MPOL_F_RELATIVE_NODES",
  "MPOL_F_STATIC_NODES",
]);

const DOMAINS: ReadonlySet<string> = new Set(["LINUX", "LINUX32"]);

const CLOCKS: readonly string[] = ["boottime", "monotonic"];

/** The linux object; a configuration without one has empty defaults. */
export function readLinux(linux: Place | undefined): Linux {
  const place = linux ?? { fields: {}, key: "linux", index: -1, parent: undefined };
  return {
    namespaces: readNamespaces(place),
    uidMappings: readIdMappings(place, "uidMappings"),
    gidMappings: readIdMappings(place, "gidMappings"),
    timeOffsets: readTimeOffsets(readOptionalObject(place, "timeOffsets")),
    devices: readObjects(place, "devices", readDevice),
    netDevices: readNetDevices(place),
    resources: readResources(readOptionalObject(place, "resources")),
    sysctl: readStringMap(place, "sysctl"),
    maskedPaths: readAbsolutePaths(place, "maskedPaths"),
    readonlyPaths: readAbsolutePaths(place, "readonlyPaths"),
    ...readFields(place, OPTIONAL_FIELDS),
  };
}

type OptionalFields = Pick<
  Linux,
  | "cgroupsPath"
  | "intelRdt"
  | "memoryPolicy"
  | "seccomp"
  | "rootfsPropagation"
  | "mountLabel"
  | "personality"
>;

const OPTIONAL_FIELDS = fieldTable<OptionalFields>({
  cgroupsPath: readOptionalString,
  intelRdt: readIntelRdt,
  memoryPolicy: readMemoryPolicy,
  seccomp: readSeccomp,
  rootfsPropagation: readPropagation,
  mountLabel: readOptionalString,
  personality: readPersonality,
});

const CLOCK_FIELDS = fieldTable<TimeOffsets>({
  boottime: readTimeOffset,
  monotonic: readTimeOffset,
});

const DEVICE_FIELDS = fieldTable<Pick<Device, "fileMode" | "uid" | "gid">>({
  fileMode: readFileMode,
  uid: readOptionalId,
  gid: readOptionalId,
});

const RDT_FIELDS = fieldTable<Pick<IntelRdt, "closID" | "l3CacheSchema" | "memBwSchema">>({
  closID: readOptionalString,
  l3CacheSchema: readOptionalString,
  memBwSchema: readOptionalString,
});

function readNamespaces(place: Place): readonly Namespace[] {
  const namespaces = readObjects(place, "namespaces", readNamespace);
  const seen = new Set<string>();
  for (const { type } of namespaces) {
    if (seen.has(type)) failAt(place, "namespaces", `"${type}" is there twice`);
    seen.add(type);
  }
  return namespaces;
}

function readNamespace(place: Place): Namespace {
  const type = readOneOf(place, "type", NAMESPACE_TYPES);
  if (readOptionalString(place, "path") === undefined) return { type };
  return { type, path: readAbsolutePath(place, "path") };
}

/** An unknown clock is refused: to leave it at the host's time would be silent. */
function readTimeOffsets(place: Place | undefined): TimeOffsets {
  if (place === undefined) return {};
  for (const clock of Object.keys(place.fields)) {
    if (!CLOCKS.includes(clock)) failAt(place, clock, `no such clock; ${CLOCKS.join(", ")} are`);
  }
  return readFields(place, CLOCK_FIELDS);
}

function readTimeOffset(place: Place, key: string): TimeOffset | undefined {
  const inner = readOptionalObject(place, key);
  if (inner === undefined) return undefined;
  return {
    secs: readOptionalInt64(inner, "secs") ?? 0n,
    nanosecs: readOptionalInteger(inner, "nanosecs", 0, NANOSECONDS_MAX) ?? 0,
  };
}

function readDevice(place: Place): Device {
  const type = readOneOf(place, "type", DEVICE_TYPES);
  const isPipe = type === "p";
  return {
    type,
    path: readAbsolutePath(place, "path"),
    major: isPipe ? 0 : readInteger(place, "major", 0, MAJOR_MAX),
    minor: isPipe ? 0 : readInteger(place, "minor", 0, MINOR_MAX),
    ...readFields(place, DEVICE_FIELDS),
  };
}

/** The permissions; bits of the file type, which some engines add, are dropped. */
function readFileMode(place: Place, key: string): number | undefined {
  const mode = readOptionalUint32(place, key);
  return mode === undefined ? undefined : mode & 0o7777;
}

function readOptionalId(place: Place, key: string): number | undefined {
  return readOptionalInteger(place, key, 0, ID_MAX);
}

function readNetDevices(place: Place): Linux["netDevices"] {
  const devices = readObjectMap(place, "netDevices", readNetDevice);
  for (const name of devices.keys()) {
    if (!isInterfaceName(name)) failAt(readObject(place, "netDevices"), name, "no interface name");
  }
  return devices;
}

function readNetDevice(place: Place): { readonly name?: string } {
  const name = readOptionalString(place, "name");
  if (name === undefined) return {};
  if (!isInterfaceName(name)) failAt(place, "name", `"${name}" is no interface name`);
  return { name };
}

/** dev_valid_name() of the kernel, of printable ASCII. */
function isInterfaceName(name: string): boolean {
  if (name.length > INTERFACE_NAME_MAX || name === "." || name === "..") return false;
  return /^[!-.0-9;-~]+$/.test(name);
}

function readPropagation(place: Place, key: string): string | undefined {
  if (readOptionalString(place, key) === undefined) return undefined;
  return readOneOf(place, key, PROPAGATIONS);
}

function readIntelRdt(place: Place, key: string): IntelRdt | undefined {
  const inner = readOptionalObject(place, key);
  if (inner === undefined) return undefined;
  return {
    schemata: readStrings(inner, "schemata"),
    enableMonitoring: readBoolean(inner, "enableMonitoring"),
    ...readFields(inner, RDT_FIELDS),
  };
}

/** Its faults are known by runc's words. */
function readMemoryPolicy(place: Place, key: string): MemoryPolicy | undefined {
  const inner = readOptionalObject(place, key);
  if (inner === undefined) return undefined;
  const nodes = readOptionalString(inner, "nodes");
  if (nodes !== undefined && idMask(nodes) === undefined) {
    const why = `invalid memory policy node: want a list such as 0-3,7, got ${quoteJson(nodes)}`;
    failAt(inner, "nodes", why);
  }
  const mode = readOneOf(inner, "mode", POLICY_MODES, "invalid memory policy mode: ");
  const flags = readAllOf(inner, "flags", POLICY_FLAGS, "invalid memory policy flag: ");
  return nodes === undefined ? { mode, flags } : { mode, flags, nodes };
}

function readPersonality(place: Place, key: string): Personality | undefined {
  const inner = readOptionalObject(place, key);
  if (inner === undefined) return undefined;
  return { domain: readOneOf(inner, "domain", DOMAINS), flags: readStrings(inner, "flags") };
}
