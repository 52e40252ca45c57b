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

/** The form of what owners make: their tag and something behind it. */
export function ownerOf(name: string): OwnerTag | undefined {
  return /^[0-9]+-[0-9]+(?=-.)/.exec(name)?.[0];
}

/** Whether the process that the tag names still runs; one that waits for its parent does not. */
export function isAlive(tag: OwnerTag): boolean {
  const [pid = "", start] = tag.split("-");
  return start !== undefined && startTime(pid) === start;
}

function startTime(pid: string): string | undefined {
  try {
    return startOf(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return undefined;
  }
}

/**
 * Field 22 of proc_pid_stat(5), the start; undefined where field 3 says that the process has ended. The
 * name in field 2 may hold anything but ends at the last ")".
 */
export function startOf(stat: string): string | undefined {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}
