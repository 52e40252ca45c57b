/**
 * Mounts a container's root file system in a mount namespace of this process alone: whatever
 * happens to the process, nothing stays mounted on the host.
 * Sources: kernel's overlayfs.rst, fsconfig(2), mount_setattr(2) ("ID-mapped mounts").
 */

import { TareError } from "@tare/spec/error.ts";
import { configure, finish, openContext } from "../mounts/filesystem.ts";
import { setLower } from "../mounts/overlay-layers.ts";
import { EINVAL, ELOOP } from "../sys/abi-errno.ts";
import { AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE } from "../sys/abi-file.ts";
import {
  MNT_DETACH,
  MOUNT_ATTR_IDMAP,
  MOUNT_ATTR_RDONLY,
  MOVE_MOUNT_F_EMPTY_PATH,
  MS_REC,
  MS_SLAVE,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
} from "../sys/abi-mount.ts";
import { CLONE_NEWNS } from "../sys/abi-process.ts";
import { check, errnoOf, SysError } from "../sys/check.ts";
import type { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";

export type OverlayPlan = {
  /** Directories, topmost first. */
  readonly lower: readonly string[];
  readonly upper: string;
  readonly work: string;
  /** Directory to mount on. */
  readonly target: string;
  /** Skip every sync: for layers that are thrown away (Linux 5.10). */
  readonly volatile: boolean;
  /** Marks in `user.*`: for mounting inside of a user namespace (Linux 5.11). */
  readonly userXattr: boolean;
};

/** A mount namespace of our own, that hears of the host's mounts and tells it nothing. */
export function enterMountNamespace(sys: Sys): void {
  check(sys.unshare(CLONE_NEWNS), "unshare", "mount namespace");
  check(sys.mount(null, "/", null, MS_SLAVE | MS_REC, null), "mount", "/");
}

/** Mounts the overlay. With `userns`, the lower layers show its ids (Linux 5.19). */
export function mountOverlay(sys: Sys, plan: OverlayPlan, userns: Fd | undefined): void {
  const lower = userns === undefined ? plan.lower : mapLower(sys, plan, userns);
  using mount = makeOverlay(sys, plan, lower);
  if (userns !== undefined) check(sys.umount2(plan.target, MNT_DETACH), "umount", plan.target);
  attach(sys, mount.fd, plan.target);
}

function makeOverlay(sys: Sys, plan: OverlayPlan, lower: readonly string[]): OwnedFd {
  using context = openContext(sys, "overlay");
  const set = (key: string, value?: string) => configure(sys, context.fd, "overlay", key, value);
  set("source", "overlay");
  setLower(sys, context.fd, lower);
  set("upperdir", plan.upper);
  set("workdir", plan.work);
  // Marks that say where content is would make no layer of the upper directory, when it is committed.
  set("redirect_dir", "nofollow");
  set("metacopy", "off");
  if (plan.volatile) set("volatile");
  if (plan.userXattr) set("userxattr");
  try {
    return finish(sys, context.fd, "overlay", 0);
  } catch (error) {
    throw isUnsuited(error) ? unsuited(plan, error) : error;
  }
}

/**
 * A tree of at least two layers, topmost first, to look at: nowhere attached, never written. The upper
 * layer of a container may be one of them, even while the container runs.
 */
export function openReadOnlyOverlay(
  sys: Sys,
  layers: readonly string[],
  options: { readonly userXattr: boolean },
): OwnedFd {
  using context = openContext(sys, "overlay");
  configure(sys, context.fd, "overlay", "source", "overlay");
  setLower(sys, context.fd, layers);
  if (options.userXattr) configure(sys, context.fd, "overlay", "userxattr");
  return finish(sys, context.fd, "overlay", 0);
}

/** What overlayfs answers for a file system that cannot be an upper layer. */
function isUnsuited(error: unknown): error is TareError {
  const failed = error instanceof TareError && !(error instanceof SysError) ? error.cause : error;
  return failed instanceof SysError && (failed.errno === EINVAL || failed.errno === ELOOP);
}

/** Shows a directory of the host at `target`, with the ids of `userns` if there is one. */
export function mountDirectory(
  sys: Sys,
  source: string,
  target: string,
  userns: Fd | undefined,
): void {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
  const tree = check(sys.open_tree(AT_FDCWD, source, flags), "open_tree", source);
  if (userns !== undefined) mapTree(sys, tree, source, userns);
  attach(sys, tree, target);
  sys.close(tree);
}

/**
 * Copies each lower layer's mount with mapped ids. Overlayfs takes only layers that are attached,
 * so they hang in a tmpfs at the target until the overlay holds them.
 */
function mapLower(
  sys: Sys,
  plan: Pick<OverlayPlan, "lower" | "target">,
  userns: Fd,
): readonly string[] {
  check(sys.mount("tmpfs", plan.target, "tmpfs", 0, "mode=700"), "mount", plan.target);
  return plan.lower.map((path, index) => {
    const place = `${plan.target}/${index}`;
    check(sys.mkdirat(AT_FDCWD, place, 0o700), "mkdir", place);
    const tree = check(
      sys.open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC),
      "open_tree",
      path,
    );
    mapTree(sys, tree, path, userns);
    attach(sys, tree, place);
    sys.close(tree);
    return place;
  });
}

/**
 * Shows the layers of an image at `target`, read-only, with the ids of `userns` if there is one. A
 * single layer is shown as it is: overlayfs wants two of them where none is for writing.
 */
export function mountLayers(
  sys: Sys,
  lower: readonly string[],
  target: string,
  userns: Fd | undefined,
): void {
  const [only, another] = lower;
  if (only !== undefined && another === undefined) {
    mountDirectory(sys, only, target, userns);
  } else {
    const layers = userns === undefined ? lower : mapLower(sys, { lower, target }, userns);
    using context = openContext(sys, "overlay");
    configure(sys, context.fd, "overlay", "source", "overlay");
    setLower(sys, context.fd, layers);
    using mount = finish(sys, context.fd, "overlay", 0);
    if (userns !== undefined) check(sys.umount2(target, MNT_DETACH), "umount", target);
    attach(sys, mount.fd, target);
  }
  const ret = sys.mount_setattr(AT_FDCWD, target, 0, MOUNT_ATTR_RDONLY, 0, 0, -1 as Fd);
  check(ret, "mount_setattr", target);
}

/** Shows a tree that is nowhere attached yet with the ids of `userns`. */
export function mapTree(sys: Sys, tree: Fd, source: string, userns: Fd): void {
  const ret = sys.mount_setattr(tree, "", AT_EMPTY_PATH, MOUNT_ATTR_IDMAP, 0, 0, userns);
  if (errnoOf(ret) !== EINVAL) {
    check(ret, "mount_setattr", source);
    return;
  }
  throw new TareError("unsupported", `Cannot map the ids of "${source}": its file system cannot`, {
    hint: "--userns needs Linux 5.19 and a file system with ID-mapped mounts, such as ext4, xfs or btrfs",
  });
}

/** Puts a mount on a directory. */
export function attach(sys: Sys, mount: Fd, target: string): void {
  const ret = sys.move_mount(mount, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
  check(ret, "move_mount", target);
}

function unsuited(plan: OverlayPlan, cause: TareError): TareError {
  const message = `Cannot mount an overlay with upper layer "${plan.upper}": ${cause.message}`;
  return new TareError("unsupported", message, {
    hint: "Overlayfs needs a file system with extended attributes, and none that is itself an overlay: choose another with --data-root",
    cause,
  });
}
