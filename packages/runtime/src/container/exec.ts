/**
 * Starts a further process in a container, seen from the runtime: what it needs is opened here, the
 * stage goes in, and the answers of both are followed over one channel.
 */

import { fromReport, TareError } from "@tare/spec/error.ts";
import type { Process } from "@tare/spec/oci-runtime.ts";
import { freezerOf, isFrozen } from "../cgroup/freezer.ts";
import { type OpenCgroup, openJoin, openState } from "../cgroup/join.ts";
import { parseCgroupState } from "../cgroup/state.ts";
import { asksForScheduling } from "../process/plan.ts";
import { waitFor } from "../process/wait.ts";
import { readKeptFilter } from "../seccomp/kept.ts";
import { NO_FD } from "../sys/abi-file.ts";
import { CLONE_INTO_CGROUP, PR_SET_DUMPABLE, SIGCHLD } from "../sys/abi-process.ts";
import { check, errnoOf } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import type { Sys } from "../sys/types.ts";
import { Channel, type Received } from "./channel.ts";
import { planExec } from "./exec-plan.ts";
import type { ExecRecord } from "./exec-record.ts";
import { runStage, type StageGift } from "./exec-stage.ts";
import { listenerTaker } from "./listener.ts";
import { type ContainerDirectory, isAlive, type Record } from "./store.ts";

const LINK_BYTES_MAX = 64;

export type ExecRequest = {
  readonly directory: ContainerDirectory;
  readonly record: Record;
  readonly exec: ExecRecord;
  readonly process: Process;
  readonly preserveFds: number;
  readonly ignorePaused: boolean;
  /** Takes the terminal's side that is ours. */
  readonly onConsole: (terminal: OwnedFd) => void;
};

/** The answer is the pid, as we see it, of our child: the program runs. */
export function exec(sys: Sys, request: ExecRequest): number {
  // From here on, whoever shares our pid namespace and is not us shall not look (CVE-2016-9962).
  check(sys.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl PR_SET_DUMPABLE");
  const { record, exec: known, process } = request;
  using pidfd = openFirst(sys, record);
  using cgroup = openState(sys, parseCgroupState(record.cgroup));
  if (!request.ignorePaused) refusePaused(sys, record.id, cgroup);
  const steps = planExec(process, known, {
    isInUserNamespace: isInUserNamespace(sys, known, record.pid ?? 0),
    affinity: undefined,
    scheduling: asksForScheduling(known, process)
      ? loadPart(sys, "tare-runtime~scheduling").planScheduling(known, process)
      : [],
  });
  const join = openJoin(sys, cgroup);
  const [ours, theirs] = Channel.pair(sys);
  const { filterFlags: flags } = known;
  const stage = cloneStage(sys, {
    channel: theirs,
    steps,
    process,
    pidfd: pidfd.fd,
    join,
    filter:
      flags === undefined
        ? undefined
        : { program: readKeptFilter(sys, request.directory.fd), flags },
    preserveFds: request.preserveFds,
  });
  theirs.close();
  for (const fd of [...join.procs, ...(join.into === undefined ? [] : [join.into])]) sys.close(fd);
  return follow(sys, request, ours, stage);
}

/** The descriptor is opened before the check: whoever it is, it stays the same process. */
function openFirst(sys: Sys, record: Record): OwnedFd {
  const ret = sys.pidfd_open(record.pid ?? 0, 0);
  if (errnoOf(ret) !== 0) throw stopped(record.id);
  const pidfd = new OwnedFd(sys, check(ret, "pidfd_open"));
  if (isAlive(sys, record)) return pidfd;
  pidfd.close();
  throw stopped(record.id);
}

function stopped(id: string): TareError {
  return new TareError(
    "bad_state",
    `Cannot use container "${id}": cannot exec in a stopped container`,
  );
}

function refusePaused(sys: Sys, id: string, { state, dirs }: OpenCgroup): void {
  const place = freezerOf(state);
  const dir = place === undefined ? undefined : dirs[state.dirs.indexOf(place)];
  if (dir === undefined || !isFrozen(sys, dir.fd)) return;
  throw new TareError(
    "bad_state",
    `Cannot use container "${id}": cannot exec in a paused container`,
    { hint: "Use resume first, or --ignore-paused to wait until somebody does" },
  );
}

/** A process cannot join the user namespace that it is in (setns(2), EINVAL). */
function isInUserNamespace(sys: Sys, { linux }: ExecRecord, pid: number): boolean {
  if (!linux.namespaces.some(({ type }) => type === "user")) return false;
  return namespaceOf(sys, "self") === namespaceOf(sys, String(pid));
}

function namespaceOf(sys: Sys, pid: string): string {
  const link = new Uint8Array(LINK_BYTES_MAX);
  const path = `/proc/${pid}/ns/user`;
  const length = check(sys.readlinkat(NO_FD, path, link), "readlinkat", path);
  return sys.decode_utf8(link.subarray(0, length)) ?? "";
}

function cloneStage(sys: Sys, gift: StageGift): number {
  const { into } = gift.join;
  const flags = into === undefined ? 0 : CLONE_INTO_CGROUP;
  const pid = check(sys.clone3(flags, SIGCHLD, into ?? NO_FD), "clone3");
  return pid === 0 ? runStage(sys, gift) : pid;
}

/** Answers the stage and the process until the channel ends, which is the success of execve(2). */
function follow(sys: Sys, request: ExecRequest, channel: Channel, stage: number): number {
  let pid: number | undefined;
  try {
    for (let next = channel.receive(); next !== undefined; next = channel.receive()) {
      if (next.message.kind === "pid") pid = next.message.pid;
      else answer(sys, request, channel, next);
    }
    if (pid === undefined) throw early();
    waitFor(sys, stage);
    return pid;
  } catch (error) {
    // Both end by themselves: what they wait for is this channel.
    channel.close();
    waitFor(sys, stage);
    if (pid !== undefined) waitFor(sys, pid);
    throw error;
  } finally {
    channel.close();
  }
}

function answer(sys: Sys, request: ExecRequest, channel: Channel, received: Received): void {
  const { message, fds } = received;
  const [fd] = fds;
  if (message.kind === "error") throw fromReport(message.report);
  if (message.kind === "console" && fd !== undefined) request.onConsole(new OwnedFd(sys, fd));
  else if (message.kind === "listener" && fd !== undefined) {
    listenerTaker(sys, request.record)?.(fd);
  } else throw early();
  channel.send({ kind: "received" });
}

function early(): TareError {
  return new TareError("internal", "Cannot exec: the process ended before its program");
}
