/**
 * What can still be believed of a damaged record, for `delete --force`: where the processes and the
 * cgroups are. Each line stands for itself, so a bad one spoils no other.
 */

import { type CgroupState, parseCgroupState } from "../cgroup/state.ts";
import { O_RDONLY } from "../sys/abi-file.ts";
import { check } from "../sys/check.ts";
import { openAt, readAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Sys } from "../sys/types.ts";
import type { Record } from "./record.ts";
import { type ContainerDirectory, STATE_BYTES_MAX, STATE_FILE } from "./store.ts";

const NEWLINE = 0x0a;

/** A record without hooks, which nobody vouches for; undefined where no line tells of any cgroup. */
export function salvage(sys: Sys, directory: ContainerDirectory): Record | undefined {
  const opened = openAt(sys, directory.fd, STATE_FILE, O_RDONLY, 0);
  using file = new OwnedFd(sys, check(opened, "openat2", STATE_FILE));
  const bytes = readAll(sys, file.fd, STATE_FILE, STATE_BYTES_MAX);
  return salvageLines(linesOf(sys, bytes), directory.id);
}

/** As `salvage`, of the lines of a record; those that are not even text are null. */
export function salvageLines(lines: readonly (string | null)[], id: string): Record | undefined {
  let found: CgroupState | undefined;
  let first: Pick<Record, "pid" | "startTime"> = {};
  for (const line of lines) {
    const { cgroup, pid, startTime } = fieldsOf(line);
    found = cgroupStateOf(cgroup) ?? found;
    const isProcess = Number.isInteger(pid) && (pid as number) > 1;
    if (isProcess && typeof startTime === "string") first = { pid: pid as number, startTime };
  }
  if (found === undefined) return undefined;
  // Where there is a process, the cgroups were made: the line that said so is the damaged one.
  const { planned = false, ...made } = found;
  const cgroup = planned && first.pid === undefined ? found : made;
  const texts = { ociVersion: "", bundle: "", rootfs: "", created: "", owner: "" };
  return { id, ...texts, annotations: {}, ready: false, cgroup, ...first };
}

function linesOf(sys: Sys, bytes: Uint8Array): (string | null)[] {
  const lines: (string | null)[] = [];
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline < 0 ? bytes.length : newline;
    lines.push(sys.decode_utf8(bytes.subarray(start, end)));
    start = end + 1;
  }
  return lines;
}

function fieldsOf(line: string | null): { readonly [key: string]: unknown } {
  try {
    const value: unknown = JSON.parse(line ?? "");
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {}; // A damaged line says nothing.
  }
}

function cgroupStateOf(value: unknown): CgroupState | undefined {
  try {
    return value === undefined ? undefined : parseCgroupState(value);
  } catch {
    return undefined; // Its paths would say what is removed.
  }
}
