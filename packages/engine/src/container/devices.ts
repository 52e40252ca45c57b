/** Looks up the devices of the host that a container gets. */
import { readdirSync, type Stats, statSync } from "node:fs";
import { TareError } from "@tare/spec/error.ts";
import type { GrantedDevice } from "../bundle/devices.ts";
import type { DeviceRequest } from "./request.ts";

/** Under /dev, what is no device of the machine or is the container's own. */
const NOT_FOR_PRIVILEGED = ["pts", "shm", "fd", "mqueue", "console", "ptmx", ".lxc", ".udev"];

/**
 * The nodes that requests name; a directory stands for all devices in it.
 * @throws TareError `not_found`, `bad_input`
 */
export function findDevices(requests: readonly DeviceRequest[]): GrantedDevice[] {
  return requests.flatMap((request) => {
    const stat = statOrFail(request.source);
    if (stat.isDirectory()) return findUnder(request.source, request.target, request.access);
    const device = toDevice(stat, request.target, request.access);
    if (device !== undefined) return [device];
    throw new TareError("bad_input", `Cannot use device "${request.source}": it is no device`);
  });
}

/** Every device of the host, for `--privileged`. */
export function allDevices(): GrantedDevice[] {
  return findUnder("/dev", "/dev", "rwm", NOT_FOR_PRIVILEGED);
}

function findUnder(
  source: string,
  target: string,
  access: string,
  skip: readonly string[] = [],
): GrantedDevice[] {
  return readdirSync(source, { withFileTypes: true }).flatMap((entry) => {
    if (skip.includes(entry.name) || entry.isSymbolicLink()) return [];
    const [from, to] = [`${source}/${entry.name}`, `${target}/${entry.name}`];
    if (entry.isDirectory()) return findUnder(from, to, access);
    const device = toDevice(statOrFail(from), to, access);
    return device === undefined ? [] : [device];
  });
}

function toDevice(stat: Stats, path: string, access: string): GrantedDevice | undefined {
  const type = stat.isBlockDevice() ? "b" : stat.isCharacterDevice() ? "c" : undefined;
  if (type === undefined) return undefined;
  return {
    type,
    path,
    ...splitDeviceNumber(stat.rdev),
    fileMode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    access,
  };
}

/** The packing of makedev(3): 12 bits of major and 8 of minor below, the rest of minor above. */
function splitDeviceNumber(rdev: number): { readonly major: number; readonly minor: number } {
  const low = rdev % 2 ** 32;
  const high = Math.floor(rdev / 2 ** 32);
  return {
    major: ((low >>> 8) & 0xfff) + (high & 0xfffff000),
    minor: (low & 0xff) + ((low >>> 12) & 0xfff00),
  };
}

function statOrFail(path: string): Stats {
  try {
    return statSync(path);
  } catch (cause) {
    throw new TareError("not_found", `Cannot use device "${path}": it does not exist`, { cause });
  }
}
