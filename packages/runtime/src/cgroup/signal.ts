/**
 * Sends a signal to every process of a container, each once, and to nobody else: a number that was read may
 * be another process's a moment later. So each is held by a descriptor, and looked for in the cgroups again.
 */

import { TareError } from "@tare/spec/error.ts";
import { ESRCH } from "../sys/abi-errno.ts";
import { SIGKILL } from "../sys/abi-process.ts";
import { check, errnoOf } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Sys } from "../sys/types.ts";
import { freezeForNow, isCgroupFrozen } from "./freezer.ts";
import { killAll, openDirs, pidsIn } from "./processes.ts";
import type { CgroupState } from "./state.ts";

/** Descriptors at once: their number is limited. */
const BATCH = 256;
/** What is frozen makes no new process; this is for who has joined from outside meanwhile. */
const ROUNDS_MAX = 10;
/** A process that does not stop gets its signal all the same. */
const FREEZE_MS_MAX = 1_000;

/**
 * The answer is how many there were. KILL waits for their end, as killAll. For the others the container is
 * frozen meanwhile, where it can be: what a handler starts was not meant.
 */
export function signalAll(sys: Sys, state: CgroupState, signal: number): number {
  if (signal === SIGKILL) return killAll(sys, state);
  if (state.planned === true) return 0;
  using opened = openDirs(sys, state);
  const members = () => pidsIn(sys, opened.dirs);
  if (members().size === 0) return 0;
  if (isCgroupFrozen(sys, state)) return signalMembers(sys, members, signal, ROUNDS_MAX);
  const frozen = freezeIfPossible(sys, state);
  try {
    return signalMembers(sys, members, signal, frozen === undefined ? 1 : ROUNDS_MAX);
  } finally {
    frozen?.thaw();
  }
}

/** Undefined where there is no freezer, or some process does not stop: then all go on. */
function freezeIfPossible(sys: Sys, state: CgroupState): { thaw: () => void } | undefined {
  try {
    return freezeForNow(sys, state, FREEZE_MS_MAX);
  } catch (error) {
    if (!(error instanceof TareError)) throw error;
    return undefined;
  }
}

/**
 * Tells all that `members` answers, until there is nobody new or `rounds` are over. Whoever is a member after
 * its descriptor was opened either is that process, or has its number from one that has ended.
 */
export function signalMembers(
  sys: Sys,
  members: () => ReadonlySet<number>,
  signal: number,
  rounds: number,
): number {
  const told = new Set<number>();
  for (let round = 0; round < rounds; round++) {
    const pids = [...members()].filter((pid) => !told.has(pid));
    if (pids.length === 0) break;
    for (let at = 0; at < pids.length; at += BATCH) {
      const batch = pids.slice(at, at + BATCH);
      signalBatch(sys, batch, members, signal);
      for (const pid of batch) told.add(pid);
    }
  }
  return told.size;
}

function signalBatch(
  sys: Sys,
  pids: readonly number[],
  members: () => ReadonlySet<number>,
  signal: number,
): void {
  using held = new DisposableStack();
  const processes = pids.flatMap((pid) => {
    const ret = sys.pidfd_open(pid, 0);
    // It has ended, or is a thread of one that is held.
    if (errnoOf(ret) !== 0) return [];
    return [{ pid, fd: held.use(new OwnedFd(sys, check(ret, "pidfd_open"))).fd }];
  });
  const still = members();
  for (const { pid, fd } of processes) {
    if (!still.has(pid)) continue;
    const ret = sys.pidfd_send_signal(fd, signal);
    if (errnoOf(ret) !== ESRCH) check(ret, "pidfd_send_signal", String(pid));
  }
}
