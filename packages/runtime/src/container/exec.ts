/**
 * Starts a further process in a container, seen from the runtime: what it needs is opened here, the
 * stage goes in, and the answers of both are followed over one channel.
 */

import { fromReport, TareError } from "@tare/spec/error.ts";
import type { Process } from "@tare/spec/oci-runtime.ts";
import { isCgroupFrozen } from "../cgroup/freezer.ts";
import { parseCgroupState } from "../cgroup/state.ts";
import { planAffinity, printMask } from "../process/affinity.ts";
import { hide } from "../process/hidden.ts";
import { asksForScheduling } from "../process/plan.ts";
import { exitStatus, waitFor } from "../process/wait.ts";
import { FLAG_NEW_LISTENER } from "../seccomp/flags.ts";
import { readKeptFilter } from "../seccomp/kept.ts";
import { NO_FD, O_CLOEXEC, O_NOCTTY, O_RDWR } from "../sys/abi-file.ts";
import { SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSYS, SIGTERM } from "../sys/abi-process.ts";
import { POLLIN, SIGNALFD_SIGINFO_BYTES, TIOCGPTPEER } from "../sys/abi-socket.ts";
import { check, errnoOf } from "../sys/check.ts";
import { retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { Channel, type Received } from "./channel.ts";
import { type CgroupWish, cloneInto, openCgroups } from "./exec-cgroup.ts";
import { type ExecFacts, planExec } from "./exec-plan.ts";
import type { ExecRecord } from "./exec-record.ts";
import { runStage } from "./exec-stage.ts";
import { groupsMayStay, isRootless } from "./facts.ts";
import { passListener } from "./listener.ts";
import { type ContainerDirectory, isAlive } from "./store.ts";

const LINK_BYTES_MAX = 64;
/** How often is looked whether the container is frozen, once a signal has come. */
const LOOK_MS = 50;
const RESET_ON_FORK = "SCHED_FLAG_RESET_ON_FORK";
const ENDING: ReadonlySet<number> = new Set([SIGHUP, SIGINT, SIGQUIT, SIGTERM]);

export type ExecRequest = CgroupWish & {
  readonly directory: ContainerDirectory;
  readonly exec: ExecRecord;
  readonly process: Process;
  readonly preserveFds: number;
  /** Takes the terminal's side that is ours. */
  readonly onConsole: (terminal: OwnedFd) => void;
  /** Readable when a signal came for us: until the program runs it ends the attempt. */
  readonly signals: Fd;
  readonly debug: (message: string) => void;
};

/** The answer is the pid, as we see it, of our child: the program runs. */
export function exec(sys: Sys, request: ExecRequest): number {
  // From here on, whoever shares our pid namespace and is not us shall not look (CVE-2016-9962).
  hide(sys);
  const { record, exec: known, process, debug } = request;
  using pidfd = openFirst(sys, request);
  const { initial, final } = planAffinity(process);
  if (initial !== undefined) {
    debug(`nsexec: affinity: ${printMask(initial)}`);
    check(sys.sched_setaffinity(0, initial), "sched_setaffinity", "execCPUAffinity.initial");
  }
  debug("nsexec container setup: the container's namespaces are joined");
  const facts = {
    groupsMayStay:
      (hasUserNamespace(known) || isRootless(sys)) && groupsMayStay(sys, process, record.pid ?? 0),
    isInUserNamespace: isInUserNamespace(sys, known, record.pid ?? 0),
    processors: final,
    scheduling: asksForScheduling(known, process)
      ? loadPart(sys, "tare-runtime~scheduling").planScheduling(known, process)
      : [],
  };
  // Before the clone, so that the process is never outside of them: it has what we have.
  if (record.resctrl !== undefined) {
    loadPart(sys, "tare-runtime~resctrl").putInto(sys, record.resctrl, sys.getpid());
  }
  const notifies = ((known.filterFlags ?? 0) & FLAG_NEW_LISTENER) !== 0;
  const forksFirst = notifies || losesPolicy(process);
  using terminal = new KeptTerminal(sys);
  const attempt = (fork: ExecFacts["fork"]) =>
    new Attempt(sys, request, { pidfd: pidfd.fd, terminal }, { ...facts, fork }).follow();
  const pid = (forksFirst ? undefined : attempt("late")) ?? attempt("early");
  if (pid === undefined) throw early();
  debug(`child process in init(): pid ${pid}`);
  debug("setns_init: about to exec: done");
  return pid;
}

/** Its policy would end at the fork, as is asked of its own children, or forbid it (sched(7)). */
function losesPolicy({ scheduler }: Process): boolean {
  const resets = scheduler?.flags.includes(RESET_ON_FORK) === true;
  return resets || scheduler?.policy === "SCHED_DEADLINE";
}

/** The descriptor is opened before the check: whoever it is, it stays the same process. */
function openFirst(sys: Sys, { record }: ExecRequest): OwnedFd {
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

/** Who joins one has every capability in it. */
export function hasUserNamespace({ linux }: Pick<ExecRecord, "linux">): boolean {
  return linux.namespaces.some(({ type }) => type === "user");
}

/** A process cannot join the user namespace that it is in (setns(2), EINVAL). */
function isInUserNamespace(sys: Sys, { linux }: ExecRecord, pid: number): boolean {
  if (!hasUserNamespace({ linux })) return false;
  return namespaceOf(sys, "self") === namespaceOf(sys, String(pid));
}

function namespaceOf(sys: Sys, pid: string): string {
  const link = new Uint8Array(LINK_BYTES_MAX);
  const path = `/proc/${pid}/ns/user`;
  const length = check(sys.readlinkat(NO_FD, path, link), "readlinkat", path);
  return sys.decode_utf8(link.subarray(0, length)) ?? "";
}

/** The program's side of a terminal that was given away: a second attempt goes on with it. */
class KeptTerminal implements Disposable {
  readonly #sys: Sys;
  #theirs: OwnedFd | undefined;

  constructor(sys: Sys) {
    this.#sys = sys;
  }

  get fd(): Fd | undefined {
    return this.#theirs?.fd;
  }

  /** Before it is given away: who reads it sees its end once nobody has the other side open. */
  keepPeerOf(ours: Fd): void {
    const flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
    const peer = check(this.#sys.ioctl(ours, TIOCGPTPEER, flags), "ioctl TIOCGPTPEER");
    this.#theirs = new OwnedFd(this.#sys, peer as Fd);
  }

  [Symbol.dispose](): void {
    this.#theirs?.close();
  }
}

type Held = { readonly pidfd: Fd; readonly terminal: KeptTerminal };

/** One stage, and the process that it forks. */
class Attempt {
  readonly #sys: Sys;
  readonly #request: ExecRequest;
  readonly #channel: Channel;
  readonly #stage: number;
  readonly #terminal: KeptTerminal;
  #pid: number | undefined;
  /** A signal that asks for the end, and came before there was a program to pass it to. */
  #early: number | undefined;

  constructor(sys: Sys, request: ExecRequest, { pidfd, terminal }: Held, facts: ExecFacts) {
    const { process, exec: known, preserveFds, directory } = request;
    const { filterFlags: flags } = known;
    const steps = planExec(process, known, facts);
    const filter =
      flags === undefined ? undefined : { program: readKeptFilter(sys, directory.fd), flags };
    using join = openCgroups(sys, request);
    const [ours, theirs] = Channel.pair(sys);
    this.#sys = sys;
    this.#request = request;
    this.#channel = ours;
    this.#terminal = terminal;
    this.#stage = cloneInto(sys, join, request);
    if (this.#stage === 0) {
      const gift = { channel: theirs, steps, process, pidfd, join, filter, preserveFds };
      runStage(sys, { ...gift, terminal: terminal.fd });
    }
    theirs.close();
  }

  /**
   * The pid, when the end of the channel says that execve(2) has succeeded; undefined where the
   * container's own filter does not let it begin.
   */
  follow(): number | undefined {
    try {
      for (let next = this.#receive(); next !== undefined; next = this.#receive()) {
        if (next.message.kind === "pid") this.#born(next.message.pid);
        else if (next.message.kind === "refused") return this.#end();
        else this.#answer(next);
      }
      if (this.#pid !== undefined) waitFor(this.#sys, this.#stage);
      else if (exitStatus(waitFor(this.#sys, this.#stage)) !== 128 + SIGSYS) throw early();
      return this.#pid;
    } catch (error) {
      if (!(error instanceof Interrupted)) this.#end();
      throw error;
    } finally {
      this.#channel.close();
    }
  }

  /** The stage has done its work: it ends by itself, unless the filter refuses it that. */
  #born(pid: number): void {
    this.#pid = pid;
    this.#sys.kill(this.#stage, SIGKILL);
    if (this.#early !== undefined) this.#sys.kill(pid, this.#early);
  }

  /** Ends both. Why is known to the caller: what fails here is not told. */
  #end(): undefined {
    const isKilled = this.#kill(this.#stage);
    this.#pid ??= this.#unheard();
    this.#channel.close();
    // One that may not be killed gets no more answers, and ends for want of them.
    if (!isKilled) this.#reap(this.#stage);
    if (this.#pid !== undefined) this.#kill(this.#pid);
    this.#pid = undefined;
  }

  /** Waiting for one that was not killed could take for ever. */
  #kill(pid: number): boolean {
    if (errnoOf(this.#sys.kill(pid, SIGKILL)) !== 0) return false;
    this.#reap(pid);
    return true;
  }

  #reap(pid: number): void {
    retried(() => this.#sys.wait4(pid, new Int32Array(1), 0));
  }

  /** Where receiving failed, the stage may have told of a process that nobody else knows. */
  #unheard(): number | undefined {
    try {
      for (;;) {
        const set = Int32Array.of(this.#channel.fd, POLLIN, 0);
        if (check(this.#sys.poll(set, 0), "poll") === 0) return undefined;
        const message = this.#channel.receive()?.message;
        if (message === undefined) return undefined;
        if (message.kind === "pid") return message.pid;
      }
    } catch {
      return undefined;
    }
  }

  /**
   * In a frozen cgroup the stage waits for ever: then a signal ends us, and the stage when it can. One
   * that is not frozen may have forked already, what it will tell at once: the signal is the program's.
   */
  #receive(): Received | undefined {
    const { signals } = this.#request;
    while (this.#pid === undefined) {
      const set = Int32Array.of(this.#channel.fd, POLLIN, 0, signals, POLLIN, 0);
      retried(() => this.#sys.poll(set, this.#early === undefined ? -1 : LOOK_MS));
      if (set[2] !== 0) break;
      const signal = set[5] === 0 ? undefined : nextSignal(this.#sys, signals);
      const isEnding = signal !== undefined && ENDING.has(signal);
      const isSecond = isEnding && this.#early !== undefined;
      if (isEnding) this.#early = signal;
      if (this.#early === undefined || !(isSecond || this.#isFrozen())) continue;
      this.#sys.kill(this.#stage, SIGKILL);
      throw new Interrupted("bad_state", "Cannot exec: interrupted by a signal");
    }
    return this.#channel.receive();
  }

  #isFrozen(): boolean {
    return isCgroupFrozen(this.#sys, parseCgroupState(this.#request.record.cgroup));
  }

  #answer({ message, fds: [fd] }: Received): void {
    const { record, onConsole } = this.#request;
    if (message.kind === "error") throw fromReport(message.report);
    if (message.kind === "console" && fd !== undefined) {
      this.#terminal.keepPeerOf(fd);
      onConsole(new OwnedFd(this.#sys, fd));
    } else if (message.kind === "listener" && fd !== undefined) {
      passListener(this.#sys, record, "running", this.#pid ?? 0, fd);
    } else throw early();
    this.#channel.send({ kind: "received" });
  }
}

function nextSignal(sys: Sys, signals: Fd): number {
  const info = new Uint8Array(SIGNALFD_SIGINFO_BYTES);
  const ret = retried(() => sys.read(signals, info));
  return errnoOf(ret) === 0 ? new DataView(info.buffer).getUint32(0, true) : 0;
}

class Interrupted extends TareError {}

function early(): TareError {
  return new TareError("internal", "Cannot exec: the process ended before its program");
}
