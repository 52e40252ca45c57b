/**
 * Applies mount steps: every file system is made detached, gets its attributes, and is then moved
 * onto a descriptor of its place. There is no moment in which it is attached without them.
 */

import { TareError } from "@tare/spec/error.ts";
import type { MountStep } from "../container/step.ts";
import { EINVAL, ELOOP, ENOTDIR, EPERM } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  AT_SYMLINK_NOFOLLOW,
  NO_FD,
  O_DIRECTORY,
  PROC_SUPER_MAGIC,
} from "../sys/abi-file.ts";
import {
  MOUNT_ATTR_RDONLY,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_EMPTY_PATH,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
} from "../sys/abi-mount.ts";
import { check, errnoOf, SysError } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Ret, Sys } from "../sys/types.ts";
import { makeFilesystem, VALUE_BYTES_MAX } from "./filesystem.ts";
import {
  type FileKind,
  kindOf,
  lookup,
  makePlace,
  openExisting,
  openOrCreate,
  openOrCreatePlain,
} from "./in-root.ts";
import { type Attributes, bindAttributes, type MountOptions } from "./options.ts";

type NewMount = Extract<MountStep, { op: "mount" }>;
type Bind = Extract<MountStep, { op: "bind" }>;

/**
 * Makes one new file system and attaches it; the answer is its top where that is the new root.
 * `onMade` is given its top before it is attached, but for those that mount(2) makes.
 */
export function attachNew(
  sys: Sys,
  root: Fd,
  step: NewMount,
  onMade?: (top: Fd) => void,
): Fd | undefined {
  using place = openNewPlace(sys, root, step);
  refuseRoot(sys, root, place.target.fd, step.target);
  if (wantsOldInterface(step)) {
    return void loadPart(sys, "tare-runtime~mount-old").mountOld(sys, root, place.target.fd, step);
  }
  const options = place.existed ? withModeOf(sys, place.target.fd, step) : step.options;
  using mount = makeFilesystem(sys, { ...step, options });
  change(sys, mount.fd, AT_RECURSIVE, options.recursive);
  if (options.copyUp) {
    loadPart(sys, "tare-runtime~copy-up").copyUp(sys, place.target.fd, mount.fd, step.target);
  }
  onMade?.(mount.fd);
  attach(sys, mount.fd, place.target.fd, step.target);
  propagate(sys, mount.fd, options);
  return step.target === "/" ? mount.release() : undefined;
}

class Place {
  readonly target: OwnedFd;
  readonly existed: boolean;

  constructor(target: OwnedFd, existed: boolean) {
    this.target = target;
    this.existed = existed;
  }

  [Symbol.dispose](): void {
    this.target.close();
  }
}

function openNewPlace(sys: Sys, root: Fd, { fstype, target, options }: NewMount): Place {
  // The kernel's own views must lie where they seem to lie: no link on the way (CVE-2019-19921).
  const strict = fstype === "proc" || fstype === "sysfs" || options.links.has("dest-nofollow");
  if (strict) return new Place(openOrdinary(sys, root, target, fstype), false);
  const found = openExisting(sys, root, target);
  return new Place(found ?? makePlace(sys, root, target, "directory"), found !== undefined);
}

function openOrdinary(sys: Sys, root: Fd, target: string, fstype: string): OwnedFd {
  try {
    return openOrCreatePlain(sys, root, target, "directory");
  } catch (cause) {
    if (!(cause instanceof SysError) || ![ENOTDIR, ELOOP].includes(cause.errno)) throw cause;
    const why = `${fstype} must be mounted on ordinary directory, not behind a link`;
    throw new TareError("bad_input", `Cannot mount on "${target}": ${why}`, { cause });
  }
}

