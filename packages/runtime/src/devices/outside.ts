/**
 * Devices that the host has no node of, for containers in a user namespace: only root of the host may
 * make nodes that can be opened (mknod(2), user_namespaces(7)). They are made in a tmpfs that is
 * nowhere, with the ids of the container's maps; the first process binds them one by one.
 */

import { TareError } from "@tare/spec/error.ts";
import type { IdMapping } from "@tare/spec/oci-runtime.ts";
import type { Maps } from "../container/id-maps.ts";
import type { DeviceStep } from "../container/step.ts";
import { attach } from "../mounts/attach.ts";
import { finish, openContext } from "../mounts/filesystem.ts";
import { EPERM } from "../sys/abi-errno.ts";
import { AT_SYMLINK_NOFOLLOW, S_IFBLK, S_IFCHR } from "../sys/abi-file.ts";
import {
  MNT_DETACH,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
} from "../sys/abi-mount.ts";
import { check, errnoOf } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";

/** A device to be made. */
export type DeviceNode = Extract<DeviceStep, { op: "device" }>;

/** A detached tmpfs; the node of `paths[n]` has the name `n` in it. */
export type OutsideDevices = { readonly tree: Fd; readonly paths: readonly string[] };

/** Undefined where this root is not the host's. */
export function makeOutside(
  sys: Sys,
  nodes: readonly DeviceNode[],
  maps: Maps,
): OutsideDevices | undefined {
  using context = openContext(sys, "tmpfs");
  using tree = finish(sys, context.fd, "tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  for (const [index, node] of nodes.entries()) {
    if (!makeNode(sys, tree.fd, String(index), node, maps)) return undefined;
  }
  return { tree: tree.release(), paths: nodes.map(({ path }) => path) };
}

function makeNode(sys: Sys, tree: Fd, name: string, node: DeviceNode, maps: Maps): boolean {
  const uid = toHost(node, node.uid, maps.uidMappings);
  const gid = toHost(node, node.gid, maps.gidMappings);
  const kind = node.type === "b" ? S_IFBLK : S_IFCHR;
  const ret = sys.mknodat(tree, name, kind, node.major, node.minor);
  if (errnoOf(ret) === EPERM) return false;
  check(ret, "mknodat", node.path);
  check(sys.fchownat(tree, name, uid, gid, AT_SYMLINK_NOFOLLOW), "fchownat", node.path);
  // After mknodat(2), from whose mode the caller's umask would be taken.
  check(sys.fchmodat(tree, name, node.mode), "fchmodat", node.path);
  return true;
}

/** The id outside of an id of the container. */
function toHost({ path }: DeviceNode, id: number, maps: readonly IdMapping[]): number {
  const map = maps.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  if (map !== undefined) return map.hostID + id - map.containerID;
  throw new TareError(
    "bad_input",
    `Cannot make device "${path}": the user namespace has no id ${id}`,
    { hint: "Give linux.devices an owner that linux.uidMappings and linux.gidMappings have" },
  );
}

/**
 * Clones each node, in the container's mount namespace: open_tree(2) clones from a detached tree only
 * since Linux 6.15, so the tree lies on the container's root for that moment.
 */
export function takeOutside(sys: Sys, root: Fd, { tree, paths }: OutsideDevices): Map<string, Fd> {
  using owned = new OwnedFd(sys, tree);
  attach(sys, owned.fd, root, "/");
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  const taken = paths.map((path, index): [string, Fd] => {
    return [path, check(sys.open_tree(owned.fd, String(index), flags), "open_tree", path)];
  });
  check(sys.fchdir(owned.fd), "fchdir", "the devices");
  check(sys.umount2(".", MNT_DETACH), "umount2", "the devices");
  check(sys.chdir("/"), "chdir", "/");
  return new Map(taken);
}
