/**
 * A container's record: what its lines on disk say together, checked. Whoever could damage it would decide
 * what is killed, removed, executed and written. What only one command needs, in depth, is read by that one.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Hooks } from "@tare/spec/oci-runtime.ts";
import { parseCgroupState } from "../cgroup/state.ts";
import type { ResctrlState } from "../resctrl/plan.ts";
import type { Agent } from "../seccomp/flags.ts";

/** A resctrl group and its monitor. */
const GROUPS_MAX = 2;

/** What is recorded of a container. */
export type Record = {
  readonly ociVersion: string;
  readonly id: string;
  readonly bundle: string;
  readonly rootfs: string;
  /** RFC 3339, UTC. */
  readonly created: string;
  readonly owner: string;
  readonly annotations: { readonly [key: string]: string };
  /** Those of start and delete: what becomes of config.json after create has no effect (runtime.md). */
  readonly hooks?: Pick<Hooks, "poststart" | "poststop">;
  /** What further processes of the container are started with: parseExecRecord reads it, for `exec` alone. */
  readonly exec?: unknown;
  /** Who is asked about system calls; absent where no rule of the filter notifies. */
  readonly agent?: Agent;
  /** Absent where linux.intelRdt is. */
  readonly resctrl?: ResctrlState;
  /** Its processes are in a pid namespace of others, which does not end with its first process. */
  readonly sharedPids?: true;
  /** The rules for devices that an update has set, read by the next; absent: those of config.json. */
  readonly devices?: unknown;
  /** The version of the configuration that was read: its file may have been edited since. */
  readonly config?: string;
  /** Cgroup directories, as the cgroup room encodes them. */
  readonly cgroup: unknown;
  /** Absent until the first process exists. */
  readonly pid?: number;
  /** Start time of that process in clock ticks since boot: field 22 of /proc/PID/stat. */
  readonly startTime?: string;
  /** Set when `create` is complete. */
  readonly ready: boolean;
};

/** Fields that few containers have. */
const OPTIONAL: readonly (readonly [keyof Record, (value: unknown) => boolean])[] = [
  ["hooks", areHooks],
  ["agent", isAgent],
  ["resctrl", isResctrl],
  ["sharedPids", (value) => value === true],
  ["config", (value) => typeof value === "string"],
];

/** The record in the text of whole lines. Throws `corrupt`. */
export function parseRecord(text: string, id: string): Record {
  let fields: object = {};
  for (const line of text.split("\n").slice(0, -1)) {
    const value = parseLine(line, id);
    if (typeof value !== "object" || value === null) throw damaged(id, "a line is no object");
    fields = { ...fields, ...value };
  }
  const record = fields as Record;
  const { ociVersion, bundle, rootfs, created, owner } = record;
  if (!areStrings([ociVersion, record.id, bundle, rootfs, created, owner])) {
    throw damaged(id, "a field is missing");
  }
  if (!isKnown(record)) throw damaged(id, "a field has the wrong type");
  for (const [name, isGood] of OPTIONAL) {
    const value = record[name];
    if (value !== undefined && !isGood(value)) throw damaged(id, `its ${name} is none`);
  }
  // Its paths say what will be removed.
  parseCgroupState(record.cgroup);
  if (record.id !== id) throw damaged(id, `it belongs to "${record.id}"`);
  return record;
}

function isKnown({ pid, startTime, ready, annotations = {} }: Record): boolean {
  const isProcess = pid === undefined || (Number.isInteger(pid) && pid > 1);
  const isTimed = startTime === undefined || typeof startTime === "string";
  const isNoted = isObject(annotations) && areStrings(Object.values(annotations));
  return isProcess && isTimed && typeof ready === "boolean" && isNoted;
}

/** Whether a value of JSON is an object. */
export function isObject(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function areStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

/** They are executed. */
function areHooks(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { poststart, poststop } = value;
  return [poststart, poststop].every(
    (list) => Array.isArray(list) && list.every((hook) => isObject(hook) && isHook(hook)),
  );
}

function isHook({ path, args, env, timeout }: { readonly [key: string]: unknown }): boolean {
  const isTimed = timeout === undefined || Number.isInteger(timeout);
  const isSet = env === undefined || areStrings(env);
  return areStrings([path]) && areStrings(args) && isSet && isTimed;
}

/** It is connected to. */
function isAgent(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { path, metadata } = value;
  return isAbsolute(path) && (metadata === undefined || typeof metadata === "string");
}

/** They are written to, and removed. */
function isResctrl(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { join, remove } = value;
  return [join, remove].every(
    (groups) => Array.isArray(groups) && groups.length <= GROUPS_MAX && groups.every(isStraight),
  );
}

function isAbsolute(value: unknown): value is string {
  return typeof value === "string" && value.startsWith("/") && !value.includes("\0");
}

/** With nothing that leads back up. */
function isStraight(value: unknown): boolean {
  return isAbsolute(value) && !value.split("/").includes("..");
}

function parseLine(line: string, id: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw damaged(id, "a line is not JSON", cause);
  }
}

/** A record that cannot be believed. */
export function damaged(id: string, why: string, cause?: unknown): TareError {
  return new TareError("corrupt", `Cannot read the state of container "${id}": ${why}`, {
    cause,
    hint: `Remove it with delete --force ${id}`,
  });
}
