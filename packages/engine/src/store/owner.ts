/**
 * Who owns a half-made or a running thing: a process, named so that a recycled pid is not taken
 * for it. What belongs to a dead owner is swept by the next command.
 */
import { readFileSync } from "node:fs";

/** `<pid>-<start time in clock ticks since boot>`. */
export type OwnerTag = string;

/** The calling process. */
export function ownTag(): OwnerTag {
  return `${process.pid}-${startTime("self")}`;
}

/** Whether the process that the tag names still runs. */
export function isAlive(tag: OwnerTag): boolean {
  const [pid = "", start] = tag.split("-");
  return start !== undefined && startTime(pid) === start;
}

/** Field 22 of proc_pid_stat(5); the name in field 2 may hold anything but ends at the last ")". */
function startTime(pid: string): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}
