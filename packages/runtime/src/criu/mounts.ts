/**
 * Which mounts of a container have their source on the host: criu does not save what is in them, only
 * a name, by which they are found when the container comes back.
 */

import type { Config, Mount } from "@tare/spec/oci-runtime.ts";
import type { CgroupState } from "../cgroup/state.ts";
import { kindOf, lookup, openExisting, openOrCreate } from "../mounts/in-root.ts";
import { parseMountOptions } from "../mounts/options.ts";
import { normalize } from "../mounts/plan.ts";
import { AT_FDCWD, O_DIRECTORY, O_PATH } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { ExternalMount } from "./options.ts";

/** What a masked file is covered with: its name in the image and its source. */
const NULL_DEVICE = "/dev/null";
const PATH_BYTES_MAX = 4096;

/** A mount whose source is the host's, by the words of config.json. */
export type HostMount = { readonly destination: string; readonly source: string };

/** Binds, cgroups of v1 without a namespace of their own, and devices. Pure. */
export function hostMounts(config: Config, bundle: string, cgroup: CgroupState): HostMount[] {
  const devices = config.linux.devices.map(({ path }) => ({ destination: path, source: path }));
  return [...config.mounts.flatMap((mount) => sources(mount, config, bundle, cgroup)), ...devices];
}

function sources(mount: Mount, config: Config, bundle: string, cgroup: CgroupState): HostMount[] {
  const destination = normalize(mount.destination);
  if (mount.type === "cgroup") {
    const hasOwn = config.linux.namespaces.some(({ type }) => type === "cgroup");
    return cgroup.mode === "v2" || hasOwn ? [] : cgroupSources(destination, cgroup);
  }
  if (!isBind(mount) || mount.source === undefined) return [];
  const source = mount.source.startsWith("/") ? mount.source : `${bundle}/${mount.source}`;
  return [{ destination, source }];
}

function cgroupSources(destination: string, { dirs }: CgroupState): HostMount[] {
  return dirs.map(({ mountpoint, path }) => ({
    destination: `${destination}${mountpoint.slice(mountpoint.lastIndexOf("/"))}`,
    source: `${mountpoint}/${path}`,
  }));
}

function isBind(mount: Mount): boolean {
  return mount.type === "bind" || parseMountOptions(mount.options).bind !== "none";
}

/** Those of a tree, by the names that they have there. A name that is not there is left as it is. */
export function inTree(sys: Sys, root: Fd, mounts: readonly HostMount[]): ExternalMount[] {
  const top = pathOf(sys, root);
  return mounts.map(({ destination, source }) => {
    using place = openExisting(sys, root, destination);
    const found = place === undefined ? undefined : below(pathOf(sys, place.fd), top);
    const name = found ?? destination;
    return { destination: name, cookie: name, source };
  });
}

/** Masked files of a running container; masked directories are file systems that criu saves. */
export function maskedFiles(sys: Sys, root: Fd, paths: readonly string[]): ExternalMount[] {
  const top = pathOf(sys, root);
  return paths.flatMap((path): ExternalMount[] => {
    const ret = lookup(sys, root, path);
    if (errnoOf(ret) !== 0) return [];
    using place = new OwnedFd(sys, check(ret, "openat2", path));
    if (kindOf(sys, place.fd) === "directory") return [];
    const destination = below(pathOf(sys, place.fd), top) ?? normalize(path);
    return [{ destination, cookie: NULL_DEVICE, source: NULL_DEVICE }];
  });
}

/** What the masks of an image are covered with again. */
export function maskSource({ linux }: Config): ExternalMount[] {
  if (linux.maskedPaths.length === 0) return [];
  return [{ destination: NULL_DEVICE, cookie: NULL_DEVICE, source: NULL_DEVICE }];
}

/**
 * Makes the mount points that are missing, as `create` would: in the root file system, and in what is
 * bound over it. What lies on a new file system is saved with that one.
 */
export function makeMountPoints(sys: Sys, root: Fd, config: Config, bundle: string): void {
  const above: { readonly path: string; readonly host: string | undefined }[] = [];
  for (const mount of config.mounts) {
    const path = normalize(mount.destination);
    const [host] = isBind(mount) ? sources(mount, config, bundle, NOTHING) : [];
    const kind = host === undefined ? "directory" : kindOfHost(sys, host);
    const cover = above.findLast((each) => path === each.path || path.startsWith(`${each.path}/`));
    above.push({ path, host: host?.source });
    if (path === "/" || path === cover?.path) continue;
    if (cover === undefined) openOrCreate(sys, root, path, kind).close();
    else if (cover.host !== undefined) {
      using source = openRoot(sys, cover.host);
      openOrCreate(sys, source.fd, path.slice(cover.path.length), kind).close();
    }
  }
}

const NOTHING: CgroupState = { mode: "none", dirs: [] };

function kindOfHost(sys: Sys, { source }: HostMount): "directory" | "file" {
  using file = new OwnedFd(sys, check(openAt(sys, AT_FDCWD, source, O_PATH, 0), "openat2", source));
  return kindOf(sys, file.fd);
}

/** The root directory of a process or of a root file system. */
export function openRoot(sys: Sys, path: string): OwnedFd {
  const flags = O_PATH | O_DIRECTORY;
  return new OwnedFd(sys, check(openAt(sys, AT_FDCWD, path, flags, 0), "openat2", path));
}

/** The name that the kernel has for an open file: proc_pid_fd(5). */
function pathOf(sys: Sys, fd: Fd): string {
  return linkTarget(sys, `/proc/self/fd/${fd}`);
}

/** Of a link of procfs; what is not UTF-8 cannot be told to criu, and is empty. */
export function linkTarget(sys: Sys, path: string): string {
  const bytes = new Uint8Array(PATH_BYTES_MAX);
  const length = check(sys.readlinkat(AT_FDCWD, path, bytes), "readlink", path);
  return sys.decode_utf8(bytes.subarray(0, length)) ?? "";
}

function below(path: string, top: string): string | undefined {
  if (top === "/") return path.startsWith("/") ? path : undefined;
  return path.startsWith(`${top}/`) ? path.slice(top.length) : undefined;
}
