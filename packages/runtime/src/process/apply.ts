/**
 * Applies the process steps: limits, identity, privileges, and execve(2) at the end.
 * The order is the plan's; each arm is one or two system calls.
 */

import { assertNever, TareError } from "@tare/spec/error.ts";
import type { Process } from "@tare/spec/oci-runtime.ts";
import type { Channel } from "../container/channel.ts";
import { writeProcfs } from "../container/procfs.ts";
import type { ProcessStep, SchedulingStep } from "../container/step.ts";
import { type Filter, FLAG_NEW_LISTENER } from "../seccomp/flags.ts";
import { EACCES, EINVAL, EPERM } from "../sys/abi-errno.ts";
import { AT_EMPTY_PATH, S_IFIFO, S_IFMT, S_IFSOCK } from "../sys/abi-file.ts";
import {
  CAP_LAST,
  CAP_SYS_ADMIN,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_RAISE,
  PR_CAPBSET_DROP,
  PR_SET_KEEPCAPS,
  PR_SET_NO_NEW_PRIVS,
} from "../sys/abi-process.ts";
import { check, during, errnoOf, SysError } from "../sys/check.ts";
import { readTextAt } from "../sys/file.ts";
import { loadPart } from "../sys/part.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { enterDirectory } from "./directory.ts";
import { hide, keepHidden, show } from "./hidden.ts";
import { withinHeld, withinKnown } from "./plan.ts";
import { becomeProgram, closeAllBut, type Program, prepareProgram } from "./program.ts";

/** What the steps of the program need and leave. */
export type Launch = {
  readonly process: Process | undefined;
  readonly filter: Filter | undefined;
  readonly preserveFds: number;
  readonly procfs: Fd;
  readonly reportTo: Channel;
  program: Program | undefined;
};

const NUMBER_BYTES_MAX = 64;

/** A signal set without SIGKILL and SIGSTOP, which have one action. */
const EVERY_SIGNAL = 0xfffffffffffbfeffn;

