/**
 * Makes devices and links inside the container's root, by descriptor of their directory
 * (CVE-2026-41579: a link in place of /dev made them appear on the host).
 */

import { TareError } from "@tare/spec/error.ts";
import type { DeviceStep } from "../container/step.ts";
import { attach, openAttachedTree } from "../mounts/attach.ts";
import { openOrCreate, splitLast } from "../mounts/in-root.ts";
import { EEXIST, ENOSYS, EPERM } from "../sys/abi-errno.ts";
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
import { type Stat, statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { OutsideDevices } from "./outside.ts";

type DeviceNode = Extract<DeviceStep, { op: "device" }>;
type Link = Extract<DeviceStep, { op: "link" }>;

const TYPES = { c: S_IFCHR, u: S_IFCHR, b: S_IFBLK, p: S_IFIFO } as const;

/**
 * `bound` holds host devices, opened before the host's tree was left, for user namespaces: they keep
 * the host's mode and owner. `procfs` is one that nobody can tamper with.
 */
export function makeDevice(
  sys: Sys,
  { root, procfs }: { readonly root: Fd; readonly procfs: Fd },
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
  if (errnoOf(ret) === EEXIST) return adopt(sys, directory.fd, name, step, procfs);
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

/**
 * What was there already must be that very device: a link would lead its users elsewhere. It gets the
 * mode and the owner that the configuration names.
 */
function adopt(sys: Sys, directory: Fd, name: string, step: DeviceNode, procfs: Fd): void {
  const opened = openAt(sys, directory, name, O_PATH | O_NOFOLLOW, 0);
  using node = new OwnedFd(sys, check(opened, "openat2", step.path));
  const has = verifyNode(sys, node.fd, step, "the root file system has");
  const { mode = has.mode & 0o7777, uid = has.uid, gid = has.gid } = step.given;
  if (uid !== has.uid || gid !== has.gid) {
    check(sys.fchownat(node.fd, "", uid, gid, AT_EMPTY_PATH), "fchownat", step.path);
  }
  // Afterwards: a new owner takes set-ID bits away.
  if (mode === (has.mode & 0o7777)) return;
  const ret = sys.fchmodat2(node.fd, "", mode, AT_EMPTY_PATH);
  if (errnoOf(ret) !== ENOSYS) return void check(ret, "fchmodat2", step.path);
  // Before Linux 6.6 a descriptor of O_PATH has a mode by this name alone.
  check(sys.fchmodat(procfs, `self/fd/${node.fd}`, mode), "fchmodat", step.path);
}

function verifyNode(sys: Sys, node: Fd, step: DeviceNode, who: string): Stat {
  const stat = statAt(sys, node, "", AT_EMPTY_PATH);
  const { mode, rdevMajor, rdevMinor } = stat;
  const same = (mode & S_IFMT) === TYPES[step.type];
  const numbered = step.type === "p" || (rdevMajor === step.major && rdevMinor === step.minor);
  if (same && numbered) return stat;
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
