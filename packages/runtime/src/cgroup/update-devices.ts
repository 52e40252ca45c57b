/**
 * Other rules for the devices of a container that exists. At no moment is it without rules: v2 has its
 * program replaced in one step, v1 gets the differences, or the whole while nobody runs.
 * Sources: cgroup-v1/devices.rst; linux/bpf.h, BPF_F_REPLACE.
 */

import { TareError } from "@tare/spec/error.ts";
import { errnoName, errnoText } from "../sys/abi-errno.ts";
import { NO_FD } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { loadProgram } from "./apply.ts";
import { type DeviceLine, type DevicePolicy, deviceTransition } from "./device-rules.ts";
import {
  BPF_CGROUP_DEVICE,
  BPF_F_ALLOW_MULTI,
  BPF_F_REPLACE,
  DEVICE_PROGRAM,
  deviceProgram,
} from "./devices-bpf.ts";
import { freezeCgroup, isCgroupFrozen, thawCgroup } from "./freezer.ts";
import type { OpenCgroup } from "./join.ts";
import { readControl, writeControl } from "./tree.ts";

const FIELD = "linux.resources.devices";
/** The most that the kernel attaches to one cgroup (BPF_CGROUP_MAX_PROGS). */
const PROGRAMS_MAX = 64;
/** `struct bpf_prog_info` up to its name, and the name. */
const INFO_BYTES = 80;
const NAME_AT = 64;

/**
 * @throws TareError `unsupported` for rules that v1 cannot express, `no_cgroup` where there is no
 *   cgroup for them, or the kernel refuses them: then the old ones hold.
 */
export function updateDevices(sys: Sys, cgroup: OpenCgroup, policy: DevicePolicy): void {
  const { dirs } = cgroup.state;
  const v1 = dirs.findIndex(({ controllers }) => controllers.includes("devices"));
  const dir = cgroup.dirs[v1 >= 0 ? v1 : dirs.findIndex(({ version }) => version === 2)]?.fd;
  if (dir === undefined) throw refused("the container has no cgroup for them");
  if (v1 >= 0) updateV1(sys, cgroup, dir, policy);
  else replaceProgram(sys, dir, policy);
}

function updateV1(sys: Sys, cgroup: OpenCgroup, dir: Fd, policy: DevicePolicy): void {
  const before = readControl(sys, dir, "devices.list") ?? "";
  const { lines, whole } = deviceTransition(before, policy);
  const mustFreeze = whole && !isCgroupFrozen(sys, cgroup.state);
  if (mustFreeze) freezeCgroup(sys, cgroup.state);
  try {
    const errno = writeAll(sys, dir, lines);
    if (errno === 0) return;
    restore(sys, dir, before);
    throw refused(`${errnoText(errno)} (${errnoName(errno)})`);
  } finally {
    if (mustFreeze) thawCgroup(sys, cgroup.state);
  }
}

function writeAll(sys: Sys, dir: Fd, lines: readonly DeviceLine[]): number {
  for (const { file, line } of lines) {
    const errno = writeControl(sys, dir, file, line);
    if (errno !== 0) return errno;
  }
  return 0;
}

/** Everything that was allowed, and no more, in the words of the kernel's list. */
function restore(sys: Sys, dir: Fd, list: string): void {
  const lines = list.split("\n").filter((line) => line !== "");
  if (lines.some((line) => line.startsWith("a "))) {
    writeControl(sys, dir, "devices.allow", "a");
    return;
  }
  const now = (readControl(sys, dir, "devices.list") ?? "").split("\n");
  for (const line of lines) writeControl(sys, dir, "devices.allow", line);
  const added = now.filter((line) => line !== "" && !lines.includes(line));
  for (const line of added) writeControl(sys, dir, "devices.deny", line);
  // What was allowed in part only went with the line that allowed more of it.
  for (const line of lines) writeControl(sys, dir, "devices.allow", line);
}

/** Ours is known by its name; those of others, as of systemd, judge beside it as before. */
function replaceProgram(sys: Sys, dir: Fd, policy: DevicePolicy): void {
  const program = deviceProgram(policy);
  using loaded = new OwnedFd(sys, check(loadProgram(sys, program), "bpf", "BPF_PROG_LOAD"));
  using old = findProgram(sys, dir);
  const flags = old === undefined ? BPF_F_ALLOW_MULTI : BPF_F_ALLOW_MULTI | BPF_F_REPLACE;
  const ret = sys.bpf_prog_attach(dir, loaded.fd, BPF_CGROUP_DEVICE, flags, old?.fd ?? NO_FD);
  check(ret, "bpf", "BPF_PROG_ATTACH");
}

function findProgram(sys: Sys, dir: Fd): OwnedFd | undefined {
  const ids = new Int32Array(PROGRAMS_MAX);
  const count = check(sys.bpf_prog_query(dir, BPF_CGROUP_DEVICE, ids), "bpf", "BPF_PROG_QUERY");
  for (const id of ids.subarray(0, count)) {
    const ret = sys.bpf_prog_by_id(id);
    // It was taken away meanwhile.
    if (errnoOf(ret) !== 0) continue;
    const program = new OwnedFd(sys, check(ret, "bpf", "BPF_PROG_GET_FD_BY_ID"));
    if (nameOf(sys, program.fd) === DEVICE_PROGRAM) return program;
    program.close();
  }
  return undefined;
}

function nameOf(sys: Sys, program: Fd): string {
  const info = new Uint8Array(INFO_BYTES);
  check(sys.bpf_prog_info(program, info), "bpf", "BPF_OBJ_GET_INFO_BY_FD");
  const name = info.subarray(NAME_AT);
  return String.fromCharCode(...name.subarray(0, name.indexOf(0)));
}

function refused(why: string): TareError {
  return new TareError("no_cgroup", `Cannot apply ${FIELD}: ${why}`);
}
