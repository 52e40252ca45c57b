/**
 * What a later process has to know of a container's cgroup to pause, kill and remove it: a plain value
 * that JSON.stringify takes as it is. Read back with a check: its paths say what will be removed.
 */

import { TareError } from "@tare/spec/error.ts";
import { quoteJson } from "@tare/spec/json.ts";
import type { CgroupMode } from "./host.ts";
import { splitPath } from "./path.ts";
import type { CgroupPlan } from "./plan.ts";

export type CgroupStateDir = {
  readonly version: 1 | 2;
  readonly controllers: readonly string[];
  readonly mountpoint: string;
  /** Below the mountpoint, as in "a/b". */
  readonly path: string;
  /** This container made it, and so may remove it. Its parents stay, whoever made them. */
  readonly made: boolean;
};

/** The unit of systemd that a container's cgroups belong to. */
export type UnitState = {
  readonly name: string;
  /** It is one of the caller's own systemd, not of the machine's. */
  readonly isUser: boolean;
};

export type CgroupState = {
  readonly mode: CgroupMode;
  readonly dirs: readonly CgroupStateDir[];
  /** Nothing was made yet when this was written down: what is there may be another's. */
  readonly planned?: true;
  /** Why some cgroup that was planned could not be made and was not needed. */
  readonly skipped?: string;
  /** Absent where systemd does not manage them. */
  readonly unit?: UnitState;
};

const DIRS_MAX = 64;
const MODES: readonly CgroupMode[] = ["v1", "hybrid", "v2", "none"];

/**
 * What to write down before the first directory is made. After a crash in between, these cgroups are
 * removed if they are empty, and their processes, which cannot be the container's, are left alone.
 */
export function plannedState(plan: CgroupPlan): CgroupState {
  const dirs = plan.dirs.map(({ version, controllers, mountpoint, path }) => {
    return { version, controllers, mountpoint, path: path.join("/"), made: true };
  });
  return { mode: plan.mode, dirs, planned: true };
}

/** Of a container that has no cgroup: making them failed, or its caller may not have any. */
export const NO_CGROUP: CgroupState = { mode: "none", dirs: [] };

/**
 * The state in a value that JSON.parse gave.
 * @throws TareError `corrupt` where a field is missing or a path leaves its mountpoint.
 */
export function parseCgroupState(value: unknown): CgroupState {
  const { mode, dirs, planned, skipped, unit } = record(value, "cgroup");
  if (!MODES.includes(mode as CgroupMode)) throw corrupt("cgroup.mode", mode);
  if (!Array.isArray(dirs) || dirs.length > DIRS_MAX) throw corrupt("cgroup.dirs", dirs);
  if (planned !== undefined && planned !== true) throw corrupt("cgroup.planned", planned);
  return {
    mode: mode as CgroupMode,
    dirs: dirs.map(parseDir),
    ...(planned === undefined ? {} : { planned }),
    ...(skipped === undefined ? {} : { skipped: text(skipped, "cgroup.skipped") }),
    ...(unit === undefined ? {} : { unit: parseUnit(unit) }),
  };
}

function parseUnit(value: unknown): UnitState {
  const { name, isUser } = record(value, "cgroup.unit");
  if (typeof name !== "string" || name === "" || name.includes("/")) {
    throw corrupt("cgroup.unit.name", name);
  }
  if (typeof isUser !== "boolean") throw corrupt("cgroup.unit.isUser", isUser);
  return { name, isUser };
}

/**
 * What is to be removed with a container. Its cgroup may lie below its unit's (an annotation of
 * crun's), which is then in the way of the unit's end.
 */
export function withUnitsDirs(state: CgroupState): CgroupState {
  const { unit } = state;
  if (unit === undefined) return state;
  const dirs = state.dirs.map((dir) => {
    const components = dir.path.split("/");
    const end = components.indexOf(unit.name);
    return end < 0 ? dir : { ...dir, path: components.slice(0, end + 1).join("/") };
  });
  return { ...state, dirs };
}

function parseDir(value: unknown): CgroupStateDir {
  const { version, controllers, mountpoint, path, made } = record(value, "cgroup.dirs");
  if (version !== 1 && version !== 2) throw corrupt("cgroup.dirs.version", version);
  if (!Array.isArray(controllers)) throw corrupt("cgroup.dirs.controllers", controllers);
  const components = parsePath(path);
  if (typeof made !== "boolean") throw corrupt("cgroup.dirs.made", made);
  const mounted = text(mountpoint, "cgroup.dirs.mountpoint");
  if (!mounted.startsWith("/") || mounted.includes("\0")) {
    throw corrupt("cgroup.dirs.mountpoint", mountpoint);
  }
  return {
    version,
    controllers: controllers.map((name) => text(name, "cgroup.dirs.controllers")),
    mountpoint: mounted,
    path: components.join("/"),
    made,
  };
}

function parsePath(value: unknown): readonly string[] {
  const path = text(value, "cgroup.dirs.path");
  try {
    const components = splitPath(path, "cgroup.dirs.path");
    if (components.length > 0) return components;
  } catch (cause) {
    throw new TareError("corrupt", `Cannot read state: bad cgroup.dirs.path "${path}"`, { cause });
  }
  throw corrupt("cgroup.dirs.path", path);
}

function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw corrupt(what, value);
  return value as Readonly<Record<string, unknown>>;
}

function text(value: unknown, what: string): string {
  if (typeof value !== "string") throw corrupt(what, value);
  return value;
}

function corrupt(what: string, value: unknown): TareError {
  return new TareError("corrupt", `Cannot read state: bad ${what}: ${quoteJson(value)}`);
}
