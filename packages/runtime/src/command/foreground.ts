/**
 * What commands that make a process and wait for it have in common: who takes its terminal, the
 * caller's terminal meanwhile, and the descriptors that are passed on.
 */

import { TareError } from "@tare/spec/error.ts";
import type { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import {
  applyToCaller,
  copySize,
  leaveNewlines,
  rawSettings,
  terminalSettings,
} from "../terminal/host-terminal.ts";
import { Pump } from "../terminal/pump.ts";
import { sendDescriptor } from "../terminal/send.ts";
import type { Arguments } from "./arguments.ts";
import type { Context } from "./context.ts";
import { listeningCount } from "./environment.ts";
import { openPreserved } from "./inherited.ts";

const STDIN = 0 as Fd;
const STDOUT = 1 as Fd;

/** What becomes of the side of a new terminal that is ours. */
export type ConsoleTaker = { take: (terminal: OwnedFd) => void; taken: OwnedFd | undefined };

/** Sends the terminal away where a socket is given; else keeps it. */
export function consoleTaker(sys: Sys, socket: string | undefined): ConsoleTaker {
  const taker: ConsoleTaker = {
    taken: undefined,
    take: (terminal) => {
      if (socket === undefined) {
        // Before the program is started: its first look at the window must be right.
        leaveNewlines(sys, terminal.fd);
        copySize(sys, STDIN, terminal.fd);
        taker.taken = terminal;
        return;
      }
      sendDescriptor(sys, socket, terminal.fd, "/dev/ptmx");
      terminal.close();
    },
  };
  return taker;
}

/** What was written to a terminal that nobody relays any more, such as a hook's complaint. */
export function showRest(sys: Sys, terminal: OwnedFd | undefined): void {
  if (terminal === undefined) return;
  try {
    new Pump(sys, terminal.fd, STDOUT).drain();
  } catch {
    // Why the command fails is still to be told.
  }
}

/** How many descriptors from 3 on are passed to the program: those that listen, then those asked for. */
export function preserveFds({ sys, args }: Context): number {
  const count = preservedCount(args);
  const listening = listeningCount(sys);
  return listening + openPreserved(sys, count, listening);
}

/** What --preserve-fds says. */
export function preservedCount({ options }: Arguments): number {
  const text = options.get("preserve-fds") ?? "0";
  const count = Number(text);
  if (Number.isInteger(count) && count >= 0 && count < 1000) return count;
  throw new TareError(
    "bad_input",
    `Cannot use --preserve-fds "${text}": want a number of descriptors`,
  );
}

/**
 * Puts the caller's terminal into raw mode while the container has it; gives it back on every path. The
 * container's stays open: what it says at its end is shown then (`showRest`).
 */
export function inForeground<T>(
  sys: Sys,
  terminal: OwnedFd | undefined,
  run: (terminal: Fd | undefined) => T,
): T {
  if (terminal === undefined) return run(undefined);
  const before = terminalSettings(sys, STDIN);
  try {
    if (before !== undefined) applyToCaller(sys, STDIN, rawSettings(before));
    return run(terminal.fd);
  } finally {
    if (before !== undefined) applyToCaller(sys, STDIN, before);
  }
}
