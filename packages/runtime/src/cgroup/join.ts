/**
 * How a process gets into a container's cgroups: v2 by clone3(2), v1 by its own write. Apart from what
 * makes cgroups, since `exec` only joins.
 */

import { assert, TareError } from "@tare/spec/error.ts";
import { O_WRONLY } from "../sys/abi-file.ts";
import { check } from "../sys/check.ts";
import { retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { CgroupState } from "./state.ts";
import { openBelow, openCgroup } from "./tree.ts";

/** A container's cgroups, open: one O_PATH descriptor for each directory of the state, in its order. */
export class OpenCgroup {
  readonly state: CgroupState;
  readonly dirs: readonly OwnedFd[];

  constructor(state: CgroupState, dirs: readonly OwnedFd[]) {
    assert(state.dirs.length === dirs.length, "each directory of a cgroup has its descriptor");
    this.state = state;
    this.dirs = dirs;
  }

  [Symbol.dispose](): void {
    for (const dir of this.dirs) dir.close();
  }
}

/** What a process joins a cgroup by: descriptors that the caller closes; execve(2) closes them too. */
export type CgroupJoin = {
  /** `tasks` of each v1 hierarchy: for `joinCgroup` in the process itself. */
  readonly procs: readonly Fd[];
  /** The v2 directory, for CLONE_INTO_CGROUP of clone3(2). */
  readonly into: Fd | undefined;
};

/** Of a process that somebody else puts into its cgroups. */
export const NO_JOIN: CgroupJoin = { procs: [], into: undefined };

/**
 * The cgroups of a container that exists, for a process that is to join it.
 * @throws TareError `not_found` where one of them is gone.
 */
export function openState(sys: Sys, state: CgroupState): OpenCgroup {
  using opened = new DisposableStack();
  const dirs = state.dirs.map((place) => {
    const dir = openCgroup(sys, place);
    if (dir === undefined) {
      const path = `${place.mountpoint}/${place.path}`;
      throw new TareError("not_found", `Cannot open cgroup "${path}": it is gone`);
    }
    return opened.use(dir);
  });
  opened.move();
  return new OpenCgroup(state, dirs);
}

/**
 * Opens what a child joins by, while we have the right to: the kernel asks who opened the file. Takes
 * the descriptors of `cgroup` over.
 *
 * The file is `tasks`, not cgroup.procs. To move a process the kernel stops every fork on the machine
 * and waits for an RCU grace period, ten milliseconds and more on a quiet machine. A thread that moves
 * itself needs neither (cgroup_procs_write_start() in kernel/cgroup/cgroup.c, since Linux 5.5), and
 * the process that joins has one thread.
 */
export function openJoin(sys: Sys, cgroup: OpenCgroup): CgroupJoin {
  using opened = new DisposableStack();
  opened.use(cgroup);
  const procs = cgroup.dirs.flatMap((dir, index): OwnedFd[] => {
    if (cgroup.state.dirs[index]?.version === 2) return [];
    const ret = openBelow(sys, dir.fd, "tasks", O_WRONLY);
    return [opened.use(new OwnedFd(sys, check(ret, "openat2", "tasks")))];
  });
  const v2 = cgroup.dirs.find((_dir, index) => cgroup.state.dirs[index]?.version === 2);
  return { procs: procs.map((file) => file.release()), into: v2?.release() };
}

/** In the process itself, before it has threads, children or a cgroup namespace: joins what is v1. */
export function joinCgroup(sys: Sys, { procs }: CgroupJoin): void {
  const self = new Uint8Array([0x30]); // "0" means who writes it.
  for (const file of procs) {
    check(
      retried(() => sys.write(file, self)),
      "write",
      "tasks",
    );
    sys.close(file);
  }
}
