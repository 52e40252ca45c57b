/**
 * The trees that are packed, as descriptors: of one directory, of a container's upper directory, of
 * the layers under it, or of both together. Where a container has ids of its own, the kernel shows its
 * files with those that they have inside, attributes and access lists too.
 */

import { openUserNamespace } from "../container/user-namespace.ts";
import { attach, enterMountNamespace, mapTree, openReadOnlyOverlay } from "../rootfs/overlay.ts";
import { AT_FDCWD } from "../sys/abi-file.ts";
import { OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE } from "../sys/abi-mount.ts";
import { check } from "../sys/check.ts";
import type { Fd, Sys } from "../sys/types.ts";

/** Outside ids of the container's user and group 0, and how many follow. */
export type OutsideIds = {
  readonly uid: number;
  readonly uids: number;
  readonly gid: number;
  readonly gids: number;
};

export type TreeOptions = {
  /** A directory in which nothing is needed; used only with `ids`. */
  readonly target: string;
  readonly ids: OutsideIds | undefined;
  readonly userXattr: boolean;
};

/** One directory by itself: what is mounted below it does not show. */
export function openOne(sys: Sys, path: string, ids: OutsideIds | undefined): Fd {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  const tree = check(sys.open_tree(AT_FDCWD, path, flags), "open_tree", path);
  if (ids === undefined) return tree;
  // The map's sides are swapped: what is `uid` on the disk is 0 for who reads it here.
  using namespace = openUserNamespace(sys, {
    uidMappings: [{ containerID: ids.uid, hostID: 0, size: ids.uids }],
    gidMappings: [{ containerID: ids.gid, hostID: 0, size: ids.gids }],
  });
  mapTree(sys, tree, path, namespace.fd);
  return tree;
}

/** The layers together, topmost first; undefined where there are none. */
export function openLayers(
  sys: Sys,
  layers: readonly string[],
  userXattr: boolean,
): Fd | undefined {
  const [only] = layers;
  if (only === undefined) return undefined;
  if (layers.length === 1) return openOne(sys, only, undefined);
  return openReadOnlyOverlay(sys, layers, { userXattr }).release();
}

/** The upper directory over the layers, as its container sees them. */
export function openWhole(
  sys: Sys,
  upper: string,
  layers: readonly string[],
  { target, ids, userXattr }: TreeOptions,
): Fd {
  if (layers.length === 0) return openOne(sys, upper, ids);
  if (ids === undefined)
    return openReadOnlyOverlay(sys, [upper, ...layers], { userXattr }).release();
  // Overlayfs takes a layer with mapped ids only where it is attached: here, for nobody else.
  enterMountNamespace(sys);
  const tree = openOne(sys, upper, ids);
  attach(sys, tree, target);
  sys.close(tree);
  return openReadOnlyOverlay(sys, [target, ...layers], { userXattr }).release();
}