/** A tmpfs has the mode of the directory that it covers, unless one is given: as runc and crun. */
function withModeOf(sys: Sys, place: Fd, { fstype, options }: NewMount): MountOptions {
  if (fstype !== "tmpfs" || options.data.some((word) => word.startsWith("mode="))) return options;
  const { mode } = statAt(sys, place, "", AT_EMPTY_PATH);
  return { ...options, data: [`mode=${(mode & 0o7777).toString(8)}`, ...options.data] };
}

/** What fsconfig(2) cannot take: the flag iversion, and long values but those of overlay layers. */
function wantsOldInterface({ fstype, source, options }: NewMount): boolean {
  return (
    source.length > VALUE_BYTES_MAX ||
    options.superblock.includes("iversion") ||
    options.data.some(
      (word) =>
        word.length > VALUE_BYTES_MAX &&
        word.length - word.indexOf("=") - 1 > VALUE_BYTES_MAX &&
        !(fstype === "overlay" && word.startsWith("lowerdir=")),
    )
  );
}

/** The source of a bind, detached, as the step or the parent (which may see more) opens it. */
export function openBindSource(sys: Sys, step: Pick<Bind, "source" | "options">): Fd {
  return check(cloneSource(sys, step), "open_tree", step.source);
}

function cloneSource(sys: Sys, { source, options }: Pick<Bind, "source" | "options">): Ret<Fd> {
  const below = options.bind === "rbind" ? AT_RECURSIVE : 0;
  const link = options.links.has("src-nofollow") ? AT_SYMLINK_NOFOLLOW : 0;
  return sys.open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | below | link);
}

/** A clone of one mount, without those below it, detached. */
export function openAttachedTree(sys: Sys, path: string): Fd {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  return check(sys.open_tree(AT_FDCWD, path, flags), "open_tree", path);
}

/**
 * Attaches an existing tree at a second place; the answer is its top where that is the new root.
 * `opened` is the parent's: it is used where this process may not open the source itself. What it
 * opens itself keeps the locks of a less privileged namespace, and shows what was mounted before; a peer of the
 * host's is the parent's, unless an earlier mount of the container's own lies over the source.
 */
export function attachBind(sys: Sys, root: Fd, step: Bind, opened: Fd | undefined): Fd | undefined {
  if (step.options.links.has("copy-symlink")) {
    if (loadPart(sys, "tare-runtime~mount-links").copyLink(sys, root, step)) return undefined;
  }
  using tree = new OwnedFd(sys, openSource(sys, step, opened));
  return attachTree(sys, root, step, tree);
}

/** Attaches a detached tree of a bind, with its options; the answer is its top, where it is the new root. */
export function attachTree(sys: Sys, root: Fd, step: Bind, tree: OwnedFd): Fd | undefined {
  const { options, target } = step;
  if (target === "/proc" && check(sys.fstatfs_type(tree.fd), "fstatfs") !== PROC_SUPER_MAGIC) {
    throw new TareError("bad_input", `Cannot bind "${step.source}" on "/proc": it is not procfs`);
  }
  using place = openBindPlace(sys, root, step, tree.fd);
  refuseRoot(sys, root, place.fd, target);
  changeBind(sys, tree.fd, step);
  change(sys, tree.fd, AT_RECURSIVE, options.recursive);
  attach(sys, tree.fd, place.fd, target);
  propagate(sys, tree.fd, options);
  return target === "/" ? tree.release() : undefined;
}

function openSource(sys: Sys, step: Bind, opened: Fd | undefined): Fd {
  if (opened === undefined) return openBindSource(sys, step);
  if (step.idmap !== undefined) return opened;
  const ret = cloneSource(sys, step);
  if (errnoOf(ret) !== 0) return opened;
  const own = check(ret, "open_tree", step.source);
  const [kept, other] = step.isPeer && isSame(sys, opened, own) ? [opened, own] : [own, opened];
  sys.close(other);
  return kept;
}

/** Whether both are the same directory or file. */
function isSame(sys: Sys, one: Fd, other: Fd): boolean {
  const [ours, theirs] = [one, other].map((fd) => statAt(sys, fd, "", AT_EMPTY_PATH));
  return (
    ours?.ino === theirs?.ino &&
    ours?.devMajor === theirs?.devMajor &&
    ours?.devMinor === theirs?.devMinor
  );
}

