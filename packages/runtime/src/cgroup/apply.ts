/**
 * Does what a plan says: makes a container's cgroups and sets their limits.
 * Every decision is in the plan; here are descriptors and the kernel's answers.
 */

import { assert, TareError } from "@tare/spec/error.ts";
import {
  EACCES,
  EAGAIN,
  EINVAL,
  ENOENT,
  EPERM,
  ERANGE,
  EROFS,
  errnoName,
  errnoText,
} from "../sys/abi-errno.ts";
import { NO_FD } from "../sys/abi-file.ts";
import { check, errnoOf, SysError } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Ret, Sys } from "../sys/types.ts";
import { fillCpuset } from "./cpuset.ts";
import {
  BPF_CGROUP_DEVICE,
  BPF_F_ALLOW_MULTI,
  BPF_PROG_TYPE_CGROUP_DEVICE,
  DEVICE_PROGRAM,
} from "./devices-bpf.ts";
import { isFrozen } from "./freezer.ts";
import { OpenCgroup } from "./join.ts";
import type { CgroupDir, CgroupPlan, CgroupWrite } from "./plan.ts";
import { removeCgroup } from "./remove.ts";
import type { CgroupState, CgroupStateDir } from "./state.ts";
import {
  hasProcs,
  makeChild,
  openMount,
  pathOf,
  readControl,
  walkBelow,
  writeControl,
  writeLines,
} from "./tree.ts";

/** A cgroup that is there, open. */
export type MadeDir = {
  readonly fd: OwnedFd;
  readonly made: boolean;
  /** Controllers that could not be turned on above it, and why. */
  readonly refused: ReadonlyMap<string, string>;
};

/**
 * Makes the directories, sets the limits, and attaches the device program. What it made is taken away
 * again when it fails; `onLeft` gets what of it could not be.
 * @throws TareError `conflict` where the cgroup is in use already, `no_cgroup` where one cannot be
 *   made or a limit has no file, `bad_input` where the kernel refuses a value.
 */
export function createCgroup(
  sys: Sys,
  plan: CgroupPlan,
  onLeft: (state: CgroupState) => void = () => {},
): OpenCgroup {
  const made: (MadeDir | undefined)[] = [];
  const reasons: string[] = [];
  try {
    for (const dir of plan.dirs) {
      const one = makeUnlessOptional(sys, dir, reasons);
      made.push(one);
      if (one !== undefined) prepareOwn(sys, dir, one);
    }
    const fds = made.map((each) => each?.fd.fd);
    applyWrites(sys, fds, plan.writes);
    if (plan.devices !== undefined) attachProgram(sys, fds[plan.devices.dir], plan.devices.program);
  } catch (error) {
    for (const each of made) each?.fd.close();
    takeBack(sys, stateOf(plan, made, []), onLeft);
    throw error;
  }
  const dirs = made.filter((each) => each !== undefined).map((each) => each.fd);
  return new OpenCgroup(stateOf(plan, made, reasons), dirs);
}

/** Why the cgroup failed is what counts: a failure to remove what was made only tells what is left. */
function takeBack(sys: Sys, state: CgroupState, onLeft: (state: CgroupState) => void): void {
  try {
    removeCgroup(sys, state);
  } catch {
    onLeft({ ...state, dirs: state.dirs.filter(({ made }) => made) });
  }
}

function stateOf(
  plan: CgroupPlan,
  made: readonly (MadeDir | undefined)[],
  reasons: readonly string[],
): CgroupState {
  const dirs = plan.dirs.flatMap((dir, index): CgroupStateDir[] => {
    const { version, controllers, mountpoint } = dir;
    const one = made[index];
    return one === undefined
      ? []
      : [{ version, controllers, mountpoint, path: pathOf(dir), made: one.made }];
  });
  const state = { mode: plan.mode, dirs };
  return reasons.length === 0 ? state : { ...state, skipped: reasons.join("; ") };
}

