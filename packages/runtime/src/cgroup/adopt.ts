/**
 * The container's cgroups where somebody else has made some of them, with a process that is in some of
 * them already: those that are missing are made, limits set, and the process is put into all. As
 * apply.ts does it for cgroups of our own; every decision is in the plan.
 */

import { assert, TareError } from "@tare/spec/error.ts";
import { errnoName, errnoText } from "../sys/abi-errno.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { applyWrites, attachProgram, type MadeDir, makeDirectory, prepareLimits } from "./apply.ts";
import type { CgroupDir, CgroupPlan } from "./plan.ts";
import { pathOf, readProcs, writeControl } from "./tree.ts";

/**
 * Makes the plan true for a process. What it made stays when it fails: it is noted already.
 * @throws TareError `no_cgroup` where a limit has no controller or no file; `bad_input` where the kernel
 *   refuses a value.
 */
export function adoptCgroup(sys: Sys, plan: CgroupPlan, pid: number): void {
  const made: MadeDir[] = [];
  try {
    for (const dir of plan.dirs) made.push(adoptOne(sys, dir, pid));
    const fds = made.map(({ fd }) => fd.fd);
    applyWrites(sys, fds, plan.writes);
    if (plan.devices !== undefined) attachProgram(sys, fds[plan.devices.dir], plan.devices.program);
    // Last, as nobody may enter a cpuset of v1 that has no CPUs yet.
    for (const [index, dir] of plan.dirs.entries()) enter(sys, fds[index], dir, pid);
  } finally {
    for (const { fd } of made) fd.close();
  }
}

function adoptOne(sys: Sys, dir: CgroupDir, pid: number): MadeDir {
  if (dir.version === 2) {
    // First into the innermost: a cgroup with processes gives its children no controllers.
    using early = makeDirectory(sys, { ...dir, enable: [] }).fd;
    enter(sys, early.fd, dir, pid);
  }
  const one = makeDirectory(sys, dir);
  try {
    prepareLimits(sys, dir, one);
  } catch (error) {
    one.fd.close();
    throw error;
  }
  return one;
}

/** Into one cgroup, unless the process is there: to move one waits for the whole machine. */
function enter(sys: Sys, fd: Fd | undefined, dir: CgroupDir, pid: number): void {
  assert(fd !== undefined, "each directory of a plan is open");
  if (readProcs(sys, fd).includes(pid)) return;
  const errno = writeControl(sys, fd, "cgroup.procs", String(pid));
  if (errno === 0) return;
  const why = `${errnoText(errno)} (${errnoName(errno)})`;
  const path = `${dir.mountpoint}/${pathOf(dir)}`;
  throw new TareError("no_cgroup", `Cannot put the container into cgroup "${path}": ${why}`);
}
