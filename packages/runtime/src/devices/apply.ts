/**
 * Makes devices and links inside the container's root, by descriptor of their directory
 * (CVE-2026-41579: a link in place of /dev made them appear on the host).
 */

import { TareError } from "@tare/spec/error.ts";
import type { DeviceStep } from "../container/step.ts";
import { attach, openAttachedTree } from "../mounts/attach.ts";
import { openOrCreate, splitLast } from "../mounts/in-root.ts";
import { EEXIST, EPERM } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  NO_FD,
  O_NOFOLLOW,
  O_PATH,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
} from "../sys/abi-file.ts";
import { MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID } from "../sys/abi-mount.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { OutsideDevices } from "./outside.ts";

type DeviceNode = Extract<DeviceStep, { op: "device" }>;
type Link = Extract<DeviceStep, { op: "link" }>;

const TYPES = { c: S_IFCHR, u: S_IFCHR, b: S_IFBLK, p: S_IFIFO } as const;

/** `bound` holds host devices, opened before the host's tree was left, for user namespaces. */
export function makeDevice(
  sys: Sys,
  root: Fd,
  step: DeviceNode,
  bound: ReadonlyMap<string, Fd>,
): void {
  const source = bound.get(step.path);
  if (source !== undefined) {
    verifyNode(sys, source, step, "the host has");
    using place = openOrCreate(sys, root, step.path, "file");
    attach(sys, source, place.fd, step.path);
    sys.close(source);
    return;
  }
  const [parent, name] = splitLast(step.path);
  using directory = openOrCreate(sys, root, parent, "directory");
  const mode = TYPES[step.type] | step.mode;
  const ret = sys.mknodat(directory.fd, name, mode, step.major, step.minor);
  if (errnoOf(ret) === EEXIST) return verify(sys, directory.fd, name, step);
  if (errnoOf(ret) === EPERM) {
    throw new TareError(
      "no_permission",
      `Cannot make device "${step.path}": mknod is not permitted`,
      {
        hint: "In a user namespace devices are bound from the host: the host must have it",
      },
    );
  }
  check(ret, "mknodat", step.path);
  if (step.uid === 0 && step.gid === 0) return;
  const flags = AT_SYMLINK_NOFOLLOW;
  check(sys.fchownat(directory.fd, name, step.uid, step.gid, flags), "fchownat", step.path);
}

/** What was there already must be that very device: a link would lead its users elsewhere. */
function verify(sys: Sys, directory: Fd, name: string, step: DeviceNode): void {
  const opened = openAt(sys, directory, name, O_PATH | O_NOFOLLOW, 0);
  using node = new OwnedFd(sys, check(opened, "openat2", step.path));
  verifyNode(sys, node.fd, step, "the root file system has");
}

function verifyNode(sys: Sys, node: Fd, step: DeviceNode, who: string): void {
  const { mode, rdevMajor, rdevMinor } = statAt(sys, node, "", AT_EMPTY_PATH);
  const same = (mode & S_IFMT) === TYPES[step.type];
  const numbered = step.type === "p" || (rdevMajor === step.major && rdevMinor === step.minor);
  if (same && numbered) return;
  throw new TareError(
    "bad_input",
    `Cannot make device "${step.path}": ${who} something else there`,
    {
      hint: "Mount a tmpfs on /dev, so that the devices are ours",
    },
  );
}

/** Makes a symbolic link; an existing link of the same name is replaced, anything else is kept. */
export function makeLink(sys: Sys, root: Fd, step: Link): void {
  const [parent, name] = splitLast(step.path);
  using directory = openOrCreate(sys, root, parent, "directory");
  const ret = sys.symlinkat(step.target, directory.fd, name);
  if (errnoOf(ret) !== EEXIST) return void check(ret, "symlinkat", step.path);
  const { mode } = statAt(sys, directory.fd, name, AT_SYMLINK_NOFOLLOW);
  if ((mode & S_IFMT) !== S_IFLNK) return;
  check(sys.unlinkat(directory.fd, name, 0), "unlinkat", step.path);
  check(sys.symlinkat(step.target, directory.fd, name), "symlinkat", step.path);
}

/**
 * The nodes to bind, before the host's tree is left: clones of the host's, by path, and those that were
 * made for this container. None of them takes files of programs, whatever the host's /dev takes.
 */
export function takeDevices(
  sys: Sys,
  root: Fd,
  paths: readonly string[],
  outside: OutsideDevices | undefined,
): Map<string, Fd> {
  const made =
    outside === undefined
      ? new Map<string, Fd>()
      : loadPart(sys, "tare-runtime~outside-devices").takeOutside(sys, root, outside);
  const taken = paths.map((path): [string, Fd] => {
    return [path, made.get(path) ?? openAttachedTree(sys, path)];
  });
  const set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
  for (const [path, tree] of taken) {
    const ret = sys.mount_setattr(tree, "", AT_EMPTY_PATH, set, 0, 0, NO_FD);
    check(ret, "mount_setattr", path);
  }
  return new Map(taken);
}
