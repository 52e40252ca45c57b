/**
 * A created container waits in a process that holds little: its first process, begun again with a heap
 * as the executable has it, a few hundred kilobytes instead of all that creating it took. What is
 * left to do crosses over as bytes; descriptors stay open by their numbers.
 */

import { NO_FD, O_RDONLY } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { Channel } from "./channel.ts";
import { applySteps, closeTree, type InitGift, type InitState } from "./init.ts";
import { decodeLeft } from "./left.ts";
import { waitForStart } from "./start-socket.ts";

/** Waits for the word to start, then does what is left; never returns. */
export function resume(sys: Sys, bytes: Uint8Array): never {
  const { left, program } = decodeLeft(sys, bytes);
  const { filterFlags: flags, steps, clone, config, preserveFds } = left;
  const channel = new Channel(sys, left.channel);
  const gift: InitGift = {
    channel,
    config,
    plan: { clone, init: steps },
    join: { procs: [], into: undefined },
    startSocket: left.startSocket,
    bindSources: new Map(),
    outsideDevices: undefined,
    filter: flags === undefined ? undefined : { program, flags },
    preserveFds,
    state: left.state,
  };
  const state: InitState = {
    root: left.root,
    procfs: left.procfs,
    masks: undefined,
    callerMask: left.callerMask,
    devices: new Map(),
    program: left.program,
    reportTo: channel,
  };
  applySteps(sys, gift, state, () => {
    const pagemap = openPagemap(sys, left.procfs);
    closeTree(sys, state);
    state.reportTo = waitForStart(sys, channel, left.startSocket, pagemap);
  });
}

/** Where it may not be opened, more of the heap stays in memory, and that is all. */
function openPagemap(sys: Sys, procfs: Fd): Fd {
  const ret = openAt(sys, procfs, "self/pagemap", O_RDONLY, 0);
  return errnoOf(ret) === 0 ? check(ret, "openat2") : NO_FD;
}
