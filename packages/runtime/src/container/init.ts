/**
 * The container's first process: applies the plan's steps in order and becomes the user's program.
 * It is a fork of the runtime, in the same heap, as pid 1 of the new namespaces. It leaves by execve
 * or exit_group, never by return: that would run the runtime's own end.
 */

import { assertNever, toReport } from "@tare/spec/error.ts";
import type { Config, HookName, State } from "@tare/spec/oci-runtime.ts";
import type { CgroupJoin } from "../cgroup/join.ts";
import { makeDevice, makeLink, takeDevices } from "../devices/apply.ts";
import type { OutsideDevices } from "../devices/outside.ts";
import { type Confinement, runHooks } from "../hooks/hooks.ts";
import { attachBind, attachNew, makeReadonly } from "../mounts/attach.ts";
import { mountCgroup } from "../mounts/cgroup.ts";
import { openOrCreate } from "../mounts/in-root.ts";
import { Masks, protectPath } from "../mounts/protect.ts";
import {
  attachRoot,
  pivot,
  setPropagation,
  setRootPropagation,
  setRootReadonly,
} from "../mounts/root.ts";
import { applyProcessStep, type Launch } from "../process/apply.ts";
import type { Program } from "../process/program.ts";
import type { Filter } from "../seccomp/flags.ts";
import { AT_FDCWD, NO_FD } from "../sys/abi-file.ts";
import { check } from "../sys/check.ts";
import { loadPart } from "../sys/part.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { Channel } from "./channel.ts";
import { ofStep } from "./failed-step.ts";
import { encodeLeft } from "./left.ts";
import { applyNamespaceStep } from "./namespace-apply.ts";
import { useOwnNull } from "./null-streams.ts";
import { openProcfs, writeProcfs } from "./procfs.ts";
import { waitForStart } from "./start-socket.ts";
import type {
  DeviceStep,
  MountStep,
  NamespaceStep,
  Plan,
  ProcessStep,
  ProtectStep,
  RootStep,
  Step,
} from "./step.ts";

/** What the first process is given by the runtime: descriptors opened while all privileges were there. */
export type InitGift = {
  readonly channel: Channel;
  readonly config: Pick<Config, "process" | "hooks">;
  readonly plan: Plan;
  /** What the hierarchies that clone3(2) does not join are joined by. */
  readonly join: CgroupJoin;
  /** A listening socket, where another process gives the word to start. */
  readonly startSocket: Fd | undefined;
  readonly bindSources: ReadonlyMap<number, Fd>;
  /** Devices that the host has not, for a user namespace. */
  readonly outsideDevices: OutsideDevices | undefined;
  readonly filter: Filter | undefined;
  readonly preserveFds: number;
  readonly state: State;
};

/** What the steps leave for later steps. */
export type InitState = {
  root: Fd;
  procfs: Fd;
  masks: Masks | undefined;
  /** Our own is 0, so that what is mounted and made has the modes that are asked for. */
  callerMask: number;
  /** The host's devices that are bound, by path. */
  devices: ReadonlyMap<string, Fd>;
  /** Where the program was found. */
  program: Program | undefined;
  /** Where the result of the start is told: the runtime, or who gave the word to start. */
  reportTo: Channel;
};

/** Applies the plan; never returns. */
export function runInit(sys: Sys, gift: InitGift): never {
  const state: InitState = {
    root: AT_FDCWD,
    procfs: AT_FDCWD,
    masks: undefined,
    callerMask: 0o077,
    devices: new Map(),
    program: undefined,
    reportTo: gift.channel,
  };
  applySteps(sys, gift, state, () => {
    state.callerMask = sys.umask(0);
  });
}