function makeUnlessOptional(sys: Sys, dir: CgroupDir, reasons: string[]): MadeDir | undefined {
  try {
    return makeDirectory(sys, dir);
  } catch (error) {
    if (!(error instanceof SysError) || !isNoRight(error.errno)) throw error;
    if (dir.optional) {
      reasons.push(`${dir.mountpoint}: ${error.message}`);
      return undefined;
    }
    throw new TareError(
      "no_cgroup",
      `Cannot make cgroup "${dir.mountpoint}/${pathOf(dir)}": ${error.message}`,
      {
        cause: error,
        hint: "Without the right to make cgroups leave out limits and cgroupsPath, or have one delegated (systemd: Delegate=yes)",
      },
    );
  }
}

function isNoRight(errno: number): boolean {
  return errno === EACCES || errno === EPERM || errno === EROFS;
}

/** Walks down from the mountpoint; above the container's own cgroup any may exist already. */
export function makeDirectory(sys: Sys, dir: CgroupDir): MadeDir {
  let parent = openMount(sys, dir);
  let made = false;
  const refused = new Map<string, string>();
  try {
    for (const name of dir.path) {
      if (dir.enable.length > 0) enableControllers(sys, parent.fd, dir.enable, refused);
      const child = makeChild(sys, parent.fd, name);
      parent.close();
      parent = child.fd;
      made = child.made;
    }
  } catch (error) {
    parent.close();
    throw error;
  }
  return { fd: parent, made, refused };
}

/**
 * Turns controllers on for the children of a cgroup. All in one write; where the kernel refuses one
 * it takes none of them, so then each by itself. Whether a refusal matters is seen in the child.
 */
export function enableControllers(
  sys: Sys,
  dir: Fd,
  names: readonly string[],
  refused: Map<string, string>,
): void {
  const file = "cgroup.subtree_control";
  const words = names.map((name) => `+${name}`);
  if (writeControl(sys, dir, file, words.join(" ")) === 0) return;
  for (const name of names) {
    const errno = writeControl(sys, dir, file, `+${name}`);
    if (errno !== 0) refused.set(name, `write "+${name}" to ${file}: ${printError(errno)}`);
  }
}

/** What a cgroup of our own needs before its limits: nobody in it, and what any needs. */
function prepareOwn(sys: Sys, dir: CgroupDir, made: MadeDir): void {
  if (!made.made) refuseInUse(sys, made.fd.fd, dir);
  prepareLimits(sys, dir, made);
}

/** What any cgroup needs before its limits: controllers, CPUs and memory nodes. */
export function prepareLimits(sys: Sys, dir: CgroupDir, { fd, refused }: MadeDir): void {
  if (refused.size > 0) requireControllers(sys, fd.fd, dir, refused);
  if (dir.version === 1 && dir.controllers.includes("cpuset")) fillCpuset(sys, dir);
}

/** A cgroup that others use would be limited, frozen and killed with the container. */
function refuseInUse(sys: Sys, fd: Fd, dir: CgroupDir): void {
  const path = `${dir.mountpoint}/${pathOf(dir)}`;
  let inUse = hasProcs(sys, fd) ? 1 : 0;
  walkBelow(sys, fd, (_parent, _name, below) => {
    inUse += hasProcs(sys, below) ? 1 : 0;
  });
  const hint = "Another container may have this name: choose another linux.cgroupsPath";
  if (inUse > 0) {
    const why = "container's cgroup is not empty: it has processes";
    throw new TareError("conflict", `Cannot use cgroup "${path}": ${why}`, { hint });
  }
  if (isFrozen(sys, fd)) {
    const why = "container's cgroup unexpectedly frozen";
    throw new TareError("conflict", `Cannot use cgroup "${path}": ${why}`, { hint });
  }
}

function requireControllers(
  sys: Sys,
  fd: Fd,
  dir: CgroupDir,
  refused: ReadonlyMap<string, string>,
): void {
  const present = (readControl(sys, fd, "cgroup.controllers") ?? "").trim().split(" ");
  for (const { controller, field } of dir.needed) {
    if (present.includes(controller)) continue;
    const path = `${dir.mountpoint}/${pathOf(dir)}`;
    const why = refused.get(controller) ?? "no cgroup above it has it";
    throw new TareError(
      "no_cgroup",
      `Cannot apply ${field}: controller "${controller}" is off in "${path}": ${why}`,
      {
        hint: "A cgroup with processes of its own gives controllers to no child: choose another parent in linux.cgroupsPath",
      },
    );
  }
}

