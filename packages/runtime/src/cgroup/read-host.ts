/** Reads what `host.ts` parses: the cgroup hierarchies of this machine, as our process sees them. */

import { AT_FDCWD } from "../sys/abi-file.ts";
import { readText, readTextAt } from "../sys/file.ts";
import type { Sys } from "../sys/types.ts";
import { type CgroupHost, parseCgroupHost, withV2Controllers } from "./host.ts";

/** A machine with thousands of mounts has some hundred bytes for each. */
const MOUNTINFO_BYTES_MAX = 16 * 1024 * 1024;
const SMALL_BYTES_MAX = 64 * 1024;

/** The hierarchies and, of v2, its controllers. A kernel without cgroups has none. */
export function readCgroupHost(sys: Sys): CgroupHost {
  const host = parseCgroupHost({
    mountinfo: readText(sys, "/proc/self/mountinfo", MOUNTINFO_BYTES_MAX) ?? "",
    selfCgroup: readText(sys, "/proc/self/cgroup", SMALL_BYTES_MAX) ?? "",
  });
  const v2 = host.hierarchies.find(({ version }) => version === 2);
  if (v2 === undefined) return host;
  const path = `${v2.mountpoint}/cgroup.controllers`;
  return withV2Controllers(host, readTextAt(sys, AT_FDCWD, path, SMALL_BYTES_MAX) ?? "");
}
