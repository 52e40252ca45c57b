/**
 * `update`: other limits for a container that exists, from options or from a file in the form of
 * `linux.resources`. Names, units and defaults are runc's; kernel-memory is accepted and has no effect.
 */

import { TareError } from "@tare/spec/error.ts";
import type { CpuResources, MemoryResources, Resources } from "@tare/spec/oci-runtime.ts";
import { parseConfig, parseResources } from "@tare/spec/oci-runtime-parse.ts";
import { DEFAULT_DEVICES } from "../cgroup/default-devices.ts";
import { type DevicePolicy, devicePolicy } from "../cgroup/device-rules.ts";
import { openState } from "../cgroup/join.ts";
import { parseCgroupState } from "../cgroup/state.ts";
import { updateLimits } from "../cgroup/update.ts";
import { updateDevices } from "../cgroup/update-devices.ts";
import { readConfiguration } from "../container/configuration.ts";
import { damaged, type Record } from "../container/record.ts";
import { updateSchemata } from "../resctrl/apply.ts";
import { decodeText, readAll, readText } from "../sys/file.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { Arguments } from "./arguments.ts";
import type { Commands } from "./command.ts";
import { type Context, containerId } from "./context.ts";
import { known } from "./known.ts";
import { parseSize, parseWhole } from "./size.ts";

const UPDATE_OPTIONS = {
  resources: "value",
  r: { short: "resources" },
  "blkio-weight": "value",
  "cpu-period": "value",
  "cpu-quota": "value",
  "cpu-burst": "value",
  "cpu-share": "value",
  "cpu-shares": { short: "cpu-share" },
  "cpu-rt-period": "value",
  "cpu-rt-runtime": "value",
  "cpu-idle": "value",
  "cpuset-cpus": "value",
  "cpuset-mems": "value",
  "kernel-memory": "value",
  "kernel-memory-tcp": "value",
  memory: "value",
  "memory-reservation": "value",
  "memory-swap": "value",
  "pids-limit": "value",
  "l3-cache-schema": "value",
  "mem-bw-schema": "value",
} as const;

/** As config.json. */
const RESOURCES_BYTES_MAX = 4 * 1024 * 1024;
const STDIN = 0 as Fd;
const NONE = 0n;
const UNLIMITED = -1n;

export const COMMANDS: Commands = {
  update: { options: UPDATE_OPTIONS, mixed: true, words: 1, run: runUpdate },
};

function runUpdate(context: Context): number {
  const { sys, args } = context;
  const id = containerId(args);
  const asked = askedResources(context);
  const { directory, record, status } = known(context, id);
  if (status === "stopped" || status === "creating") {
    const why = `container not running: it is ${status}`;
    throw new TareError("bad_state", `Cannot update container "${id}": ${why}`);
  }
  const policy = newPolicy(sys, record, asked);
  using cgroup = openState(sys, parseCgroupState(record.cgroup));
  const undo = [updateLimits(sys, cgroup, asked)];
  try {
    undo.push(updateCaches(context, record));
    if (policy !== undefined) updateDevices(sys, cgroup, policy);
  } catch (error) {
    for (const step of undo.toReversed()) step();
    throw error;
  }
  if (policy !== undefined) directory.noteLater({ devices: asked.devices });
  return 0;
}

/** The two options that are not of cgroups; the answer takes back what they did. */
function updateCaches({ sys, args }: Context, { resctrl }: Record): () => void {
  const l3CacheSchema = args.options.get("l3-cache-schema") ?? "";
  const memBwSchema = args.options.get("mem-bw-schema") ?? "";
  if (l3CacheSchema === "" && memBwSchema === "") return () => undefined;
  return updateSchemata(sys, resctrl, {
    ...(l3CacheSchema === "" ? {} : { l3CacheSchema }),
    ...(memBwSchema === "" ? {} : { memBwSchema }),
  });
}

/**
 * The rules for devices, where they are asked for and others than those in force. Engines send the
 * whole of a container's resources with each update: what a hook has allowed beside them must stay.
 */
function newPolicy(sys: Sys, record: Record, { devices }: Resources): DevicePolicy | undefined {
  if (devices.length === 0 || sys.geteuid() !== 0) return undefined;
  const asked = devicePolicy(devices, DEFAULT_DEVICES);
  const rules = recordedDevices(record) ?? configuredDevices(sys, record);
  const before = rules === undefined ? undefined : devicePolicy(rules, DEFAULT_DEVICES);
  return JSON.stringify(asked) === JSON.stringify(before) ? undefined : asked;
}

