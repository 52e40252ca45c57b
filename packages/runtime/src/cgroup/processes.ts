/**
 * The processes of a container, found by its cgroups: listed, counted when the kernel killed some for
 * want of memory, and killed.
 */

import { TareError } from "@tare/spec/error.ts";
import { SIGKILL } from "../sys/abi-process.ts";
import { monotonicMs } from "../sys/clock.ts";
import type { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { CgroupState } from "./state.ts";
import { openCgroup, readControl, readProcs, walkBelow, writeControl } from "./tree.ts";

const KILL_MS_MAX = 10_000;
const WAIT_MS_MAX = 50;

/** The pids in a container's cgroup and those under it, ascending, as seen from our pid namespace. */
export function listPids(sys: Sys, state: CgroupState): readonly number[] {
  using opened = openDirs(sys, state);
  return [...pidsIn(sys, opened.dirs)].sort((a, b) => a - b);
}

/**
 * How many processes the kernel has killed because a container was out of memory; 0 where nobody
 * counts. To be asked before the cgroup is removed.
 */
export function oomKills(sys: Sys, state: CgroupState): number {
  using opened = openDirs(sys, state);
  let kills = 0;
  for (const { fd, version, controllers } of opened.dirs) {
    if (version === 1 && !controllers.includes("memory")) continue;
    const file = version === 1 ? "memory.oom_control" : "memory.events";
    const lines = (readControl(sys, fd, file) ?? "").split("\n");
    const line = lines.find((each) => each.startsWith("oom_kill "));
    kills += Number(line?.slice("oom_kill ".length) ?? 0);
  }
  return kills;
}

/**
 * Kills every process of a container and returns when none is left: how many there were. Of v2 one write does it, also for
 * what forks meanwhile (cgroup.kill, Linux 5.14). Of v1 they are frozen, so that none can fork and no
 * number can pass to another process, then signalled, then thawed to die.
 * @throws TareError `system` where some would not die in ten seconds.
 */
export function killAll(sys: Sys, state: CgroupState): number {
  if (state.planned === true) return 0;
  using opened = openDirs(sys, state);
  const { dirs } = opened;
  const end = monotonicMs(sys) + KILL_MS_MAX;
  let signalled: ReadonlySet<number> | undefined;
  let count: number | undefined;
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, WAIT_MS_MAX)) {
    const alive = pidsIn(sys, dirs);
    count ??= alive.size;
    if (alive.size === 0) return count;
    if (monotonicMs(sys) >= end) {
      const why = `some are still there after ${KILL_MS_MAX} ms`;
      throw new TareError("system", `Cannot kill the processes of the container: ${why}`);
    }
    // Those who have the signal only need time; again when others came, or time did not help.
    if (signalled === undefined) signalled = killWhole(sys, dirs) ? alive : killFrozen(sys, dirs);
    else if (waitMs === WAIT_MS_MAX || !alive.isSubsetOf(signalled)) {
      signalled = killFrozen(sys, dirs);
    }
    sys.sleep_ms(waitMs);
  }
}

/** An open cgroup of a container. */
export type Dir = {
  readonly fd: Fd;
  readonly version: 1 | 2;
  readonly controllers: readonly string[];
};

/** Whether there is a v2 cgroup, and so the kernel has killed all that is in it. */
function killWhole(sys: Sys, dirs: readonly Dir[]): boolean {
  const v2 = dirs.find(({ version }) => version === 2);
  if (v2 === undefined || writeControl(sys, v2.fd, "cgroup.kill", "1") !== 0) return false;
  setFreezer(sys, dirs, "THAWED");
  return true;
}

/** The processes that were signalled. Where there is no freezer of v1 they may fork meanwhile. */
function killFrozen(sys: Sys, dirs: readonly Dir[]): ReadonlySet<number> {
  setFreezer(sys, dirs, "FROZEN");
  try {
    const pids = pidsIn(sys, dirs);
    for (const pid of pids) sys.kill(pid, SIGKILL);
    return pids;
  } finally {
    setFreezer(sys, dirs, "THAWED");
  }
}

/** A process that v1 has frozen does not even die of SIGKILL. */
function setFreezer(sys: Sys, dirs: readonly Dir[], value: "FROZEN" | "THAWED"): void {
  for (const { fd, controllers } of dirs) {
    if (controllers.includes("freezer")) writeControl(sys, fd, "freezer.state", value);
  }
}

/** Their processes and those below, as numbers of our pid namespace. */
export function pidsIn(sys: Sys, dirs: readonly Dir[]): Set<number> {
  const pids = new Set<number>();
  for (const { fd } of dirs) addPids(sys, fd, pids);
  return pids;
}

function addPids(sys: Sys, dir: Fd, into: Set<number>): void {
  for (const pid of readProcs(sys, dir)) into.add(pid);
  walkBelow(sys, dir, (_parent, _name, below) => {
    for (const pid of readProcs(sys, below)) into.add(pid);
  });
}

/** Those of a container's cgroups that still exist. */
export function openDirs(sys: Sys, state: CgroupState) {
  const opened = new DisposableStack();
  const dirs: Dir[] = [];
  try {
    for (const place of state.dirs) {
      const dir: OwnedFd | undefined = openCgroup(sys, place);
      if (dir === undefined) continue;
      dirs.push({ fd: opened.use(dir).fd, version: place.version, controllers: place.controllers });
    }
  } catch (error) {
    opened.dispose();
    throw error;
  }
  return { dirs, [Symbol.dispose]: (): void => opened.dispose() };
}
