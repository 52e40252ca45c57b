/**
 * Stops and resumes all processes of a cgroup: freezer.state of v1, cgroup.freeze of v2.
 * Sources: cgroup-v1/freezer-subsystem.rst; cgroup-v2.rst, "cgroup.freeze" and "cgroup.events".
 */

import { TareError } from "@tare/spec/error.ts";
import { errnoName, errnoText } from "../sys/abi-errno.ts";
import { O_RDONLY, O_WRONLY } from "../sys/abi-file.ts";
import { POLLPRI } from "../sys/abi-socket.ts";
import { check, errnoOf, SysError } from "../sys/check.ts";
import { monotonicMs } from "../sys/clock.ts";
import { retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { CgroupState, CgroupStateDir } from "./state.ts";
import { isGone, openBelow, openCgroup, openMount, readControl, writeControl } from "./tree.ts";

const FREEZE_MS_MAX = 10_000;
const V1_TRIES_WITHOUT_PAUSE = 10;
const V1_TRIES_UNTIL_THAW = 100;

/**
 * Freezes a container; returns when every process has stopped.
 * @throws TareError `no_cgroup` where the container has no freezer, `system` where some process
 *   would not stop in `msMax` (ten seconds): the container is then thawed again.
 */
export function freezeCgroup(sys: Sys, state: CgroupState, msMax = FREEZE_MS_MAX): void {
  using dir = openFreezer(sys, state);
  freezeDir(sys, dir, msMax);
}

type Freezer = { readonly version: 1 | 2; readonly fd: Fd };

function freezeDir(sys: Sys, { version, fd }: Freezer, msMax: number): void {
  try {
    if (version === 1) freezeV1(sys, fd, msMax);
    else freezeV2(sys, fd, msMax);
  } catch (error) {
    // Who is told that it failed must not find it done.
    writeControl(sys, fd, ...thawed(version));
    throw error;
  }
}

/** Freezes as `freezeCgroup` does; what thaws again is open before: that can hardly fail then. */
export function freezeForNow(sys: Sys, state: CgroupState, msMax: number): { thaw: () => void } {
  using dir = openFreezer(sys, state);
  const [name, value] = thawed(dir.version);
  const ret = openBelow(sys, dir.fd, name, O_WRONLY);
  const file = new OwnedFd(sys, check(ret, "openat2", name));
  try {
    freezeDir(sys, dir, msMax);
  } catch (error) {
    file.close();
    throw error;
  }
  const write = () => retried(() => sys.write(file.fd, sys.encode_utf8(value)));
  const thaw = (): void => {
    let errno = errnoOf(write());
    // Nobody else would do it: once more, for what passes.
    if (errno !== 0 && !isGone(errno)) errno = errnoOf(write());
    file.close();
    // Somebody may have removed the cgroup meanwhile: with it everybody in it is gone.
    if (errno !== 0 && !isGone(errno)) throw refused(name, value, errno);
  };
  return { thaw };
}

/** The file and the word that let a cgroup go on. */
function thawed(version: 1 | 2): [file: string, value: string] {
  return version === 1 ? ["freezer.state", "THAWED"] : ["cgroup.freeze", "0"];
}

/** Lets a frozen container go on; one that is not frozen stays as it is. */
export function thawCgroup(sys: Sys, state: CgroupState): void {
  using dir = openFreezer(sys, state);
  mustWrite(sys, dir.fd, ...thawed(dir.version));
  if (dir.version === 2 || !isStillFrozen(sys, dir.fd)) return;
  throw new TareError("no_cgroup", "Cannot resume the container: a cgroup above it is frozen");
}

/** What cannot be read is no reason to call what was done a failure. */
function isStillFrozen(sys: Sys, dir: Fd): boolean {
  try {
    return isFrozen(sys, dir);
  } catch (error) {
    if (error instanceof SysError) return false;
    throw error;
  }
}

/** Whether a container is frozen; one without a freezer, or whose cgroup is gone, is not. */
export function isCgroupFrozen(sys: Sys, state: CgroupState): boolean {
  const place = freezerOf(state);
  if (place === undefined) return false;
  using dir = openCgroup(sys, place);
  if (dir === undefined) return false;
  return isFrozen(sys, dir.fd) || (place.version === 2 && isFrozenAbove(sys, place));
}

/**
 * v2 says of a cgroup only what was written to it; cgroup.events, which knows more, comes late after
 * a thaw.
 */
function isFrozenAbove(sys: Sys, place: CgroupStateDir): boolean {
  using mount = openMount(sys, place);
  const parents = place.path.split("/").slice(0, -1);
  return parents.some((_name, depth) => {
    const file = [...parents.slice(0, depth + 1), "cgroup.freeze"].join("/");
    return (readControl(sys, mount.fd, file) ?? "").trim() === "1";
  });
}

/** Whether a cgroup is frozen or about to be; of v1 also by one above it. */
export function isFrozen(sys: Sys, dir: Fd): boolean {
  const v1 = readControl(sys, dir, "freezer.state");
  if (v1 !== undefined) return v1.trim() !== "THAWED";
  return (readControl(sys, dir, "cgroup.freeze") ?? "").trim() === "1";
}

/** Of the hierarchies of a container the one that freezes: v1's own where there is one, else v2. */
export function freezerOf(state: CgroupState): CgroupStateDir | undefined {
  const v1 = state.dirs.find(({ controllers }) => controllers.includes("freezer"));
  return v1 ?? state.dirs.find(({ version }) => version === 2);
}

function openFreezer(sys: Sys, state: CgroupState) {
  const place = freezerOf(state);
  const dir = place === undefined ? undefined : openCgroup(sys, place);
  if (place === undefined || dir === undefined) {
    const why = place === undefined ? "it has no cgroup with a freezer" : "its cgroup is gone";
    throw new TareError("no_cgroup", `Cannot freeze or thaw the container: ${why}`);
  }
  return {
    version: place.version,
    fd: dir.fd,
    [Symbol.dispose]: (): void => dir.close(),
  };
}

/**
 * v1 cannot freeze what keeps forking: the state stays FREEZING until it is asked for again, now and
 * then after a thaw. On a busy machine a process must first get a processor to stop on.
 */
function freezeV1(sys: Sys, dir: Fd, msMax: number): void {
  const end = monotonicMs(sys) + msMax;
  for (let tries = 1; monotonicMs(sys) < end; tries++) {
    mustWrite(sys, dir, "freezer.state", "FROZEN");
    if ((readControl(sys, dir, "freezer.state") ?? "").trim() === "FROZEN") return;
    if (tries % V1_TRIES_UNTIL_THAW === 0) {
      writeControl(sys, dir, "freezer.state", "THAWED");
      sys.sleep_ms(10);
    } else if (tries > V1_TRIES_WITHOUT_PAUSE) sys.sleep_ms(1);
  }
  writeControl(sys, dir, "freezer.state", "THAWED");
  throw notFrozen(`some process is still running after ${msMax} ms`);
}

/** The kernel says in cgroup.events when all have stopped, and wakes who polls it. */
function freezeV2(sys: Sys, dir: Fd, msMax: number): void {
  const events = "cgroup.events";
  using file = new OwnedFd(sys, check(openBelow(sys, dir, events, O_RDONLY), "openat2", events));
  mustWrite(sys, dir, "cgroup.freeze", "1");
  const end = monotonicMs(sys) + msMax;
  for (;;) {
    const text = new Uint8Array(256);
    const length = check(sys.pread(file.fd, text, 0), "pread", events);
    const lines = (sys.decode_utf8(text.subarray(0, length)) ?? "").split("\n");
    if (lines.includes("frozen 1")) return;
    const left = end - monotonicMs(sys);
    if (left <= 0) break;
    sys.poll(new Int32Array([file.fd, POLLPRI, 0]), left);
  }
  writeControl(sys, dir, "cgroup.freeze", "0");
  throw notFrozen(`some process is still running after ${msMax} ms`);
}

function mustWrite(sys: Sys, dir: Fd, file: string, value: string): void {
  const errno = writeControl(sys, dir, file, value);
  if (errno !== 0) throw refused(file, value, errno);
}

function refused(file: string, value: string, errno: number): TareError {
  const why = `${errnoText(errno)} (${errnoName(errno)})`;
  return new TareError("system", `Cannot write "${value}" to "${file}": ${why}`);
}

function notFrozen(why: string): TareError {
  return new TareError("system", `Cannot freeze the container: ${why}`);
}
