/**
 * What linux.intelRdt means for a resctrl file system: which group, what is written to it, what is
 * taken away with the container. Pure.
 * Source: runtime-spec config-linux.md, "IntelRdt"; Documentation/filesystems/resctrl.rst.
 */

import { TareError } from "@tare/spec/error.ts";
import type { IntelRdt } from "@tare/spec/oci-runtime.ts";

/** Names that resctrl keeps for itself. */
const RESERVED: ReadonlySet<string> = new Set(["info", "mon_groups", "mon_data", ".", ".."]);

export type ResctrlPlan = {
  /** Absolute. */
  readonly group: string;
  /**
   * "own": made for this container, must not be there. "named": made where it is missing, and what
   * is there must have the same schemata. "present": must be there.
   */
  readonly kind: "own" | "named" | "present";
  /** Lines for the group's `schemata`, in order; where there are none, nothing is written. */
  readonly schemata: readonly string[];
  /** The container's monitoring group, absolute; undefined where none is asked for. */
  readonly monitor: string | undefined;
};

/** What goes into the state: groups by absolute path. */
export type ResctrlState = {
  /** Processes of the container are put into these, in order. */
  readonly join: readonly string[];
  /** Removed with the container, in order. */
  readonly remove: readonly string[];
};

/** The mountpoint of resctrl, from the text of /proc/self/mountinfo; undefined where it is not mounted. */
export function resctrlRoot(mountinfo: string): string | undefined {
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    if (!after.startsWith("resctrl ")) continue;
    return unescapePath(before.split(" ")[4] ?? "");
  }
  return undefined;
}

/** proc_pid_mountinfo(5): blanks and backslashes of a path are three octal digits. */
function unescapePath(path: string): string {
  const [first = "", ...rest] = path.split("\\");
  return rest.reduce((text, part) => {
    const code = Number.parseInt(part.slice(0, 3), 8);
    return `${text}${String.fromCharCode(code)}${part.slice(3)}`;
  }, first);
}

export function planResctrl(rdt: IntelRdt, id: string, root: string): ResctrlPlan {
  const schemata = schemaLines(rdt);
  const { closID } = rdt;
  const group = closID === "/" ? root : `${root}/${closID === undefined ? id : nameOf(closID)}`;
  return {
    group,
    kind: closID === undefined ? "own" : schemata.length > 0 ? "named" : "present",
    schemata,
    monitor: rdt.enableMonitoring ? `${group}/mon_groups/${id}` : undefined,
  };
}

export function planState({ group, kind, monitor }: ResctrlPlan): ResctrlState {
  const more = monitor === undefined ? [] : [monitor];
  return { join: [group, ...more], remove: kind === "own" ? [...more, group] : more };
}

function nameOf(closID: string): string {
  if (!closID.includes("/") && !RESERVED.has(closID)) return closID;
  throw new TareError(
    "bad_input",
    `Cannot use linux.intelRdt.closID "${closID}": no group's name`,
    {
      hint: 'Use a plain name, or "/" for the group that all start in',
    },
  );
}

function schemaLines({ l3CacheSchema, memBwSchema, schemata }: IntelRdt): string[] {
  if (memBwSchema !== undefined && !memBwSchema.startsWith("MB:")) {
    throw wrongLine("memBwSchema", memBwSchema, 'it does not start with "MB:"');
  }
  const lines: string[] = [];
  const add = (field: string, line: string | undefined) => {
    if (line === undefined) return;
    if (line.includes("\n")) throw wrongLine(field, line, "it has a line break");
    lines.push(line);
  };
  add("l3CacheSchema", l3CacheSchema);
  add("memBwSchema", memBwSchema);
  for (const [index, line] of schemata.entries()) add(`schemata[${index}]`, line);
  return lines;
}

function wrongLine(field: string, line: string, why: string): TareError {
  const shown = JSON.stringify(line.slice(0, 60));
  return new TareError("bad_input", `Cannot use linux.intelRdt.${field} ${shown}: ${why}`);
}

/** The first line that a group's `schemata` does not already say; undefined where it says all. */
export function missingLine(wanted: readonly string[], present: string): string | undefined {
  const there = present.split("\n").map(parseLine);
  return wanted.find((line) => {
    const { resource, values } = parseLine(line);
    const found = there.find((each) => each.resource === resource);
    return (
      found === undefined || [...values].some(([key, value]) => found.values.get(key) !== value)
    );
  });
}

/** Of a group's `schemata` the lines that `wanted` will replace, to be written again. */
export function linesBefore(wanted: readonly string[], present: string): readonly string[] {
  const resources = new Set(wanted.map((line) => parseLine(line).resource));
  const lines = present.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "" && resources.has(parseLine(line).resource));
}

/** `L3:0=7f0;1=1f`; the kernel pads with blanks and with zeros. */
function parseLine(line: string): { resource: string; values: ReadonlyMap<string, string> } {
  const colon = line.indexOf(":");
  const parts = line.slice(colon + 1).split(";");
  const pairs = parts.map((part): [string, string] => {
    const [key = "", value = ""] = part.split("=");
    return [key.trim(), withoutZeros(value.trim().toLowerCase())];
  });
  return { resource: line.slice(0, Math.max(colon, 0)).trim(), values: new Map(pairs) };
}

function withoutZeros(text: string): string {
  let at = 0;
  while (at < text.length - 1 && text[at] === "0") at++;
  return text.slice(at);
}
