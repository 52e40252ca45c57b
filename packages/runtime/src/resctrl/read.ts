/** What resctrl has set for a container that exists. */

import { readText } from "../sys/file.ts";
import type { Sys } from "../sys/types.ts";
import type { ResctrlState } from "./plan.ts";

const SCHEMATA_BYTES_MAX = 64 * 1024;

/** The lines of its group's `schemata`, as `L3:0=ff`; undefined where the group is gone. */
export function readSchemata(sys: Sys, { join }: ResctrlState): readonly string[] | undefined {
  const [group] = join;
  const text =
    group === undefined ? undefined : readText(sys, `${group}/schemata`, SCHEMATA_BYTES_MAX);
  return text
    ?.split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}
