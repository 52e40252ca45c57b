/**
 * Where a container's cgroup goes: `linux.cgroupsPath` and the container's name to components.
 * Source: runtime-spec, config-linux.md, "Cgroups Path". The rules, the same as runc's:
 * - absolute: below the mountpoint of each hierarchy;
 * - relative or absent (then the container's name): within the limits that bind the caller, so below
 *   our own cgroup on v1; on v2 beside it, since a cgroup with processes gives its children no
 *   controllers ("no internal processes", cgroup-v2.rst). Where our own cgroup is not in sight of
 *   the mountpoint (a cgroup namespace), the mountpoint stands for it.
 */

import { TareError } from "@tare/spec/error.ts";
import { componentsBelow, type Hierarchy } from "./host.ts";

export type CgroupLocation = {
  /** Counted from the mountpoint, or from our own cgroup. */
  readonly from: "mountpoint" | "own";
  /** At least one; none is empty, "." or "..". */
  readonly components: readonly string[];
};

/** NAME_MAX and PATH_MAX of the kernel, in bytes; we count UTF-16 units, the kernel has the word. */
const COMPONENT_LENGTH_MAX = 255;
const PATH_LENGTH_MAX = 4095;

const FIELD = "linux.cgroupsPath";

/**
 * The place of a container's cgroup, alike in every hierarchy.
 * @throws TareError `bad_input` for "..", NUL, a newline, the root, or a name in systemd's form.
 */
export function locateCgroup(cgroupsPath: string | undefined, id: string): CgroupLocation {
  const path = cgroupsPath === undefined || cgroupsPath === "" ? id : cgroupsPath;
  if (isSystemdForm(path)) {
    const hint = "Use --systemd-cgroup, or a path such as /parent/name";
    throw badPath(FIELD, path, 'this is the form of systemd, "slice:prefix:name"', hint);
  }
  const components = splitPath(path);
  if (components.length === 0) throw badPath(FIELD, path, "the root cgroup is not a container's");
  return { from: path.startsWith("/") ? "mountpoint" : "own", components };
}

/**
 * The components of a cgroup path, empty and "." ones left out; `what` names it in an error.
 * @throws TareError `bad_input` for "..", NUL, a newline, or a name the kernel has no room for.
 */
export function splitPath(path: string, what = FIELD): readonly string[] {
  if (path.length > PATH_LENGTH_MAX) {
    throw badPath(what, `${path.slice(0, 64)}...`, `it is longer than ${PATH_LENGTH_MAX}`);
  }
  // The kernel refuses a newline, and it would forge a line of /proc/PID/cgroup.
  if (path.includes("\0") || path.includes("\n")) {
    throw badPath(what, path, "it has a NUL or a newline");
  }
  const components = path.split("/").filter((part) => part !== "" && part !== ".");
  for (const component of components) {
    if (component === "..") throw badPath(what, path, "`..` components are not allowed");
    if (component.length > COMPONENT_LENGTH_MAX) {
      throw badPath(what, path, `a component is longer than ${COMPONENT_LENGTH_MAX}`);
    }
  }
  return components;
}

/** The components of the container's cgroup below the mountpoint of one hierarchy. */
export function componentsIn(hierarchy: Hierarchy, location: CgroupLocation): readonly string[] {
  if (location.from === "mountpoint") return location.components;
  const own = componentsBelow(hierarchy.mountRoot, hierarchy.ownPath) ?? [];
  const base = hierarchy.version === 2 ? own.slice(0, -1) : own;
  return [...base, ...location.components];
}

function isSystemdForm(path: string): boolean {
  return !path.startsWith("/") && path.split(":").length === 3;
}

function badPath(what: string, path: string, why: string, hint?: string): TareError {
  const shown = path.replaceAll("\0", "\\0").replaceAll("\n", "\\n");
  const options = hint === undefined ? {} : { hint };
  return new TareError("bad_input", `Cannot use ${what} "${shown}": ${why}`, options);
}
