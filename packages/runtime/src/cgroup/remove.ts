/** Removes the cgroups that a container made, and those that were made under them meanwhile. */

import { TareError } from "@tare/spec/error.ts";
import { EBUSY, ENOTEMPTY } from "../sys/abi-errno.ts";
import { AT_REMOVEDIR } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { monotonicMs } from "../sys/clock.ts";
import type { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { killAll } from "./processes.ts";
import type { CgroupState, CgroupStateDir } from "./state.ts";
import { isGone, openCgroup, openMount, walkBelow } from "./tree.ts";

/** A process that was just killed is in its cgroup until the kernel has taken it apart. */
const REMOVE_MS_MAX = 5_000;
const WAIT_MS_MAX = 50;

/**
 * Removes what the container made (where nothing was made yet, what is empty of its names); what was there before it, and every parent, stays. A cgroup that
 * is gone already is as good as removed.
 * @throws TareError `conflict` where one still has processes after five seconds; the others are gone.
 */
export function removeCgroup(sys: Sys, state: CgroupState): void {
  const end = monotonicMs(sys) + REMOVE_MS_MAX;
  let failure: unknown;
  for (const place of state.dirs) {
    if (!place.made) continue;
    try {
      removeOne(sys, place, state.planned === true ? 0 : end);
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
}

/**
 * Ends a container: kills what runs in its cgroups and removes those that it made. A cgroup that can be
 * removed has no process, so of a container that has ended nothing is listed and nobody is signalled.
 * @throws TareError `system` where a process would not die.
 */
export function destroyCgroup(sys: Sys, state: CgroupState): void {
  const places = state.dirs.filter(({ made }) => made);
  const all = places.length === state.dirs.length;
  const isEmpty = all && places.every((place) => isRemoved(sys, place));
  if (!isEmpty) {
    killAll(sys, state);
    removeCgroup(sys, state);
  }
}

function isRemoved(sys: Sys, place: CgroupStateDir): boolean {
  using parent = openParent(sys, place);
  return parent === undefined || removeEmpty(sys, parent.fd, nameOf(place)) === 0;
}

function openParent(sys: Sys, place: CgroupStateDir): OwnedFd | undefined {
  const slash = place.path.lastIndexOf("/");
  if (slash < 0) return openMount(sys, place);
  return openCgroup(sys, { ...place, path: place.path.slice(0, slash) });
}

function nameOf({ path }: CgroupStateDir): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Tries until `end`, in milliseconds; where it is 0 only once, and without what is below. */
function removeOne(sys: Sys, place: CgroupStateDir, end: number): void {
  const name = nameOf(place);
  using parent = openParent(sys, place);
  if (parent === undefined) return;
  if (end === 0) {
    removeEmpty(sys, parent.fd, name);
    return;
  }
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, WAIT_MS_MAX)) {
    if (removeEmpty(sys, parent.fd, name) === 0) return;
    removeChildren(sys, place);
    if (removeEmpty(sys, parent.fd, name) === 0) return;
    if (monotonicMs(sys) >= end) {
      const path = `${place.mountpoint}/${place.path}`;
      const why = "it still has processes, or cgroups with processes";
      throw new TareError("conflict", `Cannot remove cgroup "${path}": ${why}`);
    }
    sys.sleep_ms(waitMs);
  }
}

/** 0, also where it was gone; or EBUSY, which the kernel says of processes and of children alike. */
function removeEmpty(sys: Sys, parent: Fd, name: string | Uint8Array): number {
  const ret = sys.unlinkat(parent, name, AT_REMOVEDIR);
  const errno = errnoOf(ret);
  if (errno === EBUSY || errno === ENOTEMPTY) return errno;
  if (!isGone(errno)) check(ret, "rmdir", name);
  return 0;
}

function removeChildren(sys: Sys, place: CgroupStateDir): void {
  using dir = openCgroup(sys, place);
  if (dir === undefined) return;
  walkBelow(sys, dir.fd, (parent, name) => {
    removeEmpty(sys, parent, name);
  });
}
