/**
 * The devices and links of /dev. Source: runtime-spec config-linux.md, "Default Devices" and
 * "Dev symbolic links". Pure.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Config, Device } from "@tare/spec/oci-runtime.ts";
import type { DeviceStep, RootStep } from "../container/step.ts";
import { normalize } from "../mounts/plan.ts";

const DEFAULT_DEVICES: readonly Device[] = [
  ["null", 1, 3],
  ["zero", 1, 5],
  ["full", 1, 7],
  ["random", 1, 8],
  ["urandom", 1, 9],
  ["tty", 5, 0],
].map(([name, major, minor]) => ({
  type: "c",
  path: `/dev/${name}`,
  major: Number(major),
  minor: Number(minor),
}));

const LINKS: readonly (readonly [path: string, target: string])[] = [
  ["/dev/fd", "/proc/self/fd"],
  ["/dev/stdin", "/proc/self/fd/0"],
  ["/dev/stdout", "/proc/self/fd/1"],
  ["/dev/stderr", "/proc/self/fd/2"],
  ["/dev/ptmx", "pts/ptmx"],
];

const DEFAULT_MODE = 0o666;

/** A bind on /dev brings its own devices and links; everything else gets ours. */
export function ownsDev(config: Config): boolean {
  return !config.mounts.some(
    ({ destination, type, options }) =>
      normalize(destination) === "/dev" &&
      (type === "bind" || options.includes("bind") || options.includes("rbind")),
  );
}

/** Devices, links and the console, in the order in which they are made. */
export function planDevices(config: Config): DeviceStep[] {
  return [...(ownsDev(config) ? planNodes(config) : []), ...planConsole(config)];
}

function planNodes(config: Config): DeviceStep[] {
  const wanted = new Map(DEFAULT_DEVICES.map((device) => [device.path, device]));
  const named = new Set<string>();
  for (const device of config.linux.devices) {
    const path = normalize(device.path);
    // Of two entries of one path the first counts, as with runc and crun.
    if (!named.has(path)) wanted.set(path, device);
    named.add(path);
  }
  const steps: DeviceStep[] = [...wanted.values()].map(planDevice);
  for (const [path, target] of LINKS) {
    steps.push({ op: "link", path, target, why: "programs expect this name" });
  }
  return steps;
}

function planConsole({ process }: Config): DeviceStep[] {
  if (process?.terminal !== true) return [];
  const { width, height } = process.consoleSize ?? { width: 0, height: 0 };
  return [{ op: "console", width, height, why: "process.terminal asks for a terminal" }];
}

/** Which devices of the host are bound instead of made: all but FIFOs, where mknod(2) is refused. */
export function planTakenDevices(config: Config, isRootless: boolean): RootStep[] {
  const mapped = config.linux.namespaces.some(({ type }) => type === "user");
  if (!mapped && !isRootless) return [];
  const paths = planDevices(config).flatMap((step) =>
    step.op === "device" && step.type !== "p" ? [step.path] : [],
  );
  const why = "a user namespace may not make devices, so the host's are bound";
  return paths.length === 0 ? [] : [{ op: "take-devices", paths, why }];
}

function planDevice(device: Device): DeviceStep {
  const path = normalize(device.path);
  if (path === "/")
    throw new TareError("bad_input", 'Cannot make device "/" of linux.devices: it is the root');
  const { type, major, minor, fileMode, uid, gid } = device;
  const given = {
    ...(fileMode === undefined ? {} : { mode: fileMode & 0o7777 }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  };
  const attributes = { mode: DEFAULT_MODE, uid: 0, gid: 0, ...given };
  const why = "a device that the specification or the configuration asks for";
  return { op: "device", path, type, major, minor, ...attributes, given, why };
}
