/** Reads what `stats.ts` tells: the files of a container's cgroups as they are now. */

import { AT_FDCWD, O_DIRECTORY, O_RDONLY } from "../sys/abi-file.ts";
import { check, errnoOf, SysError } from "../sys/check.ts";
import { entriesOf } from "../sys/directory.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { OpenCgroup } from "./join.ts";
import type { Stats } from "./stats.ts";
import { statsV1 } from "./stats-v1.ts";
import { statsV2 } from "./stats-v2.ts";
import { readControl } from "./tree.ts";

const HUGEPAGES = "/sys/kernel/mm/hugepages";
const UNITS = ["KB", "MB", "GB", "TB", "PB"];

/** Of all hierarchies; where two know the same, v1 does, which has the controller. */
export function readStats(sys: Sys, { state, dirs }: OpenCgroup): Stats {
  const pageSizes = readPageSizes(sys);
  let stats: Stats = {};
  for (const [index, { version, controllers }] of state.dirs.entries()) {
    const dir = dirs[index]?.fd;
    if (dir === undefined) continue;
    const read = (file: string): string | undefined => readQuietly(sys, dir, file);
    stats =
      version === 1
        ? { ...stats, ...statsV1(controllers, read, pageSizes) }
        : { ...statsV2(read, pageSizes, state.mode === "v2"), ...stats };
  }
  return stats;
}

/** A file that cannot be read has no numbers for us: pressure that is turned off (EOPNOTSUPP). */
function readQuietly(sys: Sys, dir: Fd, file: string): string | undefined {
  try {
    return readControl(sys, dir, file);
  } catch (error) {
    if (error instanceof SysError) return undefined;
    throw error;
  }
}

/** The sizes of huge pages in the words of control files, as in "2MB". */
function readPageSizes(sys: Sys): readonly string[] {
  const ret = openAt(sys, AT_FDCWD, HUGEPAGES, O_RDONLY | O_DIRECTORY, 0);
  if (errnoOf(ret) !== 0) return [];
  using directory = new OwnedFd(sys, check(ret, "openat2", HUGEPAGES));
  const names = entriesOf(sys, directory.fd).map((name) => sys.decode_utf8(name) ?? "");
  return names.flatMap((name) => pageSizeOf(name) ?? []).sort();
}

/** "hugepages-2048kB" is 2MB. */
export function pageSizeOf(name: string): string | undefined {
  const [prefix, ending] = ["hugepages-", "kB"];
  let size = Number(name.slice(prefix.length, -ending.length));
  if (!name.startsWith(prefix) || !name.endsWith(ending) || !(size > 0)) return undefined;
  let unit = 0;
  for (; size >= 1024 && size % 1024 === 0 && unit < UNITS.length - 1; unit++) size /= 1024;
  return `${size}${UNITS[unit]}`;
}