/** Sets every limit in its order; those the kernel takes only after others come once more at the end. */
export function applyWrites(
  sys: Sys,
  dirs: readonly (Fd | undefined)[],
  writes: readonly CgroupWrite[],
): void {
  const waiting: CgroupWrite[] = [];
  for (let index = 0; index < writes.length; ) {
    const run = sameFile(writes, index);
    const [write] = run;
    assert(write !== undefined, "a run of writes is not empty");
    const { taken, errno } = applyRun(sys, dirs[write.dir], run);
    const refused = run[taken];
    if (refused?.mayWait === true && errno === EINVAL) waiting.push(refused);
    else if (refused !== undefined) throw refusedWrite(refused, errno);
    index += refused === undefined ? run.length : taken + 1;
  }
  for (const write of waiting) {
    const { errno } = applyRun(sys, dirs[write.dir], [write]);
    if (errno !== 0) throw refusedWrite(write, errno);
  }
}

/** The writes from `start` on that go to one file: it is opened once for all of them. */
function sameFile(writes: readonly CgroupWrite[], start: number): readonly CgroupWrite[] {
  const first = writes[start];
  let end = start + 1;
  while (writes[end]?.file === first?.file && writes[end]?.dir === first?.dir) end++;
  return writes.slice(start, end);
}

/** How many of a run were done, and what the kernel said of the next one. */
function applyRun(
  sys: Sys,
  dir: Fd | undefined,
  run: readonly CgroupWrite[],
): { readonly taken: number; readonly errno: number } {
  const [first] = run;
  assert(dir !== undefined && first !== undefined, "a cgroup with a limit is not optional");
  const done = writeLines(
    sys,
    dir,
    first.file,
    run.map(({ value }) => value),
  );
  if (done.errno !== ENOENT) return done;
  if (first.orElse !== undefined) {
    const values = run.map(({ value, orElse }) => orElse?.value ?? value);
    return writeLines(sys, dir, first.orElse.file, values);
  }
  return first.ifPresent === true ? { taken: run.length, errno: 0 } : done;
}

/** What the kernel's answer to a write means: a bad value, or a cgroup that is not as it must be. */
export function refusedWrite(write: CgroupWrite, errno: number): TareError {
  const { field, file, value } = write;
  const code = errno === EINVAL || errno === ERANGE ? "bad_input" : "no_cgroup";
  const message = `Cannot apply ${field} "${value}": write "${file}": ${printError(errno)}`;
  // tg_rt_schedulable() in kernel/sched/rt.c says no more than EINVAL.
  if (errno !== EINVAL || !file.startsWith("cpu.rt_")) return new TareError(code, message);
  return new TareError(code, message, {
    hint: "Realtime is at most the period, and runtime/period of all groups together at most that of the group above them; see its cpu.rt_runtime_us",
  });
}

function printError(errno: number): string {
  return `${errnoText(errno)} (${errnoName(errno)})`;
}

/** The program stays as long as the cgroup; other programs above and beside it judge as well. */
export function attachProgram(sys: Sys, dir: Fd | undefined, program: Uint8Array): void {
  assert(dir !== undefined, "a cgroup with device rules is not optional");
  using loaded = new OwnedFd(sys, check(loadProgram(sys, program), "bpf", "BPF_PROG_LOAD"));
  const ret = sys.bpf_prog_attach(dir, loaded.fd, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI, NO_FD);
  check(ret, "bpf", "BPF_PROG_ATTACH");
}

/** A signal may interrupt the kernel's verifier (EAGAIN). The program calls nothing that a license guards. */
export function loadProgram(sys: Sys, program: Uint8Array): Ret<Fd> {
  const TRIES_MAX = 30;
  const load = (): Ret<Fd> =>
    sys.bpf_prog_load(
      BPF_PROG_TYPE_CGROUP_DEVICE,
      BPF_CGROUP_DEVICE,
      program,
      "Apache",
      DEVICE_PROGRAM,
      null,
    );
  let ret = load();
  for (let tries = 1; errnoOf(ret) === EAGAIN && tries < TRIES_MAX; tries++) ret = load();
  return ret;
}
