/** What a container sees at /sys/fs/cgroup: its own cgroups, never the host's tree. Pure. */

import type { CgroupPlan } from "../cgroup/plan.ts";
import type { CgroupView, MountStep } from "../container/step.ts";
import type { MountOptions } from "./options.ts";

/** With a cgroup namespace the kernel shows the right part; without one our own cgroup is bound. */
export function planCgroupMount(
  cgroup: CgroupPlan,
  target: string,
  options: MountOptions,
  isPrivate: boolean,
): MountStep {
  const views = cgroup.dirs.map(({ version, controllers, mountpoint, path }): CgroupView => {
    const name = mountpoint.slice(mountpoint.lastIndexOf("/") + 1);
    const hostPath = [mountpoint, ...path].join("/");
    return { version, name, data: controllers.join(","), hostPath };
  });
  return {
    op: "mount-cgroup",
    target,
    options,
    unified: cgroup.mode === "v2",
    views,
    private: isPrivate,
    why: "a program may read its own limits",
  };
}
