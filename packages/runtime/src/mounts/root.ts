/**
 * The root file system: attached as a mount of its own, entered with pivot_root(2), and the host's
 * tree let go. A chroot(2) alone can be left again; this cannot.
 */

import { EINVAL } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  NO_FD,
  O_DIRECTORY,
  O_PATH,
} from "../sys/abi-file.ts";
import {
  MNT_DETACH,
  MOUNT_ATTR_RDONLY,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_SYMLINKS,
  MS_PRIVATE,
  MS_SLAVE,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
} from "../sys/abi-mount.ts";
import { check, during, errnoOf } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";

/** A path of 4096 bytes has no more components. */
const DEPTH_MAX = 2048;

/** Sets how mount events travel between this namespace and the one it was copied from. */
export function setPropagation(sys: Sys, flag: number): void {
  check(sys.mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, 0, 0, flag, NO_FD), "mount_setattr", "/");
}

/**
 * Attaches a clone of the tree at `path` on itself; the answer is a descriptor of its top.
 * With `guard`, the mount that holds it leaves the host's group first: pivot_root(2) refuses a shared
 * parent, and what is attached to one appears on the host, and stays there.
 */
export function attachRoot(sys: Sys, path: string, guard: boolean): Fd {
  return during(
    () => `Cannot use root file system "${path}"`,
    () => {
      if (guard) makeParentPrivate(sys, path);
      return cloneOnto(sys, path);
    },
  );
}

/** Only the top of a mount has a propagation (EINVAL): it is looked for upwards. */
function makeParentPrivate(sys: Sys, path: string): void {
  const flags = O_PATH | O_DIRECTORY;
  let place = new OwnedFd(sys, check(openAt(sys, AT_FDCWD, path, flags, 0), "openat2", path));
  try {
    for (let depth = 0; ; depth++) {
      const ret = sys.mount_setattr(place.fd, "", AT_EMPTY_PATH, 0, 0, MS_PRIVATE, NO_FD);
      if (errnoOf(ret) !== EINVAL || depth === DEPTH_MAX) {
        return void check(ret, "mount_setattr", path);
      }
      const above = check(openAt(sys, place.fd, "..", flags, 0), "openat2", path);
      place.close();
      place = new OwnedFd(sys, above);
    }
  } finally {
    place.close();
  }
}

function cloneOnto(sys: Sys, path: string): Fd {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
  const tree = check(sys.open_tree(AT_FDCWD, path, flags), "open_tree", path);
  // Both follow a link in the last place, as crun does; else it would be mounted on, which cannot be.
  const onto = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS;
  check(sys.move_mount(tree, "", AT_FDCWD, path, onto), "move_mount", path);
  return tree;
}

/** Makes the tree the root of this mount namespace and detaches the old one: pivot_root(2), "NOTES". */
export function pivot(sys: Sys, root: Fd, shared: boolean): void {
  const old = check(openAt(sys, AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0), "openat2", "/");
  check(sys.fchdir(root), "fchdir", "the new root");
  check(sys.pivot_root(".", "."), "pivot_root");
  // The old root now lies on top of the new one. Detaching a shared one would reach the host.
  if (shared) {
    const flags = AT_EMPTY_PATH | AT_RECURSIVE;
    check(sys.mount_setattr(old, "", flags, 0, 0, MS_SLAVE, NO_FD), "mount_setattr");
  }
  check(sys.fchdir(old), "fchdir", "the old root");
  sys.close(old);
  check(sys.umount2(".", MNT_DETACH), "umount2", "the old root");
  check(sys.chdir("/"), "chdir", "/");
}

/** Sets the propagation of the container's own root. */
export function setRootPropagation(sys: Sys, root: Fd, flag: number, recursive: boolean): void {
  const flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  check(sys.mount_setattr(root, "", flags, 0, 0, flag, NO_FD), "mount_setattr", "/");
}

/** Makes the root mount read-only; mounts below keep what they have. */
export function setRootReadonly(sys: Sys, root: Fd): void {
  const set = MOUNT_ATTR_RDONLY;
  check(sys.mount_setattr(root, "", AT_EMPTY_PATH, set, 0, 0, NO_FD), "mount_setattr", "/");
}
