/**
 * What cgroup hierarchies this host has and where we are in each: read from two files of /proc.
 * Sources: cgroups(7), proc_pid_mountinfo(5), Documentation/admin-guide/cgroup-v2.rst.
 * Not here: opening anything. That a mountpoint still is a cgroup is checked when it is opened.
 */

import { TareError } from "@tare/spec/error.ts";

/** `hybrid`: v1 has controllers and a v2 tree is mounted beside it. `none`: nothing is mounted. */
export type CgroupMode = "v1" | "hybrid" | "v2" | "none";

export type Hierarchy = {
  readonly version: 1 | 2;
  /** As in /proc/self/cgroup (`cpu`, `name=systemd`); of v2, what its cgroup.controllers offers. */
  readonly controllers: readonly string[];
  readonly mountpoint: string;
  /** The cgroup that the mountpoint shows, from the hierarchy's root; "/" but in containers. */
  readonly mountRoot: string;
  /** Our own cgroup, from the hierarchy's root. */
  readonly ownPath: string;
};

export type CgroupHost = { readonly mode: CgroupMode; readonly hierarchies: readonly Hierarchy[] };

/** Contents of /proc/self/mountinfo, /proc/self/cgroup and the v2 root's cgroup.controllers. */
export type CgroupHostText = {
  readonly mountinfo: string;
  readonly selfCgroup: string;
  readonly controllers?: string;
};

type CgroupMount = {
  readonly version: 1 | 2;
  readonly root: string;
  readonly mountpoint: string;
  readonly options: readonly string[];
};

const CGROUP_MOUNTS_MAX = 1024;
const USUAL_MOUNTPOINT = "/sys/fs/cgroup";

/**
 * The hierarchies that are mounted, v1 ones first, each with its best mountpoint.
 * @throws TareError `corrupt` where a line has not the kernel's form.
 */
export function parseCgroupHost(text: CgroupHostText): CgroupHost {
  const mounts = cgroupMounts(text.mountinfo);
  const found: Hierarchy[] = [];
  for (const line of text.selfCgroup.split("\n")) {
    if (line === "") continue;
    const hierarchy = findHierarchy(line, mounts, text.controllers ?? "");
    if (hierarchy !== undefined) found.push(hierarchy);
  }
  return decideMode(found);
}

/**
 * The path of a cgroup below a mountpoint that shows `root`, as components.
 * Undefined where the mountpoint does not show it: it is outside of our cgroup namespace.
 */
export function componentsBelow(root: string, path: string): readonly string[] | undefined {
  const parts = path.split("/").filter((part) => part !== "");
  const base = root.split("/").filter((part) => part !== "");
  if (parts.includes("..") || base.some((part, index) => parts[index] !== part)) return undefined;
  return parts.slice(base.length);
}

function decideMode(found: readonly Hierarchy[]): CgroupHost {
  const v1 = found.filter((each) => each.version === 1);
  const v2 = found.find((each) => each.version === 2);
  const withController = v1.some((each) => each.controllers.some((name) => !name.includes("=")));
  if (v2 === undefined) return { mode: v1.length === 0 ? "none" : "v1", hierarchies: v1 };
  // A v2 host may have a stray v1 mount: net_cls of a VPN, name=systemd for an old container.
  if (!withController || v2.mountpoint === USUAL_MOUNTPOINT) {
    return { mode: "v2", hierarchies: [v2] };
  }
  return { mode: "hybrid", hierarchies: [...v1, v2] };
}