/** Does what the plan says, after `before`; never returns. */
export function applySteps(sys: Sys, gift: InitGift, state: InitState, before: () => void): never {
  const steps = gift.plan.init;
  let current = steps[0];
  try {
    before();
    for (current of steps) applyStep(sys, gift, state, current);
  } catch (thrown) {
    const error = current === undefined ? thrown : ofStep(thrown, steps, current);
    state.reportTo.sendLast({ kind: "error", report: toReport(error) });
  }
  sys.exit_group(1);
  throw new Error("exit_group returned");
}

/** One arm a kind of step; the rooms hold what each one does. */
function applyStep(sys: Sys, gift: InitGift, state: InitState, step: Step): void {
  switch (step.op) {
    case "join":
    case "become-root":
    case "hide":
    case "enter-cgroup":
    case "wait-cgroup":
    case "all-processors":
    case "cgroup-namespace":
    case "session":
    case "keyring":
    case "loopback":
    case "hostname":
    case "domainname":
      return applyNamespaceStep(sys, gift, step satisfies NamespaceStep);
    case "procfs":
    case "propagation":
    case "root":
    case "parent-hooks":
    case "hooks":
    case "take-devices":
    case "pivot":
    case "move-root":
    case "working-directory":
      return applyRootStep(sys, gift, state, step);
    case "mount":
    case "bind":
    case "mount-cgroup":
    case "remount":
    case "set-readonly":
      state.root = applyMountStep(sys, gift, state.root, step) ?? state.root;
      return;
    case "device":
    case "link":
    case "console":
      return applyDeviceStep(sys, gift, state, step);
    case "sysctl":
    case "read-only":
    case "mask":
    case "root-read-only":
    case "root-propagation":
      return applyProtectStep(sys, state, step);
    case "wait-start":
      if (state.root !== AT_FDCWD) useOwnNull(sys, state.root);
      state.masks?.[Symbol.dispose]();
      // Goes on in waiting.ts; a host without a heap of its own stays here.
      if (gift.startSocket !== undefined) sys.restart(encodeLeft(sys, gift, state));
      closeTree(sys, state);
      state.reportTo = waitForStart(sys, gift.channel, gift.startSocket, NO_FD);
      return;
    default:
      return applyProcessStep(sys, launchOf(gift, state), step satisfies ProcessStep);
  }
}

/**
 * What the tree was made through: our procfs has no masks, and who is in the container while this
 * process waits could reach it by /proc/1/fd.
 */
export function closeTree(sys: Sys, state: InitState): void {
  for (const fd of [state.root, state.procfs]) if (fd !== AT_FDCWD) sys.close(fd);
  state.root = AT_FDCWD;
  state.procfs = AT_FDCWD;
}

function launchOf(gift: InitGift, state: InitState): Launch {
  return {
    process: gift.config.process,
    filter: gift.filter,
    preserveFds: gift.preserveFds,
    procfs: state.procfs,
    reportTo: state.reportTo,
    get program() {
      return state.program;
    },
    set program(path) {
      state.program = path;
    },
  };
}

function applyRootStep(sys: Sys, gift: InitGift, state: InitState, step: RootStep): void {
  switch (step.op) {
    case "procfs":
      state.procfs = openProcfs(sys);
      return;
    case "propagation":
      return setPropagation(sys, step.flag);
    case "root":
      state.root = attachRoot(sys, step.path, step.guard);
      return;
    case "parent-hooks":
      gift.channel.send({ kind: "mounted" });
      gift.channel.expect("hooked");
      return;
    case "hooks":
      return runOwnHooks(sys, gift, state, step.name);
    case "take-devices":
      state.devices = takeDevices(sys, state.root, step.paths, gift.outsideDevices);
      return;
    case "pivot":
      pivot(sys, state.root, step.shared);
      return;
    case "move-root":
      return loadPart(sys, "tare-runtime~move-root").moveRoot(sys, state.root, state.procfs);
    case "working-directory":
      return openOrCreate(sys, state.root, step.path, "directory").close();
    default:
      return assertNever(step);
  }
}

