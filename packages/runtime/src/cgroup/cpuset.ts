/**
 * A new cpuset of v1 has no CPUs and no memory nodes, and no process may join it (ENOSPC) before it
 * has some: those of the nearest cgroup above that has any.
 * Source: cgroup-v1/cpusets.rst. cgroup.clone_children would do it, but is a setting of the parent,
 * which is not ours.
 */

import { TareError } from "@tare/spec/error.ts";
import { errnoName, errnoText } from "../sys/abi-errno.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { CgroupDir } from "./plan.ts";
import { openMount, readControl, writeControl } from "./tree.ts";

const FILES = ["cpuset.cpus", "cpuset.mems"];

/** Fills every empty cpuset on the way to the container's, and its own but for what a limit sets. */
export function fillCpuset(sys: Sys, dir: CgroupDir): void {
  using mount = openMount(sys, dir);
  for (const file of FILES) {
    const own = dir.inherit.includes(file);
    const depth = own ? dir.path.length : dir.path.length - 1;
    if (depth > 0) fillFile(sys, mount.fd, dir.path.slice(0, depth), file);
  }
}

/** From the lowest cgroup up to one that has a value, and down again with it. */
function fillFile(sys: Sys, mount: Fd, path: readonly string[], file: string): void {
  const at = (depth: number): string => [...path.slice(0, depth), file].join("/");
  let depth = path.length;
  let value = "";
  for (; depth >= 0; depth--) {
    value = (readControl(sys, mount, at(depth)) ?? "").trim();
    if (value !== "") break;
  }
  for (let empty = depth + 1; empty <= path.length && depth >= 0; empty++) {
    const errno = writeControl(sys, mount, at(empty), value);
    if (errno !== 0) {
      const why = `${errnoText(errno)} (${errnoName(errno)})`;
      throw new TareError("no_cgroup", `Cannot set "${at(empty)}" to "${value}": ${why}`);
    }
  }
}
