/** The cgroups that a further process joins: the container's, or below them what is asked for. */

import { TareError } from "@tare/spec/error.ts";
import { freezerOf, isFrozen } from "../cgroup/freezer.ts";
import { type CgroupJoin, type OpenCgroup, openJoin, openState } from "../cgroup/join.ts";
import { parseCgroupState } from "../cgroup/state.ts";
import { openSubCgroups, type SubCgroups, subPathOf } from "../cgroup/sub.ts";
import { openCgroup } from "../cgroup/tree.ts";
import { EACCES, EBUSY, ENODEV } from "../sys/abi-errno.ts";
import { NO_FD } from "../sys/abi-file.ts";
import { CLONE_INTO_CGROUP, SIGCHLD } from "../sys/abi-process.ts";
import { check, errnoOf } from "../sys/check.ts";
import { readText } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import type { Fd, Ret, Sys } from "../sys/types.ts";
import type { Record } from "./record.ts";

const CGROUP_BYTES_MAX = 64 * 1024;

export type CgroupWish = {
  readonly record: Record;
  /** Below the container's own; empty: that one. */
  readonly cgroups: SubCgroups;
  readonly ignorePaused: boolean;
};

export type ExecJoin = CgroupJoin & Disposable;

/** Throws `bad_state` for a paused container, `not_found` where a cgroup is gone. */
export function openCgroups(sys: Sys, { record, cgroups, ignorePaused }: CgroupWish): ExecJoin {
  const state = parseCgroupState(record.cgroup);
  const own = openUnlessGone(sys, state, cgroups);
  if (own === undefined) return disposable(sys, { procs: [], into: openFirst(sys, record) });
  try {
    if (!ignorePaused) refusePaused(sys, record.id, own);
  } catch (error) {
    own[Symbol.dispose]();
    throw error;
  }
  const wanted = cgroups.size === 0 ? own : openSubCgroups(sys, own, cgroups);
  return disposable(sys, openJoin(sys, wanted));
}

function disposable(sys: Sys, join: CgroupJoin): ExecJoin {
  return {
    ...join,
    [Symbol.dispose]: () => {
      for (const fd of join.procs) sys.close(fd);
      if (join.into !== undefined) sys.close(join.into);
    },
  };
}

/** Undefined where the container has left its v2 cgroup, and somebody has removed that. */
function openUnlessGone(
  sys: Sys,
  state: ReturnType<typeof parseCgroupState>,
  cgroups: SubCgroups,
): OpenCgroup | undefined {
  try {
    return openState(sys, state);
  } catch (error) {
    const isGone = error instanceof TareError && error.code === "not_found";
    if (!isGone || state.mode !== "v2" || cgroups.size > 0) throw error;
    return undefined;
  }
}

function refusePaused(sys: Sys, id: string, { state, dirs }: OpenCgroup): void {
  const place = freezerOf(state);
  const dir = place === undefined ? undefined : dirs[state.dirs.indexOf(place)];
  if (dir === undefined || !isFrozen(sys, dir.fd)) return;
  throw new TareError(
    "bad_state",
    `Cannot use container "${id}": cannot exec in a paused container`,
    { hint: "Use resume first, or --ignore-paused to wait until somebody does" },
  );
}

/**
 * clone3(2) into the v2 cgroup. One that gives controllers to others below it has no processes of its
 * own (EBUSY), and one that is empty may be removed (ENODEV): then the process goes where the
 * container's first one is, unless the caller has chosen.
 */
export function cloneInto(sys: Sys, join: ExecJoin, { record, cgroups }: CgroupWish): number {
  const ret = tryClone(sys, join.into);
  const errno = errnoOf(ret);
  const { unit, dirs } = parseCgroupState(record.cgroup);
  if (errno === EACCES && unit?.isUser === true) {
    // Between a user's session and a scope the way leads through cgroups of the machine's.
    const [{ controllers, path } = { controllers: [], path: "" }] = dirs;
    const place = joinPath(path, subPathOf(cgroups, controllers));
    return loadPart(sys, "tare-runtime~systemd").cloneIntoScope(sys, unit, place);
  }
  if ((errno !== EBUSY && errno !== ENODEV) || cgroups.size > 0) {
    return check(ret, `adding pid ${sys.getpid()} to cgroups, clone3`);
  }
  using other = new OwnedFd(sys, openFirst(sys, record));
  return check(tryClone(sys, other.fd), "clone3", "the cgroup of the first process");
}

function joinPath(path: string, sub: string): string {
  return sub === "" ? path : `${path}/${sub}`;
}

function tryClone(sys: Sys, cgroup: Fd | undefined): Ret<number> {
  const flags = cgroup === undefined ? 0 : CLONE_INTO_CGROUP;
  return sys.clone3(flags, SIGCHLD, cgroup ?? NO_FD);
}

/** The v2 cgroup that the first process is in now. */
function openFirst(sys: Sys, record: Record): Fd {
  const text = readText(sys, `/proc/${record.pid}/cgroup`, CGROUP_BYTES_MAX) ?? "";
  const line = text.split("\n").find((each) => each.startsWith("0::/"));
  const place = parseCgroupState(record.cgroup).dirs.find(({ version }) => version === 2);
  if (line !== undefined && place !== undefined) {
    const found = openCgroup(sys, { ...place, path: line.slice("0::/".length) });
    if (found !== undefined) return found.release();
  }
  throw new TareError("not_found", `Cannot exec in container "${record.id}": its cgroup is gone`);
}
