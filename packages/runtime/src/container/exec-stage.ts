/**
 * Applies the plan of a further process in a container: first in the stage, which stays outside of
 * the container's pid namespace, then in the process that it forks. Both leave by execve or
 * exit_group, never by return: that would run the runtime's own end.
 */

import { toReport } from "@tare/spec/error.ts";
import type { Process } from "@tare/spec/oci-runtime.ts";
import { type CgroupJoin, joinCgroup } from "../cgroup/join.ts";
import { applyProcessStep, type Launch } from "../process/apply.ts";
import { becomeNamespaceRoot, hide } from "../process/hidden.ts";
import type { Filter } from "../seccomp/flags.ts";
import { EAGAIN, ENOMEM } from "../sys/abi-errno.ts";
import { AT_FDCWD, O_DIRECTORY, O_PATH } from "../sys/abi-file.ts";
import { CLONE_PARENT, SIGKILL } from "../sys/abi-process.ts";
import { TIOCSCTTY } from "../sys/abi-socket.ts";
import { check, errnoOf } from "../sys/check.ts";
import { closeFrom, FIRST_FD } from "../sys/close-from.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import type { Fd, Ret, Sys } from "../sys/types.ts";
import type { Channel } from "./channel.ts";
import { joinKeyring } from "./keyring.ts";
import { openHostProcfs } from "./procfs.ts";
import type { EntryStep, ExecStep } from "./step.ts";

const STDIN = 0 as Fd;
const LONG_MS = 1000;

/** What the stage is given: descriptors opened while all privileges were there. */
export type StageGift = {
  readonly channel: Channel;
  readonly steps: readonly ExecStep[];
  readonly process: Process;
  /** The container's first process. */
  readonly pidfd: Fd;
  readonly join: CgroupJoin;
  readonly filter: Filter | undefined;
  readonly preserveFds: number;
  /** The program's side of the terminal, where an attempt before has made one. */
  readonly terminal: Fd | undefined;
};

/** Applies the plan; never returns. */
export function runStage(sys: Sys, gift: StageGift): never {
  const { channel, process, filter, preserveFds } = gift;
  try {
    const launch: Launch = {
      process,
      filter,
      preserveFds,
      procfs: needsProcfs(gift.steps) ? openHostProcfs(sys) : AT_FDCWD,
      reportTo: channel,
      program: undefined,
    };
    for (const step of gift.steps) applyStep(sys, gift, launch, step);
  } catch (error) {
    channel.sendLast({ kind: "error", report: toReport(error) });
  }
  sys.exit_group(1);
  throw new Error("exit_group returned");
}

/** Before the container is entered the host's procfs is in sight, and nobody inside can touch it. */
function needsProcfs(steps: readonly ExecStep[]): boolean {
  return steps.some(({ op }) => op === "oom-score" || op === "apparmor" || op === "selinux");
}

function applyStep(sys: Sys, gift: StageGift, launch: Launch, step: ExecStep): void {
  switch (step.op) {
    case "enter-cgroup":
      return joinCgroup(sys, gift.join);
    case "affinity":
      return void check(sys.sched_setaffinity(0, step.mask), "sched_setaffinity");
    case "leave-host":
      // What our caller's environment holds is not for the container (CVE-2016-9962).
      sys.forget_environ();
      // And our words may have secrets of the program's environment, which its other users must not see.
      sys.forget_words();
      // But the channel, the container's process, its terminal, and what is passed on.
      return closeFrom(sys, FIRST_FD + gift.preserveFds, [
        ...[gift.channel.fd, gift.pidfd],
        ...(gift.terminal === undefined ? [] : [gift.terminal]),
      ]);
    case "enter":
      check(sys.setns(gift.pidfd, step.namespaces), "setns");
      sys.close(gift.pidfd);
      return;
    case "become-root":
      return becomeNamespaceRoot(sys);
    case "keyring":
      return joinKeyring(sys, step.name);
    case "terminal":
      return makeTerminal(sys, gift, step);
    case "hide":
      return hide(sys);
    case "fork":
      return fork(sys, gift.channel);
    case "session":
      return unlessRefused(sys, gift.channel, sys.setsid());
    case "control-terminal":
      // Whose else it is the container decides, so that is no reason to be seen with more rights.
      return void check(sys.ioctl(STDIN, TIOCSCTTY, 0), "ioctl TIOCSCTTY");
    default:
      return applyProcessStep(sys, launch, step);
  }
}

/** A pair of the container's own devpts; our caller gets one side, the standard streams the other. */
function makeTerminal(
  sys: Sys,
  { channel, process, terminal }: StageGift,
  size: Extract<EntryStep, { op: "terminal" }>,
): void {
  const { handOver, openConsole, takeStreams } = loadPart(sys, "tare-runtime~console");
  if (terminal !== undefined) {
    takeStreams(sys, terminal);
    return void sys.close(terminal);
  }
  const opened = openAt(sys, AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
  using root = new OwnedFd(sys, check(opened, "openat2", "/"));
  const { ours, theirs } = openConsole(sys, root.fd, size);
  handOver(sys, channel, { ours, theirs }, process.user.uid);
  takeStreams(sys, theirs.fd);
  theirs.close();
}

/**
 * The new process is our parent's child; this one tells its number and ends. A filter may bind both
 * by now: clone(2) and write(2) are what is refused least.
 */
function fork(sys: Sys, channel: Channel): void {
  const ret = sys.fork(CLONE_PARENT);
  // That there is no room the container can bring about, just for that moment.
  if (errnoOf(ret) !== EAGAIN && errnoOf(ret) !== ENOMEM) unlessRefused(sys, channel, ret);
  const pid = check(ret, "clone CLONE_PARENT");
  if (pid === 0) return;
  try {
    channel.write({ kind: "pid", pid });
  } catch (error) {
    // Nobody else knows of it.
    sys.kill(pid, SIGKILL);
    throw error;
  }
  sys.exit_group(0);
  // A filter may refuse even that; who got the number kills this process.
  for (;;) sys.sleep_ms(LONG_MS);
}

/**
 * What only the container's filter can refuse is tried again before it is loaded: by a process that who may
 * trace inside sees with all rights. So nothing that the container itself can make fail comes here.
 */
function unlessRefused(sys: Sys, channel: Channel, ret: Ret<unknown>): void {
  if (errnoOf(ret) === 0) return;
  channel.write({ kind: "refused" });
  sys.exit_group(1);
  for (;;) sys.sleep_ms(LONG_MS);
}
