/**
 * Applies mount steps: every file system is made detached, gets its attributes, and is then moved
 * onto a descriptor of its place. There is no moment in which it is attached without them.
 */

import { TareError } from "@tare/spec/error.ts";
import type { MountStep } from "../container/step.ts";
import { EINVAL } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  NO_FD,
  O_DIRECTORY,
  PROC_SUPER_MAGIC,
} from "../sys/abi-file.ts";
import {
  FSCONFIG_CMD_CREATE,
  FSCONFIG_SET_FLAG,
  FSCONFIG_SET_STRING,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  MOUNT_ATTR_RDONLY,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_EMPTY_PATH,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
} from "../sys/abi-mount.ts";
import { check, errnoOf } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { kindOf, lookup, openOrCreate, openOrCreatePlain } from "./in-root.ts";
import { type Attributes, fsmountAttributes, type MountOptions } from "./options.ts";

const LOG_BYTES = 512;

type NewMount = Extract<MountStep, { op: "mount" }>;
type Bind = Extract<MountStep, { op: "bind" }>;

/** Makes one new file system and attaches it. */
export function attachNew(sys: Sys, root: Fd, step: NewMount): void {
  // The kernel's own views must lie where they seem to lie: no link on the way (CVE-2019-19921).
  const strict = step.fstype === "proc" || step.fstype === "sysfs";
  using target = strict
    ? openOrCreatePlain(sys, root, step.target)
    : openOrCreate(sys, root, step.target, "directory");
  refuseRoot(sys, root, target.fd, step.target);
  using mount = makeFilesystem(sys, step);
  setAttributes(sys, mount.fd, step.options);
  if (step.options.copyUp) {
    loadPart(sys, "tare-runtime~copy-up").copyUp(sys, target.fd, mount.fd, step.target);
  }
  attach(sys, mount.fd, target.fd, step.target);
}

/** fsopen(2), fsconfig(2), fsmount(2): a file system that is nowhere yet. */
export function makeFilesystem(
  sys: Sys,
  want: Pick<NewMount, "fstype" | "source" | "options">,
): OwnedFd {
  using context = new OwnedFd(
    sys,
    check(sys.fsopen(want.fstype, FSOPEN_CLOEXEC), "fsopen", want.fstype),
  );
  configure(sys, context.fd, want.fstype, "source", want.source);
  for (const word of want.options.data) {
    const equals = word.indexOf("=");
    if (equals < 0) configure(sys, context.fd, want.fstype, word, undefined);
    else configure(sys, context.fd, want.fstype, word.slice(0, equals), word.slice(equals + 1));
  }
  const made = sys.fsconfig(context.fd, FSCONFIG_CMD_CREATE, null, null, 0);
  if (errnoOf(made) !== 0) fail(sys, context.fd, want.fstype, made);
  const attributes = fsmountAttributes(want.options);
  return new OwnedFd(
    sys,
    check(sys.fsmount(context.fd, FSMOUNT_CLOEXEC, attributes), "fsmount", want.fstype),
  );
}

function configure(
  sys: Sys,
  context: Fd,
  fstype: string,
  key: string,
  value: string | undefined,
): void {
  const command = value === undefined ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
  const ret = sys.fsconfig(context, command, key, value ?? null, 0);
  if (errnoOf(ret) !== 0) fail(sys, context, `${fstype}" option "${key}`, ret);
}

/** The kernel's own words about a failed file system, which it keeps on the context (fsopen(2)). */
function fail(sys: Sys, context: Fd, subject: string, ret: ReturnType<Sys["fsconfig"]>): never {
  const log = new Uint8Array(LOG_BYTES);
  const length = sys.read(context, log) as unknown as number;
  const words = length > 2 ? (sys.decode_utf8(log.subarray(2, length)) ?? "").trim() : "";
  try {
    check(ret, "fsconfig", subject);
  } catch (error) {
    if (words === "" || !(error instanceof TareError)) throw error;
    throw new TareError(error.code, `${error.message}: ${words}`, { cause: error });
  }
  throw new TareError("internal", "a call that failed has no error");
}

/** The source of a bind, detached, as the step or the parent (which may see more) opens it. */
export function openBindSource(sys: Sys, step: Pick<Bind, "source" | "options">): Fd {
  const below = step.options.bind === "rbind" ? AT_RECURSIVE : 0;
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | below;
  return check(sys.open_tree(AT_FDCWD, step.source, flags), "open_tree", step.source);
}

/** A clone of one mount, without those below it, detached. */
export function openAttachedTree(sys: Sys, path: string): Fd {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  return check(sys.open_tree(AT_FDCWD, path, flags), "open_tree", path);
}

/** Attaches an existing tree at a second place. */
export function attachBind(sys: Sys, root: Fd, step: Bind, opened: Fd | undefined): void {
  using tree = new OwnedFd(sys, opened ?? openBindSource(sys, step));
  if (step.target === "/proc" && check(sys.fstatfs_type(tree.fd), "fstatfs") !== PROC_SUPER_MAGIC) {
    throw new TareError("bad_input", `Cannot bind "${step.source}" on "/proc": it is not procfs`);
  }
  using target = openOrCreate(sys, root, step.target, kindOf(sys, tree.fd));
  refuseRoot(sys, root, target.fd, step.target);
  setAttributes(sys, tree.fd, step.options);
  attach(sys, tree.fd, target.fd, step.target);
}

/** Gives a detached mount its attributes and propagation. */
function setAttributes(sys: Sys, mount: Fd, options: MountOptions): void {
  if (options.bind !== "none") change(sys, mount, 0, options.attributes);
  change(sys, mount, AT_RECURSIVE, options.recursive);
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
  check(sys.move_mount(mount, "", target, "", flags), "move_mount", path);
}

/** A link that leads to "/" would put the mount over the whole container, one into /proc over procfs. */
function refuseRoot(sys: Sys, root: Fd, target: Fd, path: string): void {
  // What is named below /proc was looked at when it was planned.
  const isNamed = path === "/proc" || path.startsWith("/proc/");
  if (!isNamed && check(sys.fstatfs_type(target), "fstatfs", path) === PROC_SUPER_MAGIC) {
    throw new TareError("bad_input", `Cannot mount on "${path}": it leads into procfs`);
  }
  const [one, other] = [root, target].map((fd) => statAt(sys, fd, "", AT_EMPTY_PATH));
  if (one === undefined || other === undefined || one.ino !== other.ino) return;
  if (one.devMajor !== other.devMajor || one.devMinor !== other.devMinor) return;
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
