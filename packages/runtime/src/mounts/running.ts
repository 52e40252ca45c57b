/**
 * Mounts of a running container. Sources are opened here, on the host; a child then joins the
 * container and attaches them there, so that nothing of the container's tree is ever a path of ours.
 * The child cannot be looked at from inside, holds no other descriptor, and runs from a sealed file.
 */

import { fromReport, TareError, toReport } from "@tare/spec/error.ts";
import type { IdMapping, Mount } from "@tare/spec/oci-runtime.ts";
import { Channel } from "../container/channel.ts";
import { isOurs } from "../container/facts.ts";
import { ofStep } from "../container/failed-step.ts";
import { openHostProcfs, openProcfs } from "../container/procfs.ts";
import type { Record } from "../container/record.ts";
import type { MountStep } from "../container/step.ts";
import { becomeNamespaceRoot, hide } from "../process/hidden.ts";
import { ELOOP, ENOTDIR } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  F_DUPFD_CLOEXEC,
  NO_FD,
  O_DIRECTORY,
  O_PATH,
} from "../sys/abi-file.ts";
import { MNT_DETACH, MS_PRIVATE, MS_SLAVE, UMOUNT_NOFOLLOW } from "../sys/abi-mount.ts";
import {
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  SIGCHLD,
} from "../sys/abi-process.ts";
import { check, errnoOf } from "../sys/check.ts";
import { closeFrom, FIRST_FD } from "../sys/close-from.ts";
import { openAt, readText, retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { attachNew, attachTree, makeReadonly, openBindSource } from "./attach.ts";
import { lookupPlain, splitLast } from "./in-root.ts";
import { normalize, planLateReadonly, planMounts } from "./plan.ts";

const MAP_BYTES_MAX = 64 * 1024;

export type RunningMounts = {
  readonly record: Record;
  readonly mounts: readonly Mount[];
  /** Of the container's first process, which `pidfd` proves to be alive. */
  readonly pid: number;
  readonly pidfd: Fd;
};

/** Adds all mounts, or none. */
export function addMounts(sys: Sys, want: RunningMounts): void {
  const steps = planRunning(sys, want);
  const trees = steps.map((step) =>
    step.op === "bind" ? naming(steps, step, () => openTree(sys, step)) : undefined,
  );
  const makesProcfs = steps.some((step) => step.op === "mount" && step.fstype === "proc");
  const binds = trees.some((tree) => tree !== undefined);
  // Who is in the container's pid namespace could be made to give it away, and makes its own.
  using procfs = binds && !makesProcfs ? new OwnedFd(sys, openHostProcfs(sys)) : undefined;
  const open = [...trees, procfs].filter((each) => each !== undefined);
  const kept = open.map(({ fd }) => fd);
  try {
    inContainer(sys, { ...want, kept, makesProcfs }, () =>
      attachAll(sys, steps, trees, () => procfs?.fd ?? openProcfs(sys)),
    );
  } finally {
    for (const tree of trees) tree?.close();
  }
}

/** Detaches what is mounted at the destinations, with all below them. */
export function removeMounts(sys: Sys, want: RunningMounts): void {
  const targets = want.mounts.map(({ destination }) => normalize(destination));
  for (const target of targets) refuseRoot(target);
  // Inside, "/" is the container's root: no name leads out of it, and only its own mounts are there.
  inContainer(sys, { ...want, kept: [], makesProcfs: false }, () => {
    using root = openTop(sys);
    for (const target of targets) detach(sys, root.fd, target);
  });
}

/**
 * No link is followed: the container makes them, and by one that leads to /proc it would have what
 * protects it taken off. From a descriptor, whose directory cannot become a link meanwhile.
 */
function detach(sys: Sys, root: Fd, target: string): void {
  const [parent, name] = splitLast(target);
  const ret = lookupPlain(sys, root, parent, O_DIRECTORY);
  if (errnoOf(ret) === ELOOP || errnoOf(ret) === ENOTDIR) {
    const why = "what is on the way is a link, or no directory";
    throw new TareError("bad_input", `Cannot unmount "${target}": ${why}`, {
      hint: "Name the place as mountinfo of the container has it",
    });
  }
  using directory = new OwnedFd(sys, check(ret, "openat2", parent));
  check(sys.fchdir(directory.fd), "fchdir", parent);
  check(sys.umount2(name, MNT_DETACH | UMOUNT_NOFOLLOW), "umount2", target);
}

function openTop(sys: Sys): OwnedFd {
  const opened = openAt(sys, AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
  return new OwnedFd(sys, check(opened, "openat2", "/"));
}

function planRunning(sys: Sys, { record, mounts, pid }: RunningMounts): readonly MountStep[] {
  const maps = (kind: "uid" | "gid") => readMap(sys, `/proc/${pid}/${kind}_map`);
  const linux = { uidMappings: maps("uid"), gidMappings: maps("gid") };
  const config = { mounts, root: { path: record.rootfs }, linux };
  const steps = planMounts(config, {
    bundle: record.bundle,
    cgroupMount: (target) => {
      throw new TareError("unsupported", `Cannot mount a cgroup view on "${target}" afterwards`);
    },
  });
  for (const step of steps) {
    refuseRoot(step.target);
    if (step.op === "bind" && step.options.links.has("copy-symlink")) {
      throw new TareError("unsupported", `Cannot copy a link to "${step.target}" afterwards`);
    }
  }
  return [...steps, ...planLateReadonly(config, record.bundle)];
}

function refuseRoot(target: string): void {
  if (target !== "/") return;
  throw new TareError("bad_input", 'Cannot change the mount on "/" of a running container');
}

/** The container's map as user_namespaces(7) shows it: lines of id inside, id here, count. */
function readMap(sys: Sys, path: string): IdMapping[] {
  const text = readText(sys, path, MAP_BYTES_MAX) ?? "";
  return text.split("\n").flatMap((line) => {
    const [containerID, hostID, size] = line.split(" ").filter((word) => word !== "");
    if (size === undefined) return [];
    return [{ containerID: Number(containerID), hostID: Number(hostID), size: Number(size) }];
  });
}

/** Opened on the host a tree is its peer: it leaves that group before the container can reach it. */
function openTree(sys: Sys, step: Extract<MountStep, { op: "bind" }>): OwnedFd {
  const tree = new OwnedFd(sys, openBindSource(sys, step));
  const flag = step.options.propagation.length > 0 ? MS_SLAVE : MS_PRIVATE;
  const all = AT_EMPTY_PATH | AT_RECURSIVE;
  check(sys.mount_setattr(tree.fd, "", all, 0, 0, flag, NO_FD), "mount_setattr", step.source);
  if (step.idmap !== undefined) {
    const { mapOwners, openMaps } = loadPart(sys, "tare-runtime~idmap");
    using maps = openMaps(sys, step.idmap);
    const { recursive } = step.idmap;
    mapOwners(sys, tree.fd, maps.fd, { recursive, path: step.source });
  }
  return tree;
}

type Visit = RunningMounts & {
  /** Descriptors that the action needs. */
  readonly kept: readonly Fd[];
  /** A procfs shows the pid namespace of who makes it: then alone is that joined. */
  readonly makesProcfs: boolean;
};

/** Runs an action as root of the container, and passes its error on. */
function inContainer(sys: Sys, want: Visit, action: () => void): void {
  const [ours, theirs] = Channel.pair(sys);
  const path = `/proc/${want.pid}/ns/user`;
  const user = isOurs(sys, "user", path) ? 0 : CLONE_NEWUSER;
  hide(sys);
  const stage = check(sys.clone3(0, SIGCHLD, NO_FD), "clone3");
  if (stage === 0) {
    ours.close();
    enter(sys, { ...want, user, channel: theirs }, action);
  }
  theirs.close();
  const heard = hear(ours);
  ours.close();
  // Whatever was heard, or could not be: who ends well has done it all, and nobody else anything.
  const isDone = endsWell(sys, stage);
  if (heard.isToldByIt || !isDone) throw heard.error;
}

/** What the child tells of a failure; where it tells nothing, what to say if it failed all the same. */
function hear(channel: Channel): { readonly isToldByIt: boolean; readonly error: unknown } {
  try {
    const message = channel.receive()?.message;
    if (message?.kind === "error") {
      return { isToldByIt: true, error: fromReport(message.report) };
    }
  } catch (error) {
    return { isToldByIt: false, error };
  }
  const why = "Cannot change mounts: the process in the container ended";
  return { isToldByIt: false, error: new TareError("internal", why) };
}

/** Waits for a child; one whose status is lost is taken for one that ended well. */
function endsWell(sys: Sys, pid: number): boolean {
  const status = new Int32Array(1);
  retried(() => sys.wait4(pid, status, 0));
  return status[0] === 0;
}

type Entry = Visit & {
  readonly user: number;
  readonly channel: Channel;
};

/** Joins the container and acts in a child, which alone is in its pid namespace where that is joined. Never returns. */
function enter(sys: Sys, entry: Entry, action: () => void): never {
  const { pidfd, user, kept, makesProcfs, channel } = entry;
  try {
    closeFrom(sys, FIRST_FD, [...kept, pidfd, channel.fd]);
    // Who may trace in the container must not see a process with our rights (CVE-2016-9962).
    const pids = makesProcfs ? CLONE_NEWPID : 0;
    const others = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | pids;
    check(sys.setns(pidfd, user | others), "setns");
    sys.close(pidfd);
    const pid = check(sys.clone3(0, SIGCHLD, NO_FD), "clone3");
    if (pid !== 0) {
      channel.close();
      sys.exit_group(endsWell(sys, pid) ? 0 : 1);
    }
    if (user !== 0) becomeNamespaceRoot(sys);
    sys.umask(0);
    check(sys.chdir("/"), "chdir", "/");
    action();
    sys.exit_group(0);
  } catch (error) {
    channel.sendLast({ kind: "error", report: toReport(error) });
  }
  sys.exit_group(1);
  throw new Error("exit_group returned");
}

/**
 * What was attached before a failure is taken away again, last first: by its own descriptor, since a
 * name may lead to another mount by then. `procfs` gives one in which this process is.
 */
function attachAll(
  sys: Sys,
  steps: readonly MountStep[],
  trees: readonly (OwnedFd | undefined)[],
  procfs: () => Fd,
): void {
  using root = openTop(sys);
  const undo: (() => void)[] = [];
  try {
    for (const [index, step] of steps.entries()) {
      const attachment = { step, tree: trees[index], procfs };
      naming(steps, step, () => attachOne(sys, root.fd, attachment, undo));
    }
  } catch (error) {
    for (const takeAway of undo.reverse()) quietly(takeAway);
    throw error;
  }
}

/** An error says which entry of the list it is about. */
function naming<T>(steps: readonly MountStep[], step: MountStep, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw ofStep(error, steps, step);
  }
}

/** What fails while things are taken back would hide why they are. */
function quietly(action: () => void): void {
  try {
    action();
  } catch {
    // The first failure is what the caller is told.
  }
}

type Attachment = {
  readonly step: MountStep;
  readonly tree: OwnedFd | undefined;
  readonly procfs: () => Fd;
};

/** What undoes it is there before it is done: also a mount that is only attached half must go. */
function attachOne(
  sys: Sys,
  root: Fd,
  { step, tree, procfs }: Attachment,
  undo: (() => void)[],
): void {
  switch (step.op) {
    case "mount":
      return attachMade(sys, root, step, undo);
    case "bind":
      if (tree === undefined) return;
      undo.push(() => detachTop(sys, tree.fd, procfs));
      return void attachTree(sys, root, step, tree);
    case "remount":
      return loadPart(sys, "tare-runtime~mount-old").remount(sys, root, step);
    case "set-readonly":
      return makeReadonly(sys, root, step.target);
    default:
      throw new TareError("internal", `Cannot apply "${step.op}" to a running container`);
  }
}

function attachMade(
  sys: Sys,
  root: Fd,
  step: Extract<MountStep, { op: "mount" }>,
  undo: (() => void)[],
): void {
  const before = undo.length;
  attachNew(sys, root, step, (top) => {
    const kept = check(sys.fcntl(top, F_DUPFD_CLOEXEC, 0), "fcntl F_DUPFD_CLOEXEC") as Fd;
    undo.push(() => detachTop(sys, kept, () => kept));
  });
  // One that mount(2) made has no descriptor.
  if (undo.length === before) undo.push(() => detach(sys, root, step.target));
}

/** Nothing happens to one that was not attached yet. */
function detachTop(sys: Sys, top: Fd, procfs: () => Fd): void {
  if (errnoOf(sys.fchdir(top)) === 0) {
    sys.umount2(".", MNT_DETACH);
    return;
  }
  // No file can be a working directory, nor one of the host's that root of the container may not enter.
  if (errnoOf(sys.fchdir(procfs())) === 0) sys.umount2(`self/fd/${top}`, MNT_DETACH);
}