function openBindPlace(sys: Sys, root: Fd, { options, target }: Bind, tree: Fd): OwnedFd {
  const kind: FileKind = kindOf(sys, tree);
  if (!options.links.has("dest-nofollow")) return openOrCreate(sys, root, target, kind);
  return loadPart(sys, "tare-runtime~mount-links").openLast(sys, root, target, kind);
}

/** The flags of a bind; those that this user namespace may not change are looked at one by one. */
export function changeBind(
  sys: Sys,
  tree: Fd,
  { options, target }: Pick<Bind, "options" | "target">,
): void {
  const { set, clear } = bindAttributes(options);
  if (set === 0 && clear === 0) return;
  const ret = sys.mount_setattr(tree, "", AT_EMPTY_PATH, set, clear, 0, NO_FD);
  if (errnoOf(ret) !== EPERM) return void check(ret, "mount_setattr", target);
  loadPart(sys, "tare-runtime~mount-locked").changeLocked(sys, tree, options, target);
}

/** Sets how events travel, after the mount was attached: attaching to a shared place shares it. */
export function propagate(sys: Sys, mount: Fd, options: MountOptions): void {
  for (const { flag, recursive } of options.propagation) {
    const flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
    check(sys.mount_setattr(mount, "", flags, 0, 0, flag, NO_FD), "mount_setattr");
  }
}

/** Sets and clears attributes of a mount; with AT_RECURSIVE also of those below. */
export function change(sys: Sys, mount: Fd, flags: number, { set, clear }: Attributes): void {
  if (set === 0 && clear === 0) return;
  const all = AT_EMPTY_PATH | flags;
  check(sys.mount_setattr(mount, "", all, set, clear, 0, NO_FD), "mount_setattr");
}

/** Moves a detached mount onto an open place. */
export function attach(sys: Sys, mount: Fd, target: Fd, path: string): void {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  const ret = sys.move_mount(mount, "", target, "", flags);
  if (errnoOf(ret) === EINVAL) refuseOtherKind(sys, mount, target, path);
  check(ret, "move_mount", path);
}

/** move_mount(2) only says EINVAL; docker knows by these words that a file and a directory met. */
function refuseOtherKind(sys: Sys, mount: Fd, target: Fd, path: string): void {
  const kind = kindOf(sys, mount);
  if (kind === kindOf(sys, target)) return;
  const why = kind === "file" ? "the source is not a directory" : "it is not a directory";
  throw new TareError("bad_input", `Cannot mount a ${kind} on "${path}": ${why}`);
}

/** A link that leads to "/" would put the mount over the whole container, one into /proc over procfs. */
function refuseRoot(sys: Sys, root: Fd, target: Fd, path: string): void {
  if (path === "/") return;
  // What is named below /proc was looked at when it was planned.
  const isNamed = path === "/proc" || path.startsWith("/proc/");
  if (!isNamed && check(sys.fstatfs_type(target), "fstatfs", path) === PROC_SUPER_MAGIC) {
    throw new TareError("bad_input", `Cannot mount on "${path}": it leads into procfs`);
  }
  if (!isSame(sys, root, target)) return;
  throw new TareError("bad_input", `Cannot mount on "${path}": it leads to the root`);
}

/** Makes an attached mount read-only. */
export function makeReadonly(sys: Sys, root: Fd, path: string): void {
  using place = new OwnedFd(sys, check(lookup(sys, root, path, O_DIRECTORY), "openat2", path));
  const ret = sys.mount_setattr(place.fd, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY, 0, 0, NO_FD);
  if (errnoOf(ret) === EINVAL) {
    throw new TareError("bad_input", `Cannot make "${path}" read-only: it is no longer a mount`);
  }
  check(ret, "mount_setattr", path);
}