/** Hooks that run in here have the caller's umask: what they make on the host is not for everybody. */
function runOwnHooks(sys: Sys, gift: InitGift, state: InitState, name: HookName): void {
  const hooks = gift.config.hooks[name];
  const told = { ...gift.state, pid: sys.getpid() };
  sys.umask(state.callerMask);
  if (name === "startContainer") {
    runHooks(sys, name, hooks, { ...told, status: "created" }, confinementOf(sys, gift, state));
  } else {
    // As with runc, they start in the container's root, seen from the host.
    check(sys.fchdir(state.root), "fchdir", "the root file system");
    runHooks(sys, name, hooks, { ...told, status: "created" });
  }
  sys.umask(0);
}

/**
 * A startContainer hook is a program of the container's tree. So its process does what is left of the
 * plan, but for becoming the container's program: it has the same user, capabilities and filter.
 */
function confinementOf(sys: Sys, gift: InitGift, state: InitState): Confinement {
  const steps = gift.plan.init;
  const hooks = steps.findIndex((step) => step.op === "hooks" && step.name === "startContainer");
  const rest = steps.slice(hooks + 1).filter((step) => step.op !== "execute");
  const without = { ...gift, preserveFds: 0 };
  return {
    env: state.program?.env ?? [],
    enter: () => {
      for (const step of rest) applyStep(sys, without, state, step);
    },
  };
}

/**
 * What the runtime opens because this process may not: before, or when the turn comes of an id-mapped one
 * or a peer of the host's. The order of mounts is that in which they were opened.
 */
function bindSource(gift: InitGift, step: Extract<MountStep, { op: "bind" }>): Fd | undefined {
  if (step.idmap === undefined && !step.isPeer) return gift.bindSources.get(step.index);
  gift.channel.send({ kind: "source", index: step.index });
  return gift.channel.expect("received").fds[0];
}

/** The answer is the new root, where the mount is one. */
function applyMountStep(sys: Sys, gift: InitGift, root: Fd, step: MountStep): Fd | undefined {
  switch (step.op) {
    case "mount":
      return attachNew(sys, root, step);
    case "bind":
      return attachBind(sys, root, step, bindSource(gift, step));
    case "mount-cgroup":
      return void mountCgroup(sys, root, step);
    case "remount":
      return void loadPart(sys, "tare-runtime~mount-old").remount(sys, root, step);
    case "set-readonly":
      return void makeReadonly(sys, root, step.target);
    default:
      return assertNever(step);
  }
}

function applyDeviceStep(sys: Sys, gift: InitGift, state: InitState, step: DeviceStep): void {
  switch (step.op) {
    case "device":
      return makeDevice(sys, state, step, state.devices);
    case "link":
      return makeLink(sys, state.root, step);
    case "console":
      return makeConsole(sys, gift, state.root, step);
    default:
      return assertNever(step);
  }
}

function makeConsole(
  sys: Sys,
  gift: InitGift,
  root: Fd,
  step: Extract<DeviceStep, { op: "console" }>,
): void {
  const { adoptTerminal, bindConsole, handOver, openConsole } = loadPart(
    sys,
    "tare-runtime~console",
  );
  const { ours, theirs } = openConsole(sys, root, step);
  bindConsole(sys, root, theirs.fd);
  handOver(sys, gift.channel, { ours, theirs }, gift.config.process?.user.uid ?? 0);
  adoptTerminal(sys, theirs.fd);
  theirs.close();
}

function applyProtectStep(sys: Sys, state: InitState, step: ProtectStep): void {
  switch (step.op) {
    case "sysctl":
      return writeProcfs(sys, state.procfs, `sys/${step.name}`, step.value);
    case "read-only":
      return protectPath(sys, state.root, step.path);
    case "mask":
      state.masks ??= new Masks(sys, state.root);
      return state.masks.mask(step.path);
    case "root-read-only":
      return setRootReadonly(sys, state.root);
    case "root-propagation":
      return setRootPropagation(sys, state.root, step.flag, step.recursive);
    default:
      return assertNever(step);
  }
}