/** Those of an earlier update, if there was one. */
function recordedDevices({ id, devices }: Record): Resources["devices"] | undefined {
  if (devices === undefined) return undefined;
  try {
    return parseResources(JSON.stringify({ devices }), "it").devices;
  } catch (error) {
    throw damaged(id, "its devices are none", error);
  }
}

/**
 * Undefined where the bundle's configuration is not, or no longer, the one that the container was made
 * by: what is in force is then not known, and what is asked for must not be taken for it.
 */
function configuredDevices(sys: Sys, { bundle, config }: Record): Resources["devices"] | undefined {
  try {
    const read = readConfiguration(sys, `${bundle}/config.json`);
    if (read === undefined || read.version !== config) return undefined;
    return parseConfig(read.text).linux.resources.devices;
  } catch {
    return undefined;
  }
}

/** From the file, where there is one, else from the options; both are never mixed. */
function askedResources(context: Context): Resources {
  const path = context.args.options.get("resources") ?? "";
  const asked = path === "" ? resourcesOf(context.args) : readResources(context, path);
  const { kernel, kernelTCP, ...memory } = asked.memory;
  if (kernel !== undefined || kernelTCP !== undefined) {
    context.log.warn("Kernel memory settings are ignored and will be removed");
  }
  return { ...asked, memory };
}

function readResources({ sys }: Context, path: string): Resources {
  if (path === "-") {
    const bytes = readAll(sys, STDIN, "standard input", RESOURCES_BYTES_MAX);
    return parseResources(decodeText(sys, bytes, "standard input"), "standard input");
  }
  const text = readText(sys, path, RESOURCES_BYTES_MAX);
  if (text !== undefined) return parseResources(text, path);
  throw new TareError("not_found", `Cannot read "${path}": no such file`);
}

/** Each field by its option, and the least value of those that are numbers. */
const CPU: readonly (readonly [keyof CpuResources, option: string, least: bigint])[] = [
  ["period", "cpu-period", NONE],
  ["quota", "cpu-quota", UNLIMITED],
  ["burst", "cpu-burst", NONE],
  ["shares", "cpu-share", NONE],
  ["realtimePeriod", "cpu-rt-period", NONE],
  ["realtimeRuntime", "cpu-rt-runtime", UNLIMITED],
  ["idle", "cpu-idle", UNLIMITED],
];

const MEMORY: readonly (readonly [keyof MemoryResources, option: string])[] = [
  ["limit", "memory"],
  ["reservation", "memory-reservation"],
  ["swap", "memory-swap"],
  ["kernel", "kernel-memory"],
  ["kernelTCP", "kernel-memory-tcp"],
];

/** An empty word is as good as none, as in runc. */
function resourcesOf({ options }: Arguments): Resources {
  const given = <T>(option: string, read: (text: string) => T): T | undefined => {
    const text = options.get(option) ?? "";
    return text === "" ? undefined : read(text);
  };
  const whole = (option: string, least: bigint) =>
    given(option, (text) => parseWhole(text, option, least));
  const cpus = given("cpuset-cpus", String);
  const mems = given("cpuset-mems", String);
  const weight = whole("blkio-weight", NONE);
  const pids = whole("pids-limit", UNLIMITED);
  const none = parseResources("{}");
  return {
    ...none,
    memory: defined(
      MEMORY.map(([field, option]) => [field, given(option, (text) => parseSize(text, option))]),
    ),
    cpu: {
      ...defined<bigint>(CPU.map(([field, option, least]) => [field, whole(option, least)])),
      ...defined<string>([
        ["cpus", cpus],
        ["mems", mems],
      ]),
    },
    blockIO: weight === undefined ? none.blockIO : { ...none.blockIO, weight: Number(weight) },
    ...(pids === undefined ? {} : { pids: { limit: pids } }),
  };
}

/** The fields that have a value. */
function defined<T>(fields: readonly (readonly [string, T | undefined])[]): { [name: string]: T } {
  const known = fields.filter((field): field is [string, T] => field[1] !== undefined);
  return Object.fromEntries(known);
}
