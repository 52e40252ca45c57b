/** The `linux.resources` object: cgroup limits. Source: runtime-spec 1.3, config-linux.md, "Control groups". */
import {
  failAt,
  fieldTable,
  type Place,
  readFields,
  readInteger,
  readObjectMap,
  readObjects,
  readOneOf,
  readOptionalBoolean,
  readOptionalInt64,
  readOptionalInteger,
  readOptionalObject,
  readOptionalString,
  readOptionalUint16,
  readOptionalUint32,
  readOptionalUint64,
  readRequiredBoolean,
  readString,
  readStringMap,
  readUint64,
  UINT32_MAX,
} from "./json-read.ts";
import type {
  BlockIo,
  CpuResources,
  DeviceRule,
  MemoryResources,
  Resources,
  Throttle,
} from "./oci-runtime.ts";

type WeightDevice = BlockIo["weightDevice"][number];
type Network = Resources["network"];
type RdmaLimits = { readonly hcaHandles?: number; readonly hcaObjects?: number };

const RULE_TYPES: ReadonlySet<DeviceRule["type"]> = new Set<DeviceRule["type"]>(["a", "b", "c"]);

const MEMORY = fieldTable<MemoryResources>({
  limit: readOptionalInt64,
  reservation: readOptionalInt64,
  swap: readOptionalInt64,
  kernel: readOptionalInt64,
  kernelTCP: readOptionalInt64,
  swappiness: readOptionalUint64,
  disableOOMKiller: readOptionalBoolean,
  useHierarchy: readOptionalBoolean,
  checkBeforeUpdate: readOptionalBoolean,
});

const CPU = fieldTable<CpuResources>({
  shares: readOptionalUint64,
  quota: readOptionalInt64,
  burst: readOptionalUint64,
  period: readOptionalUint64,
  realtimeRuntime: readOptionalInt64,
  realtimePeriod: readOptionalUint64,
  cpus: readOptionalString,
  mems: readOptionalString,
  idle: readOptionalInt64,
});

const WEIGHTS = fieldTable<Pick<BlockIo, "weight" | "leafWeight">>({
  weight: readOptionalUint16,
  leafWeight: readOptionalUint16,
});

const RDMA = fieldTable<RdmaLimits>({
  hcaHandles: readOptionalUint32,
  hcaObjects: readOptionalUint32,
});

const NUMBERS = fieldTable<Pick<DeviceRule, "major" | "minor">>({
  major: readDeviceNumber,
  minor: readDeviceNumber,
});

const EMPTY: Place = { fields: {}, key: "resources", index: -1, parent: undefined };

/** The resources object, also that of `update`; a configuration without one has empty defaults. */
export function readResources(resources: Place | undefined): Resources {
  const place = resources ?? EMPTY;
  const memory = readOptionalObject(place, "memory");
  const cpu = readOptionalObject(place, "cpu");
  const pids = readPids(place);
  const limits = {
    devices: readObjects(place, "devices", readDeviceRule),
    memory: memory === undefined ? {} : readFields(memory, MEMORY),
    cpu: cpu === undefined ? {} : readFields(cpu, CPU),
    blockIO: readBlockIo(readOptionalObject(place, "blockIO") ?? EMPTY),
    hugepageLimits: readObjects(place, "hugepageLimits", readHugepageLimit),
    network: readNetwork(readOptionalObject(place, "network") ?? EMPTY),
    rdma: readObjectMap(place, "rdma", (inner) => readFields(inner, RDMA)),
    unified: readUnified(place),
  };
  return pids === undefined ? limits : { ...limits, pids };
}

/** Without a limit the object says nothing: 1.3 made the field optional. */
function readPids(place: Place): Resources["pids"] {
  const pids = readOptionalObject(place, "pids");
  const limit = pids === undefined ? undefined : readOptionalInt64(pids, "limit");
  return limit === undefined ? undefined : { limit };
}