export function applyProcessStep(sys: Sys, launch: Launch, step: ProcessStep): void {
  switch (step.op) {
    case "rlimit":
      return setRlimit(sys, step);
    case "oom-score":
      return setOomScore(sys, launch.procfs, step.value);
    case "apparmor":
      return writeProcfs(sys, launch.procfs, "self/attr/apparmor/exec", `exec ${step.profile}`);
    case "selinux":
      return writeProcfs(sys, launch.procfs, "self/attr/exec", step.label);
    case "find-program":
      launch.program = prepareProgram(sys, processOf(launch));
      return;
    case "no-new-privileges":
      return void check(sys.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl PR_SET_NO_NEW_PRIVS");
    case "default-signals":
      return void check(sys.default_signals(EVERY_SIGNAL), "sigaction");
    case "umask":
      sys.umask(step.mask);
      return;
    case "directory":
      return enterDirectory(sys, step.path);
    case "descriptors":
      return closeAllBut(sys, launch.reportTo.fd, launch.preserveFds);
    case "execute":
      return becomeProgram(sys, processOf(launch), launch.program);
    default:
      return applyPrivilegeStep(sys, launch, step);
  }
}

type PrivilegeStep = Extract<
  ProcessStep,
  {
    op:
      | SchedulingStep["op"]
      | "bounding-set"
      | "identity"
      | "capabilities"
      | "seccomp"
      | "wait-start";
  }
>;

function applyPrivilegeStep(sys: Sys, launch: Launch, step: PrivilegeStep): void {
  switch (step.op) {
    case "scheduler":
    case "io-priority":
    case "memory-policy":
    case "personality":
      return loadPart(sys, "tare-runtime~scheduling").applyScheduling(sys, step);
    case "bounding-set":
      return dropBoundingSet(sys, step.drop);
    case "identity":
      return becomeUser(sys, step);
    case "seccomp":
      return loadFilter(sys, launch);
    case "capabilities":
      return setCapabilities(sys, step);
    case "wait-start":
      throw new TareError("internal", "the start is waited for by the first process itself");
    default:
      return assertNever(step);
  }
}

function processOf(launch: Launch): Process {
  if (launch.process !== undefined) return launch.process;
  throw new TareError("bad_input", "Cannot start: the configuration has no process");
}

function setRlimit(sys: Sys, { limit, resource }: Extract<ProcessStep, { op: "rlimit" }>): void {
  const ret = sys.setrlimit(0, resource, limit.soft, limit.hard);
  const wanted = () =>
    `Cannot set process.rlimits ${limit.type} to ${limit.soft}:${limit.hard} (soft:hard)`;
  if (errnoOf(ret) !== EPERM) return during(wanted, () => void check(ret, "prlimit", limit.type));
  throw new TareError("no_permission", `${wanted()}: the hard limit may only be lowered`, {
    hint: "Raising it needs CAP_SYS_RESOURCE on the host",
  });
}

/** A write of the present value is left out: lowering it needs CAP_SYS_RESOURCE. */
function setOomScore(sys: Sys, procfs: Fd, value: number): void {
  const file = "self/oom_score_adj";
  const present = readTextAt(sys, procfs, file, NUMBER_BYTES_MAX)?.trim();
  if (present === String(value)) return;
  try {
    writeProcfs(sys, procfs, file, String(value));
  } catch (error) {
    if (!(error instanceof SysError) || error.errno !== EACCES || error.call !== "openat2") {
      throw error;
    }
    writeUnhidden(sys, procfs, file, String(value));
  }
}

/** The files of a process that is not dumpable belong to the host's root: ours are ours for one write. */
function writeUnhidden(sys: Sys, procfs: Fd, file: string, value: string): void {
  show(sys);
  try {
    writeProcfs(sys, procfs, file, value);
  } finally {
    hide(sys);
  }
}

function dropBoundingSet(sys: Sys, drop: readonly number[]): void {
  for (const capability of drop) {
    const ret = sys.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    // The kernel does not know this one, nor those after it: it cannot grant them either.
    if (errnoOf(ret) === EINVAL && capability > CAP_LAST) return;
    check(ret, "prctl PR_CAPBSET_DROP", String(capability));
  }
}

/** The capabilities survive the change of user: the filter is still to be loaded with them. */
function becomeUser(sys: Sys, step: Extract<ProcessStep, { op: "identity" }>): void {
  if (step.uid !== 0) giveStreams(sys, step.uid, step.gid);
  check(sys.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl PR_SET_KEEPCAPS");
  const grouped = sys.setgroups(Int32Array.from(step.groups));
  if (errnoOf(grouped) !== EPERM) check(grouped, "setgroups");
  else if (!step.groupsMayStay) throw groupsRefused(step.groups);
  keepHidden(sys, () => {
    check(sys.setresgid(step.gid, step.gid, step.gid), "setresgid", String(step.gid));
    check(sys.setresuid(step.uid, step.uid, step.uid), "setresuid", String(step.uid));
  });
  const permitted = heldCapabilities(sys);
  check(sys.capset(permitted, permitted, 0n), "capset");
}

function groupsRefused(groups: readonly number[]): TareError {
  return new TareError(
    "no_permission",
    `Cannot set the groups ${groups.join(", ")}: setgroups: EPERM`,
    {
      hint: "It needs CAP_SETGID, and a user namespace that does not forbid it (/proc/self/setgroups); leave out process.user.additionalGids",
    },
  );
}

/**
 * A program opens /dev/stdout as its own user: so pipes and sockets of ours become that user's. What
 * has a name on the host, a log file or a terminal, stays whose it is; where the kernel refuses, as for
 * an owner whom the user namespace does not know, the program has the stream nevertheless.
 */
function giveStreams(sys: Sys, uid: number, gid: number): void {
  for (const stream of [0, 1, 2] as Fd[]) {
    const type = statAt(sys, stream, "", AT_EMPTY_PATH).mode & S_IFMT;
    if (type === S_IFIFO || type === S_IFSOCK) sys.fchownat(stream, "", uid, gid, AT_EMPTY_PATH);
  }
}

/** The permitted set of this process. */
function heldCapabilities(sys: Sys): bigint {
  const bytes = new Uint8Array(24);
  check(sys.capget(bytes), "capget");
  const view = new DataView(bytes.buffer);
  return BigInt(view.getUint32(4, true)) | (BigInt(view.getUint32(16, true)) << 32n);
}

/**
 * A process with the capabilities that exist and, unless a user namespace gives them, that we hold; what
 * it cannot have is told.
 */
export function grantable(
  sys: Sys,
  wanted: Process,
  { inUserNamespace, warn }: { inUserNamespace: boolean; warn: (line: string) => void },
): Process {
  const { process: mapped, unknown } = withinKnown(wanted);
  const tell = (names: readonly string[], why: string) => {
    if (names.length > 0) warn(`process.capabilities: ${names.join(", ")} left out: ${why}`);
  };
  tell(unknown, "unknown capability");
  if (inUserNamespace) return mapped;
  const { process, lacking } = withinHeld(mapped, heldCapabilities(sys));
  tell(lacking, "our caller does not hold them");
  return process;
}

/** seccomp(2) wants no_new_privs or CAP_SYS_ADMIN, which this process still has. */
function loadFilter(sys: Sys, { filter, process, reportTo }: Launch): void {
  if (filter === undefined) return;
  const held = heldCapabilities(sys) & (1n << BigInt(CAP_SYS_ADMIN));
  if (process?.noNewPrivileges !== true && held === 0n) {
    throw new TareError(
      "no_permission",
      "Cannot load the seccomp filter: neither CAP_SYS_ADMIN nor no_new_privs",
      {
        hint: "Set process.noNewPrivileges",
      },
    );
  }
  if ((filter.flags & FLAG_NEW_LISTENER) !== 0) {
    return loadPart(sys, "tare-runtime~listener").loadNotifying(sys, filter, reportTo);
  }
  check(sys.seccomp_set_filter(filter.flags, filter.program), "seccomp SECCOMP_SET_MODE_FILTER");
}

function setCapabilities(sys: Sys, { sets }: Extract<ProcessStep, { op: "capabilities" }>): void {
  const ret = sys.capset(sets.effective, sets.permitted, sets.inheritable);
  if (errnoOf(ret) === EPERM) {
    throw new TareError(
      "no_permission",
      "Cannot set process.capabilities: a wanted one is not ours to give",
      {
        hint: "Compare CapBnd in /proc/self/status, and permitted with effective and inheritable",
      },
    );
  }
  check(ret, "capset");
  for (const capability of sets.ambient) {
    const raise = sys.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
    check(raise, "prctl PR_CAP_AMBIENT_RAISE", String(capability));
  }
}
