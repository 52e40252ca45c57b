/**
 * A container in the foreground: copies between the caller's streams and the container's terminal,
 * passes signals on, and watches for the end. One poll(2) loop, bounded buffers, no promise.
 */

import { EAGAIN, EIO } from "../sys/abi-errno.ts";
import { SIG_SETMASK, SIGCHLD, SIGPIPE, SIGURG, SIGWINCH } from "../sys/abi-process.ts";
import {
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  SFD_CLOEXEC,
  SFD_NONBLOCK,
  SIGNALFD_SIGINFO_BYTES,
} from "../sys/abi-socket.ts";
import { check, errnoOf } from "../sys/check.ts";
import { retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { isNullDevice } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { copySize } from "./host-terminal.ts";
import { Pump } from "./pump.ts";

const STDIN = 0 as Fd;
const STDOUT = 1 as Fd;
const ALL_SIGNALS = -1n;
/** Control-D, as every new terminal has it. */
const VEOF = 4;
const NEWLINE = 10;

/** Blocks all signals; they are read from the answer. To be called before the container is made. */
export function catchSignals(sys: Sys): OwnedFd {
  check(sys.sigprocmask(SIG_SETMASK, ALL_SIGNALS), "rt_sigprocmask");
  return new OwnedFd(
    sys,
    check(sys.signalfd(ALL_SIGNALS, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd4"),
  );
}

export type Foreground = {
  readonly pidfd: Fd;
  readonly signals: Fd;
  /** Our side of the container's terminal, where it has one. */
  readonly terminal: Fd | undefined;
  /** A descriptor whose end of file means that our caller is gone and the container must go too. */
  readonly lifeline: Fd | undefined;
  /** A descriptor that somebody else reads, until that answers that it is done. */
  readonly beside: { readonly fd: Fd; readonly take: () => boolean } | undefined;
};

/** Runs until the first process ends; the answer is whether it was the caller that went away. */
export function relay(sys: Sys, what: Foreground): "ended" | "abandoned" {
  const { terminal } = what;
  let { beside } = what;
  const input = terminal === undefined ? undefined : openInput(sys, terminal);
  const output = terminal === undefined ? undefined : new Pump(sys, terminal, STDOUT);
  for (;;) {
    const set = Int32Array.of(
      ...[what.pidfd, POLLIN, 0],
      ...[what.signals, POLLIN, 0],
      ...[what.lifeline ?? -1, POLLIN, 0],
      ...wish(input),
      ...wish(output),
      ...[beside?.fd ?? -1, POLLIN, 0],
    );
    check(
      retried(() => sys.poll(set, -1)),
      "poll",
    );
    if (came(set, 1)) forwardSignals(sys, what);
    if (came(set, 2) && isClosed(sys, what.lifeline)) return "abandoned";
    moveIfReady(input, set, 3);
    moveIfReady(output, set, 5);
    if (came(set, 7) && beside?.take() === true) beside = undefined;
    if (!came(set, 0)) continue;
    output?.drain();
    return "ended";
  }
}

/**
 * Where the caller's input ends, so does the terminal's: a shell that reads from a pipe would wait for
 * ever. The null device is no input, as with `docker run -t`: a shell waits there for who attaches.
 */
function openInput(sys: Sys, terminal: Fd): Pump {
  if (isNullDevice(sys, STDIN)) return new Pump(sys, STDIN, terminal);
  return new Pump(sys, STDIN, terminal, endOfFile);
}

/** VEOF, which ends a line that is not complete first: termios(3), "Canonical and noncanonical mode". */
function endOfFile(last: number | undefined): Uint8Array {
  return Uint8Array.from(last === undefined || last === NEWLINE ? [VEOF] : [VEOF, VEOF]);
}

function moveIfReady(pump: Pump | undefined, set: Int32Array, entry: number): void {
  if (pump !== undefined && (came(set, entry) || came(set, entry + 1))) pump.move();
}

/** Two entries of the poll set: where a pump reads and where it writes, if it wants to. */
function wish(pump: Pump | undefined): number[] {
  if (pump === undefined) return [-1, 0, 0, -1, 0, 0];
  return [pump.wantsRead ? pump.from : -1, POLLIN, 0, pump.wantsWrite ? pump.to : -1, POLLOUT, 0];
}

function came(set: Int32Array, entry: number): boolean {
  return ((set[entry * 3 + 2] ?? 0) & (POLLIN | POLLOUT | POLLHUP | POLLERR)) !== 0;
}

function isClosed(sys: Sys, lifeline: Fd | undefined): boolean {
  if (lifeline === undefined) return false;
  const ret = retried(() => sys.read(lifeline, new Uint8Array(64)));
  return errnoOf(ret) === 0 ? check(ret, "read") === 0 : errnoOf(ret) !== EAGAIN;
}

/** Passes each signal on to the container's first process; a changed window is told to its terminal. */
function forwardSignals(sys: Sys, what: Foreground): void {
  const info = new Uint8Array(SIGNALFD_SIGINFO_BYTES);
  for (;;) {
    const ret = retried(() => sys.read(what.signals, info));
    if (errnoOf(ret) === EAGAIN || errnoOf(ret) === EIO) return;
    check(ret, "read", "signalfd");
    const signal = new DataView(info.buffer).getUint32(0, true);
    // A pipe of ours that broke is our own matter; the other two are for a parent of children.
    if (signal === SIGCHLD || signal === SIGURG || signal === SIGPIPE) continue;
    if (signal === SIGWINCH && what.terminal !== undefined) copySize(sys, STDIN, what.terminal);
    else sys.pidfd_send_signal(what.pidfd, signal);
  }
}