function readDeviceRule(place: Place): DeviceRule {
  const allow = readRequiredBoolean(place, "allow");
  const hasType = readOptionalString(place, "type") !== undefined;
  return {
    allow,
    type: hasType ? readOneOf(place, "type", RULE_TYPES) : "a",
    access: readAccess(place, allow),
    ...readFields(place, NUMBERS),
  };
}

/** -1, the wild card of the Go tools, is the same as none. */
function readDeviceNumber(place: Place, key: string): number | undefined {
  const value = readOptionalInteger(place, key, -1, UINT32_MAX);
  return value === -1 ? undefined : value;
}

/**
 * The specification leaves open what a rule without `access` means. A denial denies everything;
 * a permission must say what it permits (runc refuses both).
 */
function readAccess(place: Place, allow: boolean): string {
  const access = readOptionalString(place, "access");
  if (access === undefined) {
    return allow ? failAt(place, "access", "a rule that allows must name the access") : "rwm";
  }
  if (/^[rwm]{1,3}$/.test(access) && new Set(access).size === access.length) return access;
  // runc passes over other letters, as in "rwa": a denial may only become wider.
  if (!allow && /^[a-z]{1,3}$/.test(access)) return "rwm";
  return failAt(place, "access", `want some of the letters r, w, m, got "${access.slice(0, 20)}"`);
}

function readBlockIo(place: Place): BlockIo {
  return {
    ...readFields(place, WEIGHTS),
    weightDevice: readObjects(place, "weightDevice", readWeightDevice),
    throttleReadBpsDevice: readObjects(place, "throttleReadBpsDevice", readThrottle),
    throttleWriteBpsDevice: readObjects(place, "throttleWriteBpsDevice", readThrottle),
    throttleReadIOPSDevice: readObjects(place, "throttleReadIOPSDevice", readThrottle),
    throttleWriteIOPSDevice: readObjects(place, "throttleWriteIOPSDevice", readThrottle),
  };
}

function readWeightDevice(place: Place): WeightDevice {
  return {
    ...readBlockDevice(place),
    ...readFields(place, WEIGHTS),
  };
}

function readThrottle(place: Place): Throttle {
  return { ...readBlockDevice(place), rate: readUint64(place, "rate") };
}

function readBlockDevice(place: Place): { readonly major: number; readonly minor: number } {
  return {
    major: readInteger(place, "major", 0, UINT32_MAX),
    minor: readInteger(place, "minor", 0, UINT32_MAX),
  };
}

/** The page size becomes part of a file name: only the form that the specification gives. */
function readHugepageLimit(place: Place): Resources["hugepageLimits"][number] {
  // Programs in Go read names whatever their case, and some write this one so.
  const names = ["pageSize", "pagesize"];
  const name = names.find((each) => place.fields[each] !== undefined) ?? "pageSize";
  const pageSize = readString(place, name);
  if (!/^[1-9][0-9]{0,9}[KMG]B$/.test(pageSize)) {
    failAt(place, "pageSize", `want a size such as 2MB or 1GB, got "${pageSize.slice(0, 20)}"`);
  }
  return { pageSize, limit: readUint64(place, "limit") };
}

function readNetwork(place: Place): Network {
  const classID = readOptionalUint32(place, "classID");
  const priorities = readObjects(place, "priorities", (inner) => ({
    name: readString(inner, "name"),
    priority: readInteger(inner, "priority", 0, UINT32_MAX),
  }));
  return classID === undefined ? { priorities } : { priorities, classID };
}

/** Keys are names of files in the cgroup; one with a slash would be a file elsewhere. */
function readUnified(place: Place): ReadonlyMap<string, string> {
  const unified = readStringMap(place, "unified");
  for (const name of unified.keys()) {
    if (name === "" || name === "." || name === ".." || name.includes("/")) {
      failAt(place, "unified", `"${name.slice(0, 60)}" is no name of a cgroup file`);
    }
  }
  return unified;
}
