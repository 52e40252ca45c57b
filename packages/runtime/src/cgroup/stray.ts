/**
 * A process that somebody moved out of its container's cgroup, into one of v1's freezer that is
 * frozen: there it does not even die of SIGKILL.
 */

import { AT_FDCWD } from "../sys/abi-file.ts";
import { readText, readTextAt } from "../sys/file.ts";
import type { Sys } from "../sys/types.ts";
import { freezeCgroup, isCgroupFrozen, thawCgroup } from "./freezer.ts";
import { componentsBelow, parseCgroupHost } from "./host.ts";
import type { CgroupState } from "./state.ts";

const MOUNTINFO_BYTES_MAX = 16 * 1024 * 1024;
const CGROUP_BYTES_MAX = 64 * 1024;

/** Thaws where this process is, until `wait` has returned: the others there stay as they were. */
export function whileThawed(sys: Sys, pid: number, wait: () => void): void {
  const state = freezerAround(sys, pid);
  if (state === undefined || !isCgroupFrozen(sys, state)) return;
  thawCgroup(sys, state);
  try {
    wait();
  } finally {
    freezeCgroup(sys, state);
  }
}

function freezerAround(sys: Sys, pid: number): CgroupState | undefined {
  const { mode, hierarchies } = parseCgroupHost({
    mountinfo: readText(sys, "/proc/self/mountinfo", MOUNTINFO_BYTES_MAX) ?? "",
    selfCgroup: readTextAt(sys, AT_FDCWD, `/proc/${pid}/cgroup`, CGROUP_BYTES_MAX) ?? "",
  });
  const freezer = hierarchies.find(({ controllers }) => controllers.includes("freezer"));
  if (freezer?.version !== 1) return undefined;
  const path = componentsBelow(freezer.mountRoot, freezer.ownPath) ?? [];
  if (path.length === 0) return undefined;
  const { version, controllers, mountpoint } = freezer;
  return {
    mode,
    dirs: [{ version, controllers, mountpoint, path: path.join("/"), made: false }],
  };
}
