/** Mounts the container's view of its cgroups. */

import type { CgroupView, MountStep } from "../container/step.ts";
import { check } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { attachBind, attachNew } from "./attach.ts";
import { lookup } from "./in-root.ts";
import { type MountOptions, parseMountOptions } from "./options.ts";

type CgroupMount = Extract<MountStep, { op: "mount-cgroup" }>;

/** Never writable from inside by default, and never executable (CVE-2022-0492). */
const TMPFS_OPTIONS = ["nosuid", "nodev", "noexec", "mode=755", "size=64k"];

export function mountCgroup(sys: Sys, root: Fd, step: CgroupMount): void {
  const [first] = step.views;
  if (step.unified && first !== undefined) {
    mountView(sys, root, step, first, step.target);
    return;
  }
  const options = parseMountOptions(TMPFS_OPTIONS);
  const { target, why } = step;
  attachNew(sys, root, { op: "mount", fstype: "tmpfs", source: "tmpfs", target, options, why });
  for (const view of step.views) {
    mountView(sys, root, step, view, `${target}/${view.name}`);
    linkControllers(sys, root, target, view);
  }
}

function mountView(sys: Sys, root: Fd, step: CgroupMount, view: CgroupView, target: string): void {
  const { why } = step;
  if (!step.private) {
    const options: MountOptions = { ...step.options, bind: "bind", data: [] };
    const source = view.hostPath;
    const bind = { op: "bind", index: -1, idmap: undefined, source, target, options, why } as const;
    attachBind(sys, root, bind, undefined);
    return;
  }
  const data = view.version === 2 ? [] : v1Data(view.data);
  const fstype = view.version === 2 ? "cgroup2" : "cgroup";
  const options: MountOptions = { ...step.options, data };
  attachNew(sys, root, { op: "mount", fstype, source: "cgroup", target, options, why });
}

/** `name=systemd` is a hierarchy without controllers: cgroups(7), "Cgroups v1 named hierarchies". */
function v1Data(data: string): string[] {
  return data.startsWith("name=") ? ["none", data] : data.split(",");
}

/** Hierarchies that hold several controllers are found under each name. */
function linkControllers(sys: Sys, root: Fd, target: string, view: CgroupView): void {
  const names = view.data.split(",");
  if (view.version === 2 || names.length < 2) return;
  using directory = new OwnedFd(sys, check(lookup(sys, root, target), "openat2", target));
  for (const name of names) {
    check(sys.symlinkat(view.name, directory.fd, name), "symlinkat", name);
  }
}
