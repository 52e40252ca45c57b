/**
 * The word to start: for `run` a message on the channel, for `create` a connection to a socket in the
 * container's state directory. The connection ends with execve(2), so who gave the word learns
 * whether the program was started, or why not.
 */

import { fromReport, TareError } from "@tare/spec/error.ts";
import { ECONNREFUSED, ENOENT } from "../sys/abi-errno.ts";
import { SIG_SETMASK } from "../sys/abi-process.ts";
import {
  AF_UNIX,
  POLLIN,
  SFD_CLOEXEC,
  SIGNALFD_SIGINFO_BYTES,
  SOCK_CLOEXEC,
  SOCK_SEQPACKET,
} from "../sys/abi-socket.ts";
import { check, errnoOf } from "../sys/check.ts";
import { retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { Channel } from "./channel.ts";

export const START_SOCKET = "start.sock";
/** SIGHUP, SIGINT, SIGQUIT and SIGTERM as a signal set. */
const ENDING_SIGNALS = 0x4007n;
/** sh(1): the exit status of who was ended by a signal. */
const SIGNAL_EXIT_BASE = 128;

/** A socket address has room for 107 bytes: the directory is named by its descriptor. */
function address(directory: Fd): string {
  return `/proc/self/fd/${directory}/${START_SOCKET}`;
}

export function listenForStart(sys: Sys, directory: Fd): Fd {
  const type = SOCK_SEQPACKET | SOCK_CLOEXEC;
  const socket = new OwnedFd(sys, check(sys.socket(AF_UNIX, type, 0), "socket"));
  check(sys.bind_unix(socket.fd, address(directory)), "bind", START_SOCKET);
  check(sys.listen(socket.fd, 1), "listen", START_SOCKET);
  return socket.release();
}

/**
 * In the first process: says that all is set up, then waits; the answer is whom to tell the result.
 * With a pagemap of this process, which is closed, it holds little memory until then.
 */
export function waitForStart(
  sys: Sys,
  channel: Channel,
  socket: Fd | undefined,
  pagemap: Fd,
): Channel {
  if (socket === undefined) {
    channel.send({ kind: "created" });
    channel.expect("start");
    return channel;
  }
  // It is our caller's, and who is in the container meanwhile could read it (CVE-2016-9962).
  sys.forget_environ();
  // Its words are for everybody in the container: they tell of the host.
  sys.forget_words();
  // Before anybody can know that we are there: a signal that came earlier would be lost.
  check(sys.sigprocmask(SIG_SETMASK, ENDING_SIGNALS), "rt_sigprocmask");
  channel.send({ kind: "created" });
  channel.close();
  awaitStarter(sys, socket, pagemap);
  const starter = new Channel(
    sys,
    check(
      retried(() => sys.accept4(socket, SOCK_CLOEXEC)),
      "accept4",
    ),
  );
  sys.close(socket);
  starter.expect("start");
  return starter;
}

/**
 * Until somebody connects. A signal that asks to end is obeyed meanwhile: as process 1 we are deaf to
 * what we neither block nor handle (pid_namespaces(7)), and a container must stop before its start too.
 */
function awaitStarter(sys: Sys, socket: Fd, pagemap: Fd): void {
  using signals = new OwnedFd(sys, check(sys.signalfd(ENDING_SIGNALS, SFD_CLOEXEC), "signalfd4"));
  const set = Int32Array.of(signals.fd, POLLIN, 0, socket, POLLIN, 0);
  check(
    retried(() => sys.poll_at_rest(set, pagemap)),
    "poll",
  );
  if (set[2] === 0) return;
  const info = new Uint8Array(SIGNALFD_SIGINFO_BYTES);
  const ret = retried(() => sys.read(signals.fd, info));
  check(ret, "read", "signalfd");
  sys.exit_group(SIGNAL_EXIT_BASE + (info[0] ?? 0));
}

/** Gives the word and waits for the result; an error of the first process is thrown here. */
export function giveStart(sys: Sys, directory: Fd, id: string, onListener?: OnListener): void {
  const type = SOCK_SEQPACKET | SOCK_CLOEXEC;
  using socket = new OwnedFd(sys, check(sys.socket(AF_UNIX, type, 0), "socket"));
  const ret = retried(() => sys.connect_unix(socket.fd, address(directory)));
  if (errnoOf(ret) === ENOENT || errnoOf(ret) === ECONNREFUSED) throw notCreated(id);
  check(ret, "connect", START_SOCKET);
  // Whoever looks from now on finds it started, also if we end before we could say so.
  sys.unlinkat(directory, START_SOCKET, 0);
  const channel = new Channel(sys, socket.fd);
  channel.send({ kind: "start" });
  awaitExec(channel, onListener);
}

/** Takes the listener of a filter, which comes before the end where a rule notifies; closes it. */
export type OnListener = (listener: Fd) => void;

/** The end of the channel is the success of execve(2); anything else is an error. */
export function awaitExec(channel: Channel, onListener?: OnListener): void {
  for (;;) {
    const received = channel.receive();
    if (received === undefined) return;
    const { message, fds } = received;
    if (message.kind === "error") throw fromReport(message.report);
    if (message.kind !== "listener" || onListener === undefined || fds[0] === undefined) {
      throw new TareError("internal", `Cannot go on: unexpected message "${message.kind}"`);
    }
    onListener(fds[0]);
    channel.send({ kind: "received" });
  }
}

function notCreated(id: string): TareError {
  return new TareError(
    "bad_state",
    `Cannot start container "${id}": it is not in the created state`,
    {
      hint: "Only a created container can be started, once",
    },
  );
}
