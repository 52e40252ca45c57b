/**
 * criu as a service of ours: one process for one request, spoken to over a socket. It tells what it is
 * about to do and waits for our word, which its command line cannot: that is when hooks run and a
 * terminal changes hands. Source: criu.org/RPC, `criu swrk`.
 */

import { TareError } from "@tare/spec/error.ts";
import { becomeHostProgram } from "../process/capture.ts";
import { waitFor } from "../process/wait.ts";
import { ECONNRESET, EPIPE } from "../sys/abi-errno.ts";
import { NO_FD, O_CLOEXEC } from "../sys/abi-file.ts";
import { CLONE_INTO_CGROUP, SIGCHLD, SIGKILL } from "../sys/abi-process.ts";
import {
  AF_UNIX,
  MSG_CMSG_CLOEXEC,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_SEQPACKET,
} from "../sys/abi-socket.ts";
import { check, errnoOf } from "../sys/check.ts";
import { decodeText, readAll, retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import {
  type Answer,
  decodeAnswer,
  encodeNotified,
  encodeRequest,
  type Option,
  REQUEST,
} from "./messages.ts";
import { CRIU } from "./program.ts";

const ANSWER_BYTES_MAX = 64 * 1024;
const COMPLAINT_BYTES_MAX = 64 * 1024;
const FDS_MAX = 4;
const EXIT_NOT_STARTED = 126;

/** How criu's process begins. */
export type Beginning = {
  /** A v2 cgroup that it is made in. */
  readonly into: Fd | undefined;
  /** Called in its process before it executes. */
  readonly enter: () => void;
  /** Descriptors that it is given under their numbers. */
  readonly keep: readonly Fd[];
};

/** What criu is about to do, and what comes with that. */
export type Notice = {
  /** criu's name of it, as `setup-namespaces`. */
  readonly script: string;
  /** The container's first process, where there is one already. */
  readonly pid: number | undefined;
  /** Taken by `release`, else closed. */
  readonly fd: OwnedFd | undefined;
};

/** How it ended; no answer: it went away in the middle. */
export type Outcome = { readonly answer: Answer | undefined; readonly status: number };

export class CriuService {
  readonly pid: number;
  readonly #sys: Sys;
  readonly #socket: OwnedFd;
  #isWaitedFor = false;

  private constructor(sys: Sys, pid: number, socket: OwnedFd) {
    this.#sys = sys;
    this.pid = pid;
    this.#socket = new OwnedFd(sys, socket.release());
  }

  /** Starts criu, which then waits for its request. What fails in `enter` is thrown here. */
  static start(sys: Sys, { into, enter, keep }: Beginning): CriuService {
    using complaint = new Ends(sys, (fds) => sys.pipe2(fds, O_CLOEXEC));
    using sockets = new Ends(sys, (fds) =>
      sys.socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds),
    );
    const flags = into === undefined ? 0 : CLONE_INTO_CGROUP;
    const pid = check(sys.clone3(flags, SIGCHLD, into ?? NO_FD), "clone3");
    if (pid === 0) {
      attempt(sys, complaint.second.fd, enter);
      const theirs = sockets.second.fd;
      becomeHostProgram(sys, [CRIU, "swrk", String(theirs)], [theirs, ...keep]);
    }
    using guard = new DisposableStack();
    const service = guard.use(new CriuService(sys, pid, sockets.first));
    sockets.second.close();
    complaint.second.close();
    const bytes = readAll(sys, complaint.first.fd, "criu's start", COMPLAINT_BYTES_MAX);
    if (bytes.length > 0) throw new TareError("system", decodeText(sys, bytes, "criu's start"));
    guard.move();
    return service;
  }

  /**
   * Asks, and waits until it is done. Where `heard` throws, criu is told to give up, and that error is
   * thrown when it has.
   */
  ask(type: number, options: readonly Option[], heard: (notice: Notice) => void): Outcome {
    const failures: unknown[] = [];
    this.#send(encodeRequest(type, options));
    let answer = this.#receive(failures, heard);
    while (answer?.type === REQUEST.NOTIFY && answer.success) {
      this.#send(encodeNotified(failures.length === 0));
      answer = this.#receive(failures, heard);
    }
    this.#socket.close();
    this.#isWaitedFor = true;
    const status = waitFor(this.#sys, this.pid);
    if (failures.length > 0) throw failures[0];
    return { answer, status };
  }

  /** Whoever is gone is noticed by what it does not answer. */
  #send(bytes: Uint8Array): void {
    const ret = retried(() =>
      this.#sys.sendmsg(this.#socket.fd, bytes, new Int32Array(), MSG_NOSIGNAL),
    );
    if (errnoOf(ret) !== EPIPE && errnoOf(ret) !== ECONNRESET) check(ret, "sendmsg", "criu");
  }

  #receive(failures: unknown[], heard: (notice: Notice) => void): Answer | undefined {
    const buffer = new Uint8Array(ANSWER_BYTES_MAX);
    const fds = new Int32Array(FDS_MAX).fill(-1);
    const ret = retried(() => this.#sys.recvmsg(this.#socket.fd, buffer, fds, MSG_CMSG_CLOEXEC));
    if (errnoOf(ret) === ECONNRESET) return undefined;
    const length = check(ret, "recvmsg", "criu");
    using came = new DisposableStack();
    const [fd] = [...fds]
      .filter((each) => each >= 0)
      .map((each) => came.use(new OwnedFd(this.#sys, each as Fd)));
    if (length === 0) return undefined;
    const answer = decodeAnswer(buffer.subarray(0, length));
    if (answer.script === undefined) return answer;
    try {
      heard({ script: answer.script, pid: answer.pid, fd });
    } catch (error) {
      failures.push(error);
    }
    return answer;
  }

  [Symbol.dispose](): void {
    if (this.#isWaitedFor) return;
    this.#socket.close();
    this.#sys.kill(this.pid, SIGKILL);
    waitFor(this.#sys, this.pid);
  }
}

/** In criu's process to be: why it cannot become criu goes through the pipe, which execve(2) closes. */
function attempt(sys: Sys, complaint: Fd, enter: () => void): void {
  try {
    enter();
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    sys.write(complaint, sys.encode_utf8(words));
    sys.exit_group(EXIT_NOT_STARTED);
  }
}

/** Two descriptors that one call makes. */
class Ends {
  readonly first: OwnedFd;
  readonly second: OwnedFd;
  readonly #all = new DisposableStack();

  constructor(sys: Sys, make: (fds: Int32Array) => ReturnType<Sys["pipe2"]>) {
    const fds = new Int32Array(2);
    check(make(fds), "pipe2 or socketpair");
    this.first = this.#all.use(new OwnedFd(sys, fds[0] as Fd));
    this.second = this.#all.use(new OwnedFd(sys, fds[1] as Fd));
  }

  [Symbol.dispose](): void {
    this.#all.dispose();
  }
}
