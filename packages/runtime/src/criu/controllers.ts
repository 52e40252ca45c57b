/**
 * Which hierarchies of cgroups are the container's. Of one in which it is where everybody is, criu would
 * save the groups of everybody, and make them again. Pure.
 */

import type { CgroupState } from "../cgroup/state.ts";

/**
 * The names, as criu has them, of those in which the container has a cgroup of its own; undefined where
 * that is all of them. v2 has the empty name.
 * @param text of /proc/PID/cgroup (cgroups(7))
 */
export function ownControllers(text: string, { dirs }: CgroupState): string[] | undefined {
  const names = text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split(":")[1] ?? "");
  const own = names.filter((name) =>
    dirs.some(({ version, controllers }) =>
      version === 2
        ? name === ""
        : name.split(",").some((controller) => controllers.includes(controller)),
    ),
  );
  return own.length === 0 || own.length === names.length ? undefined : own;
}
