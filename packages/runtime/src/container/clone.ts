/**
 * Makes the container's first process: one clone3(2) with all new namespaces. Where a user namespace
 * meets namespaces that are joined, a stage does the joining, so that the runtime stays on the host.
 */

import { TareError, toReport } from "@tare/spec/error.ts";
import type { Config, Linux } from "@tare/spec/oci-runtime.ts";
import { becomeNamespaceRoot, hide, show } from "../process/hidden.ts";
import { waitFor } from "../process/wait.ts";
import { EPERM } from "../sys/abi-errno.ts";
import { AT_FDCWD, NO_FD } from "../sys/abi-file.ts";
import {
  CLONE_INTO_CGROUP,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_PARENT,
  SIGCHLD,
} from "../sys/abi-process.ts";
import { check, during, errnoOf } from "../sys/check.ts";
import { writeTextAt } from "../sys/file.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { Channel } from "./channel.ts";
import { writeIdMaps } from "./id-maps.ts";
import { enterNamespace, joinNamespace, openNamespace } from "./namespace-apply.ts";
import { NAMESPACE_FLAGS } from "./namespaces.ts";
import type { CloneStep } from "./step.ts";

export type CloneRequest = {
  readonly config: Config;
  readonly step: CloneStep;
  /** The cgroup v2 directory to start in; undefined where there is none. */
  readonly cgroup: Fd | undefined;
};

/** Forks the first process; `become` runs in it and never returns. The answer is its pid here. */
export function cloneFirst(sys: Sys, request: CloneRequest, become: () => never): number {
  const { step } = request;
  // From the clone on, processes of a pid namespace that is not new can look at ours. Root's child
  // can be mapped by root all the same; others hide once their maps are written.
  const isNew = (step.flags & CLONE_NEWPID) !== 0;
  if (!isNew && sys.geteuid() === 0) hide(sys);
  if (step.stage) return cloneThroughStage(sys, request, become);
  for (const { type, path } of step.joined) joinNamespace(sys, type, path);
  let flags = step.flags;
  if (step.offsets !== undefined) {
    enterTimeNamespace(sys, step.offsets);
    flags &= ~CLONE_NEWTIME;
  }
  return cloneWith(sys, flags, SIGCHLD, request.cgroup, become);
}

function cloneWith(
  sys: Sys,
  flags: number,
  signal: number,
  cgroup: Fd | undefined,
  become: () => never,
): number {
  const into = cgroup === undefined ? 0 : CLONE_INTO_CGROUP;
  const pid = check(sys.clone3(flags + into, signal, cgroup ?? NO_FD), "clone3");
  if (pid !== 0) return pid;
  try {
    return become();
  } finally {
    // Whatever was thrown: what follows is the parent's, who would be undone from in here.
    sys.exit_group(1);
  }
}

/**
 * Clocks can be set only while nobody is in the namespace: it is unshared, which moves children only
 * (time_namespaces(7)).
 */
function enterTimeNamespace(sys: Sys, offsets: Linux["timeOffsets"]): void {
  check(sys.unshare(CLONE_NEWTIME), "unshare CLONE_NEWTIME");
  for (const clock of ["monotonic", "boottime"] as const) {
    const offset = offsets[clock];
    if (offset === undefined) continue;
    const line = `${clock} ${offset.secs} ${offset.nanosecs}\n`;
    during(
      () => `Cannot set linux.timeOffsets.${clock} to ${offset.secs} s, ${offset.nanosecs} ns`,
      () => writeTextAt(sys, AT_FDCWD, "/proc/self/timens_offsets", line, 0),
    );
  }
}

/** The stage joins, clones the first process as our child (CLONE_PARENT), tells its pid and ends. */
function cloneThroughStage(sys: Sys, request: CloneRequest, become: () => never): number {
  const [ours, theirs] = Channel.pair(sys);
  // The stage enters the cgroup, and the first process with it: from inside a user namespace, a cgroup
  // of the host's may not be named.
  const stage = cloneWith(sys, 0, SIGCHLD, request.cgroup, () => {
    ours.close();
    return runStage(sys, request, theirs, become);
  });
  theirs.close();
  try {
    return followStage(sys, request.config, ours, stage);
  } finally {
    ours.close();
    waitFor(sys, stage);
  }
}

function followStage(sys: Sys, config: Config, channel: Channel, stage: number): number {
  for (;;) {
    const message = channel.receive()?.message;
    if (message?.kind === "map") {
      writeIdMaps(sys, config.linux, stage);
      channel.send({ kind: "mapped" });
    } else if (message?.kind === "pid") return message.pid;
    else if (message?.kind === "error") {
      throw new TareError(message.report.code, message.report.message);
    } else throw new TareError("internal", "Cannot make the container's process: its stage ended");
  }
}

/**
 * Joins namespaces by their files, which are all opened first: the mount namespace changes every path.
 * The user namespace comes after what the caller has the right to join by itself, since from inside of
 * it what belongs to the host cannot be joined; and before the rest, which is its own.
 */
function joinAll(sys: Sys, joined: CloneStep["joined"]): void {
  using opened = new DisposableStack();
  const files = joined.map(({ type, path }) => {
    return { type, path, fd: opened.use(openNamespace(sys, type, path)).fd };
  });
  const join = ({ type, fd }: (typeof files)[number]) => sys.setns(fd, NAMESPACE_FLAGS[type]);
  const others = files.filter(({ type }) => type !== "user");
  const user = files.find(({ type }) => type === "user");
  const first = user === undefined ? [] : others;
  const later = first.filter((file) => {
    const ret = join(file);
    if (errnoOf(ret) !== EPERM) enterNamespace(file.type, file.path, ret);
    return errnoOf(ret) === EPERM;
  });
  for (const file of user === undefined ? others : [user, ...later]) {
    enterNamespace(file.type, file.path, join(file));
  }
}

function runStage(sys: Sys, request: CloneRequest, channel: Channel, become: () => never): never {
  const { step } = request;
  try {
    joinAll(sys, step.joined);
    let flags = step.flags;
    if ((flags & CLONE_NEWUSER) !== 0) {
      check(sys.unshare(CLONE_NEWUSER), "unshare CLONE_NEWUSER");
      channel.send({ kind: "map" });
      channel.expect("mapped");
      flags &= ~CLONE_NEWUSER;
    }
    becomeNamespaceRoot(sys);
    if (step.offsets !== undefined) {
      // What the clocks are set by belongs to the host's root as long as this process is hidden. In
      // the pid namespace of a container, where it could be traced, it is not.
      show(sys);
      enterTimeNamespace(sys, step.offsets);
      hide(sys);
      flags &= ~CLONE_NEWTIME;
    }
    const pid = cloneWith(sys, flags + CLONE_PARENT, 0, undefined, () => {
      // The stage's end of the channel: held open here, the end of a stage that is killed would not show.
      channel.close();
      return become();
    });
    channel.send({ kind: "pid", pid });
  } catch (error) {
    channel.sendLast({ kind: "error", report: toReport(error) });
  }
  sys.exit_group(0);
  throw new TareError("internal", "exit_group returned");
}
