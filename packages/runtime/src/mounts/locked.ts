/**
 * Flags of a bind whose source came from a more privileged mount namespace: some of them are locked
 * (mount_namespaces(7), "Restrictions on mount namespaces"). What nobody asked to be otherwise stays
 * as it is; what somebody did is refused. runc has the same rules.
 */

import { TareError } from "@tare/spec/error.ts";
import { AT_EMPTY_PATH, NO_FD } from "../sys/abi-file.ts";
import {
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  ST_NOATIME,
  ST_NODEV,
  ST_NODIRATIME,
  ST_NOEXEC,
  ST_NOSUID,
  ST_RDONLY,
  ST_RELATIME,
} from "../sys/abi-mount.ts";
import { check } from "../sys/check.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { AccessTime, MountOptions } from "./options.ts";

const LOCKABLE: readonly (readonly [name: string, st: number, attribute: number])[] = [
  ["ro", ST_RDONLY, MOUNT_ATTR_RDONLY],
  ["nosuid", ST_NOSUID, MOUNT_ATTR_NOSUID],
  ["nodev", ST_NODEV, MOUNT_ATTR_NODEV],
  ["noexec", ST_NOEXEC, MOUNT_ATTR_NOEXEC],
];

/** Gives a bind with locked flags what it can have of its options; `path` is for the error. */
export function changeLocked(sys: Sys, tree: Fd, options: MountOptions, path: string): void {
  const flags = check(sys.fstatfs_flags(tree), "fstatfs", path);
  const { attributes } = options;
  let set = attributes.set & ~MOUNT_ATTR_NODIRATIME;
  for (const [name, st, attribute] of LOCKABLE) {
    if ((flags & st) === 0) continue;
    if ((attributes.clear & attribute) !== 0) throw locked(name, path);
    set |= attribute;
  }
  checkAccessTime(flags, options, path);
  const clear = MOUNT_ATTR_NOSYMFOLLOW & ~set;
  const ret = sys.mount_setattr(tree, "", AT_EMPTY_PATH, set, clear, 0, NO_FD);
  check(ret, "mount_setattr", path);
}

function checkAccessTime(flags: number, options: MountOptions, path: string): void {
  const { accessTime, accessTimeOff, attributes } = options;
  const now: AccessTime =
    (flags & ST_NOATIME) !== 0
      ? "noatime"
      : (flags & ST_RELATIME) !== 0
        ? "relatime"
        : "strictatime";
  if (accessTimeOff.includes(now)) throw locked(now, path);
  const nodiratime = (attributes.set & MOUNT_ATTR_NODIRATIME) !== 0;
  if (accessTime === "keep" && !nodiratime) return;
  const wanted = accessTime === "keep" ? "relatime" : accessTime;
  if (wanted !== now || nodiratime !== ((flags & ST_NODIRATIME) !== 0)) throw locked(now, path);
}

function locked(flag: string, path: string): TareError {
  return new TareError(
    "no_permission",
    `Cannot bind "${path}": its flag "${flag}" is locked: operation not permitted (EPERM)`,
    { hint: "A user namespace may not take flags off a mount of the host" },
  );
}