/** A line of /proc/self/cgroup is `id:controllers:path`; a path may itself have colons. */
function findHierarchy(
  line: string,
  mounts: readonly CgroupMount[],
  v2Controllers: string,
): Hierarchy | undefined {
  const first = line.indexOf(":");
  const second = line.indexOf(":", first + 1);
  const ownPath = line.slice(second + 1);
  if (first < 1 || second < 0 || !ownPath.startsWith("/")) {
    throw new TareError(
      "corrupt",
      `Cannot parse /proc/self/cgroup line "${line}": no three fields`,
    );
  }
  const list = line.slice(first + 1, second);
  const version = list === "" ? 2 : 1;
  const controllers = words(version === 2 ? v2Controllers.replaceAll("\n", " ") : list, version);
  const shown = mounts.filter(
    (mount) =>
      mount.version === version &&
      (version === 2 || controllers.every((name) => mount.options.includes(name))),
  );
  const mount = bestMount(shown, ownPath);
  if (mount === undefined) return undefined;
  return {
    version,
    controllers,
    mountpoint: mount.mountpoint,
    mountRoot: mount.root,
    ownPath,
  };
}

function words(text: string, version: 1 | 2): string[] {
  return text.split(version === 2 ? " " : ",").filter((word) => word !== "");
}

/** A mount that shows our own cgroup, in the usual place, from as near the root as there is. */
function bestMount(mounts: readonly CgroupMount[], ownPath: string): CgroupMount | undefined {
  const score = (mount: CgroupMount): number => {
    const shows = componentsBelow(mount.root, ownPath) !== undefined ? 4 : 0;
    return shows + (mount.root === "/" ? 2 : 0) + (isUsual(mount.mountpoint) ? 1 : 0);
  };
  let best: CgroupMount | undefined;
  for (const mount of mounts) {
    if (best === undefined || score(mount) > score(best)) best = mount;
  }
  return best;
}

function isUsual(mountpoint: string): boolean {
  return mountpoint === USUAL_MOUNTPOINT || mountpoint.startsWith(`${USUAL_MOUNTPOINT}/`);
}

/**
 * The lines of mountinfo whose type is cgroup or cgroup2. The kernel escapes blanks in every field,
 * so " - cgroup" can only stand before a type: the thousands of other lines are never cut apart.
 */
function cgroupMounts(mountinfo: string): CgroupMount[] {
  const separator = " - cgroup";
  const mounts: CgroupMount[] = [];
  let at = mountinfo.indexOf(separator);
  while (at >= 0) {
    const start = mountinfo.lastIndexOf("\n", at) + 1;
    const newline = mountinfo.indexOf("\n", at);
    const end = newline < 0 ? mountinfo.length : newline;
    const mount = cgroupMount(mountinfo.slice(start, at), mountinfo.slice(at + 3, end));
    if (mount !== undefined) mounts.push(mount);
    if (mounts.length > CGROUP_MOUNTS_MAX) {
      throw new TareError(
        "corrupt",
        `Cannot read /proc/self/mountinfo: more than ${CGROUP_MOUNTS_MAX} cgroup mounts`,
      );
    }
    at = mountinfo.indexOf(separator, end);
  }
  return mounts;
}

function cgroupMount(before: string, after: string): CgroupMount | undefined {
  const [, , , root, mountpoint] = before.split(" ");
  const [type, , options] = after.split(" ");
  if (type !== "cgroup" && type !== "cgroup2") return undefined;
  if (root === undefined || mountpoint === undefined || options === undefined) {
    throw new TareError(
      "corrupt",
      `Cannot parse /proc/self/mountinfo line "${before}": it has too few fields`,
    );
  }
  return {
    version: type === "cgroup" ? 1 : 2,
    root: unescapeOctal(root),
    mountpoint: unescapeOctal(mountpoint),
    options: options.split(","),
  };
}

/** The kernel writes blank, tab, newline and backslash of a path as \040, \011, \012, \134. */
function unescapeOctal(field: string): string {
  const pieces = field.split("\\");
  let plain = pieces[0] ?? "";
  for (const piece of pieces.slice(1)) {
    const code = Number.parseInt(piece.slice(0, 3), 8);
    plain += Number.isNaN(code) ? `\\${piece}` : String.fromCharCode(code) + piece.slice(3);
  }
  return plain;
}
