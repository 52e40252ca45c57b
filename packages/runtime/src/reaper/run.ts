/**
 * A small first process for a container: starts the command, forwards signals to it, reaps orphans,
 * ends with its status. The kernel gives process 1 no default action for signals and all orphans;
 * most programs expect neither (pid_namespaces(7)).
 */

import { TareError } from "@tare/spec/error.ts";
import type { Process } from "@tare/spec/oci-runtime.ts";
import { findProgram } from "../process/program.ts";
import { exitStatus } from "../process/wait.ts";
import { SIG_SETMASK, SIGCHLD, WNOHANG } from "../sys/abi-process.ts";
import { SFD_CLOEXEC, SIGNALFD_SIGINFO_BYTES } from "../sys/abi-socket.ts";
import { check, errnoOf } from "../sys/check.ts";
import { retried } from "../sys/file.ts";
import type { Fd, Sys } from "../sys/types.ts";

/** Every signal; the kernel leaves KILL and STOP out by itself. */
const ALL_SIGNALS = 0xffff_ffff_ffff_ffffn;
/** The terminal's driver sent it, to every process of the foreground group: the command has it. */
const SI_KERNEL = 0x80;

/** Runs a command to its end; answers the exit status, 128 + n after signal n. */
export function runReaper(sys: Sys, command: readonly string[]): number {
  check(sys.sigprocmask(SIG_SETMASK, ALL_SIGNALS), "sigprocmask");
  const signals = check(sys.signalfd(ALL_SIGNALS, SFD_CLOEXEC), "signalfd");
  const pid = check(sys.fork(0), "fork");
  if (pid === 0) becomeCommand(sys, command);
  return forwardUntilEnd(sys, signals, pid);
}

/** The command has the mask and the actions that our caller gave us: none blocked. */
function becomeCommand(sys: Sys, command: readonly string[]): void {
  sys.sigprocmask(SIG_SETMASK, 0);
  const env = sys.environ();
  const program = findProgram(sys, { args: command, env, cwd: "." } as unknown as Process);
  const errno = errnoOf(sys.execve(program, command, env));
  throw new TareError("system", `Cannot execute "${command[0] ?? ""}": errno ${errno}`);
}

function forwardUntilEnd(sys: Sys, signals: Fd, pid: number): number {
  const info = new Uint8Array(SIGNALFD_SIGINFO_BYTES);
  const view = new DataView(info.buffer);
  for (;;) {
    check(
      retried(() => sys.read(signals, info)),
      "read",
      "signalfd",
    );
    const signal = view.getUint32(0, true);
    if (signal !== SIGCHLD) {
      if (view.getInt32(8, true) !== SI_KERNEL) sys.kill(pid, signal);
      continue;
    }
    const status = reap(sys, pid);
    if (status !== undefined) return exitStatus(status);
  }
}

/** Takes every child that has ended; the raw status of the command if it was among them. */
function reap(sys: Sys, pid: number): number | undefined {
  const status = new Int32Array(1);
  let own: number | undefined;
  for (;;) {
    const ret = sys.wait4(-1, status, WNOHANG);
    if (errnoOf(ret) !== 0) return own;
    const ended = check(ret, "wait4");
    if (ended === 0) return own;
    if (ended === pid) own = status[0] ?? 0;
  }
}
