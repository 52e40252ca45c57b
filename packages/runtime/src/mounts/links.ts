/**
 * crun's words about links: `copy-symlink` makes the source's link again, `dest-nofollow` mounts over
 * a link instead of on what it leads to. Source: crun.1, "Mounts" ("OCI mount options").
 */

import { TareError } from "@tare/spec/error.ts";
import type { MountStep } from "../container/step.ts";
import { EEXIST, EINVAL, ENOENT } from "../sys/abi-errno.ts";
import { AT_FDCWD, DEVPTS_SUPER_MAGIC, O_NOFOLLOW, O_PATH, SYSFS_MAGIC } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { type FileKind, makePlace, openOrCreate, splitLast } from "./in-root.ts";

const LINK_BYTES_MAX = 4096;

type Bind = Extract<MountStep, { op: "bind" }>;

/** Makes the source's link at the target; false where the source is none, which is then bound. */
export function copyLink(sys: Sys, root: Fd, { source, target }: Bind): boolean {
  const link = new Uint8Array(LINK_BYTES_MAX);
  const ret = sys.readlinkat(AT_FDCWD, source, link);
  if (errnoOf(ret) === EINVAL) return false;
  const wanted = link.subarray(0, check(ret, "readlinkat", source));
  const [parent, name] = splitLast(target);
  using directory = openOrCreate(sys, root, parent, "directory");
  const made = sys.symlinkat(wanted, directory.fd, name);
  if (errnoOf(made) !== EEXIST) check(made, "symlinkat", target);
  else if (!holds(sys, directory.fd, name, wanted)) {
    throw new TareError("bad_input", `Cannot copy link "${source}" to "${target}": it exists`);
  }
  return true;
}

function holds(sys: Sys, directory: Fd, name: string, wanted: Uint8Array): boolean {
  const link = new Uint8Array(LINK_BYTES_MAX);
  const ret = sys.readlinkat(directory, name, link);
  if (errnoOf(ret) === EINVAL) return false;
  const length = check(ret, "readlinkat", name);
  return length === wanted.length && wanted.every((byte, at) => byte === link[at]);
}

/** The target itself, be it a link; those above it are followed inside the root. Made where missing. */
export function openLast(sys: Sys, root: Fd, target: string, kind: FileKind): OwnedFd {
  const [parent, name] = splitLast(target);
  const flags = O_PATH | O_NOFOLLOW;
  using directory = openOrCreate(sys, root, parent, "directory");
  const ret = openAt(sys, directory.fd, name, flags, 0);
  if (errnoOf(ret) === ENOENT) return makePlace(sys, root, target, kind);
  const place = new OwnedFd(sys, check(ret, "openat2", target));
  const type = check(sys.fstatfs_type(place.fd), "fstatfs", target);
  if (type !== SYSFS_MAGIC && type !== DEVPTS_SUPER_MAGIC) return place;
  place.close();
  throw new TareError("bad_input", `Cannot mount on "${target}": it is the kernel's own`);
}
