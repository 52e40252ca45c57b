/**
 * mount(2): changes file systems that are mounted, and makes those with options that fsconfig(2) does
 * not take. It acts on ".", which is the open place, so no name is followed twice.
 */

import { TareError } from "@tare/spec/error.ts";
import type { MountStep } from "../container/step.ts";
import { EINVAL } from "../sys/abi-errno.ts";
import { AT_FDCWD, AT_RECURSIVE, O_DIRECTORY, O_PATH } from "../sys/abi-file.ts";
import {
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MS_DIRSYNC,
  MS_I_VERSION,
  MS_LAZYTIME,
  MS_MANDLOCK,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_RDONLY,
  MS_RELATIME,
  MS_REMOUNT,
  MS_STRICTATIME,
  MS_SYNCHRONOUS,
} from "../sys/abi-mount.ts";
import { check, SysError } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { change, changeBind, propagate } from "./attach.ts";
import { lookup } from "./in-root.ts";
import type { MountOptions } from "./options.ts";

/** mount(2) takes one page of options, with the NUL. */
const DATA_BYTES_MAX = 4095;

const FLAGS: readonly (readonly [attribute: number, flag: number])[] = [
  [MOUNT_ATTR_RDONLY, MS_RDONLY],
  [MOUNT_ATTR_NOSUID, MS_NOSUID],
  [MOUNT_ATTR_NODEV, MS_NODEV],
  [MOUNT_ATTR_NOEXEC, MS_NOEXEC],
  [MOUNT_ATTR_NODIRATIME, MS_NODIRATIME],
  [MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW],
];

const ACCESS_TIMES = {
  keep: 0,
  noatime: MS_NOATIME,
  relatime: MS_RELATIME,
  strictatime: MS_STRICTATIME,
} as const;

const SUPERBLOCK: ReadonlyMap<string, number> = new Map([
  ["sync", MS_SYNCHRONOUS],
  ["dirsync", MS_DIRSYNC],
  ["lazytime", MS_LAZYTIME],
  ["mand", MS_MANDLOCK],
  ["iversion", MS_I_VERSION],
]);

type Remount = Extract<MountStep, { op: "remount" }>;
type NewMount = Extract<MountStep, { op: "mount" }>;

/** Gives the mount at the target other options: with `bind` the mount alone, else its file system too. */
export function remount(sys: Sys, root: Fd, step: Remount): void {
  const { target, options } = step;
  using place = new OwnedFd(sys, check(lookup(sys, root, target), "openat2", target));
  try {
    if (options.bind !== "none") changeBind(sys, place.fd, step);
    else inside(sys, place.fd, () => reconfigure(sys, step));
    change(sys, place.fd, AT_RECURSIVE, options.recursive);
    propagate(sys, place.fd, options);
  } catch (error) {
    if (!(error instanceof SysError) || error.errno !== EINVAL) throw error;
    throw new TareError(
      "bad_input",
      `Cannot remount "${target}": it is no mount, or its file system refuses the options`,
      { cause: error },
    );
  }
}

function reconfigure(sys: Sys, { target, options }: Remount): void {
  const ret = sys.mount(null, ".", null, MS_REMOUNT | flagsOf(options), dataOf(sys, options));
  check(ret, "mount MS_REMOUNT", target);
}

/** Makes a file system on an open directory of the root. */
export function mountOld(sys: Sys, root: Fd, place: Fd, step: NewMount): void {
  const { fstype, source, target, options } = step;
  if (options.copyUp || target === "/") {
    throw new TareError("unsupported", `Cannot mount "${fstype}" on "${target}" with such options`);
  }
  inside(sys, place, () => {
    const ret = sys.mount(source, ".", fstype, flagsOf(options), dataOf(sys, options));
    check(ret, `mount ${fstype}`, target);
  });
  if (options.propagation.length === 0) return;
  using top = new OwnedFd(sys, check(lookup(sys, root, target), "openat2", target));
  propagate(sys, top.fd, options);
}

function flagsOf(options: MountOptions): number {
  let flags = ACCESS_TIMES[options.accessTime];
  for (const [attribute, flag] of FLAGS) {
    if (((options.attributes.set | options.recursive.set) & attribute) !== 0) flags |= flag;
  }
  for (const word of options.superblock) flags |= SUPERBLOCK.get(word) ?? 0;
  return flags;
}

/** A label of SELinux may have commas, which part options elsewhere: mount(8), "context". */
function quoted(word: string): string {
  const isLabel = word.startsWith("context=") && word.includes(",");
  return isLabel ? `context="${word.slice("context=".length)}"` : word;
}

function dataOf(sys: Sys, { data }: MountOptions): string | null {
  const text = data.map(quoted).join(",");
  if (sys.encode_utf8(text).length <= DATA_BYTES_MAX) return text === "" ? null : text;
  throw new TareError(
    "bad_input",
    `Cannot mount with "${text.slice(0, 40)}...": the options are longer than ${DATA_BYTES_MAX} bytes`,
  );
}

/** Runs an action with the working directory at an open place; hooks that follow find the old one. */
function inside(sys: Sys, place: Fd, action: () => void): void {
  const flags = O_PATH | O_DIRECTORY;
  using before = new OwnedFd(sys, check(openAt(sys, AT_FDCWD, ".", flags, 0), "openat2", "."));
  check(sys.fchdir(place), "fchdir", "a mount point");
  try {
    action();
  } finally {
    sys.fchdir(before.fd);
  }
}
