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

/** Contents of /proc/self/mountinfo, /proc/self/cgroup and the v2 mountpoint's cgroup.controllers. */
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
  const mounts = mountsByController(cgroupMounts(text.mountinfo));
  const found: Hierarchy[] = [];
  for (const line of text.selfCgroup.split("\n")) {
    if (line === "") continue;
    const hierarchy = findHierarchy(line, mounts);
    if (hierarchy !== undefined) found.push(hierarchy);
  }
  return withV2Controllers(decideMode(found), text.controllers ?? "");
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

/** The host, knowing what cgroup.controllers says: its place is known only once the mounts are. */
export function withV2Controllers(host: CgroupHost, text: string): CgroupHost {
  const controllers = text
    .replaceAll("\n", " ")
    .split(" ")
    .filter((name) => name !== "");
  const hierarchies = host.hierarchies.map((each) =>
    each.version === 2 ? { ...each, controllers } : each,
  );
  return { mode: host.mode, hierarchies };
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
function findHierarchy(line: string, mounts: MountsByController): Hierarchy | undefined {
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
  const controllers = list === "" ? [] : list.split(",");
  const shown = mounts.get(controllers[0] ?? V2) ?? [];
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

/** A controller is in one hierarchy at most, so any of a hierarchy's finds all its mounts. */
type MountsByController = ReadonlyMap<string, readonly CgroupMount[]>;

/** The key of the v2 mounts: no mount option is empty. */
const V2 = "";

function mountsByController(mounts: readonly CgroupMount[]): MountsByController {
  const found = new Map<string, CgroupMount[]>();
  for (const mount of mounts) {
    for (const key of mount.version === 2 ? [V2] : mount.options) {
      const before = found.get(key);
      if (before === undefined) found.set(key, [mount]);
      else before.push(mount);
    }
  }
  return found;
}

/** A mount that shows our own cgroup, in the usual place, from as near the root as there is. */
function bestMount(mounts: readonly CgroupMount[], ownPath: string): CgroupMount | undefined {
  if (mounts.length < 2) return mounts[0];
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
  if (!field.includes("\\")) return field;
  const pieces = field.split("\\");
  let plain = pieces[0] ?? "";
  for (const piece of pieces.slice(1)) {
    const code = Number.parseInt(piece.slice(0, 3), 8);
    plain += Number.isNaN(code) ? `\\${piece}` : String.fromCharCode(code) + piece.slice(3);
  }
  return plain;
}
