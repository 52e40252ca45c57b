/**
 * Mounts the container's view of its cgroups. Of v1 that is a tmpfs with a directory for each
 * hierarchy: they are made while the tmpfs is still detached, so no name is looked up twice.
 */

import type { CgroupView, MountStep } from "../container/step.ts";
import { ENOENT } from "../sys/abi-errno.ts";
import { AT_RECURSIVE, O_DIRECTORY, O_NOFOLLOW, O_PATH } from "../sys/abi-file.ts";
import { check, SysError } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { attach, attachBind, attachNew, change, changeBind, openBindSource } from "./attach.ts";
import { makeFilesystem } from "./filesystem.ts";
import { openOrCreate } from "./in-root.ts";
import { type MountOptions, parseMountOptions } from "./options.ts";

type CgroupMount = Extract<MountStep, { op: "mount-cgroup" }>;

/** Never writable from inside by default, and never executable (CVE-2022-0492). */
const TMPFS_OPTIONS = ["nosuid", "nodev", "noexec", "mode=755", "size=64k"];

export function mountCgroup(sys: Sys, root: Fd, step: CgroupMount): void {
  const [first] = step.views;
  if (step.unified && first !== undefined) mountUnified(sys, root, step, first);
  else mountHierarchies(sys, root, step);
}

function mountUnified(sys: Sys, root: Fd, step: CgroupMount, view: CgroupView): void {
  const { target, why } = step;
  if (step.private) {
    const options: MountOptions = { ...step.options, data: [] };
    attachNew(sys, root, {
      op: "mount",
      fstype: "cgroup2",
      source: "cgroup",
      target,
      options,
      why,
    });
    return;
  }
  const options: MountOptions = { ...step.options, bind: "bind", data: [] };
  const source = view.hostPath;
  attachBind(
    sys,
    root,
    { op: "bind", index: -1, isPeer: false, idmap: undefined, source, target, options, why },
    undefined,
  );
}

function mountHierarchies(sys: Sys, root: Fd, step: CgroupMount): void {
  using place = openOrCreate(sys, root, step.target, "directory");
  const options = parseMountOptions(TMPFS_OPTIONS);
  using tmpfs = makeFilesystem(sys, { fstype: "tmpfs", source: "tmpfs", options });
  for (const view of step.views) {
    check(sys.mkdirat(tmpfs.fd, view.name, 0o755), "mkdirat", view.name);
    linkControllers(sys, tmpfs.fd, view);
  }
  attach(sys, tmpfs.fd, place.fd, step.target);
  for (const view of step.views) mountView(sys, tmpfs.fd, step, view);
}

/** Hierarchies that hold several controllers are found under each name. */
function linkControllers(sys: Sys, directory: Fd, view: CgroupView): void {
  const names = view.data.split(",");
  if (view.version === 2 || names.length < 2) return;
  for (const name of names) {
    if (name !== view.name) check(sys.symlinkat(view.name, directory, name), "symlinkat", name);
  }
}

function mountView(sys: Sys, tmpfs: Fd, step: CgroupMount, view: CgroupView): void {
  const flags = O_PATH | O_DIRECTORY | O_NOFOLLOW;
  using place = new OwnedFd(
    sys,
    check(openAt(sys, tmpfs, view.name, flags, 0), "openat2", view.name),
  );
  using mount = step.private
    ? newView(sys, step.options, view)
    : boundView(sys, step.options, view);
  if (mount !== undefined) attach(sys, mount.fd, place.fd, view.name);
}

/** With a cgroup namespace, the kernel shows the part that is the container's. */
function newView(sys: Sys, options: MountOptions, view: CgroupView): OwnedFd {
  const data = view.version === 2 ? [] : v1Data(view.data);
  const fstype = view.version === 2 ? "cgroup2" : "cgroup";
  return makeFilesystem(sys, { fstype, source: "cgroup", options: { ...options, data } });
}

/**
 * Without one, the container's own cgroup is bound. Where none could be made, as often for callers that
 * are not root, there is nothing to see: those above it are the host's.
 */
function boundView(sys: Sys, options: MountOptions, view: CgroupView): OwnedFd | undefined {
  const bind: MountOptions = { ...options, bind: "bind" };
  const tree = openOwn(sys, { source: view.hostPath, options: bind });
  if (tree === undefined) return undefined;
  changeBind(sys, tree.fd, { options: bind, target: view.hostPath });
  change(sys, tree.fd, AT_RECURSIVE, options.recursive);
  return tree;
}

function openOwn(sys: Sys, own: Parameters<typeof openBindSource>[1]): OwnedFd | undefined {
  try {
    return new OwnedFd(sys, openBindSource(sys, own));
  } catch (error) {
    if (error instanceof SysError && error.errno === ENOENT) return undefined;
    throw error;
  }
}

/** `name=systemd` is a hierarchy without controllers: cgroups(7), "Cgroups v1 named hierarchies". */
function v1Data(data: string): string[] {
  return data.startsWith("name=") ? ["none", data] : data.split(",");
}
