/**
 * Changes the limits of a container that exists, all or none: the value that each file had is put
 * back, last one first, where a later write is refused.
 */

import { assert, TareError } from "@tare/spec/error.ts";
import type { Resources } from "@tare/spec/oci-runtime.ts";
import { EBUSY, EINVAL, ENOENT } from "../sys/abi-errno.ts";
import { O_DIRECTORY, O_PATH } from "../sys/abi-file.ts";
import { check, SysError } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { enableControllers, refusedWrite } from "./apply.ts";
import type { OpenCgroup } from "./join.ts";
import type { CgroupWrite } from "./plan.ts";
import { type InForce, isInForce, planUpdate, valueBefore } from "./plan-update.ts";
import type { CgroupStateDir } from "./state.ts";
import { openBelow, openMount, readControl, writeControl } from "./tree.ts";

/** How to take back what was written. */
type Undo = { readonly dir: Fd; readonly file: string; readonly value: string };

/**
 * Sets limits, and answers what would take them back; what `resources` does not name stays as it is,
 * and its devices are not looked at.
 * @throws TareError as planUpdate, and `bad_input` or `no_cgroup` where the kernel refuses a value:
 *   then everything is as before.
 */
export function updateLimits(sys: Sys, cgroup: OpenCgroup, resources: Resources): () => void {
  const { unit } = cgroup.state;
  const systemd = unit === undefined ? undefined : loadPart(sys, "tare-runtime~systemd");
  const planned = planUpdate(cgroup.state, resources, readInForce(sys, cgroup));
  const writes = systemd?.withWholePercents(planned) ?? planned;
  const done: Undo[] = [];
  let isTold = false;
  const undo = (): void => {
    for (const { dir, file, value } of done.toReversed()) writeControl(sys, dir, file, value);
    if (unit !== undefined && isTold) tellAgain(() => systemd?.updateUnit(sys, unit, done));
  };
  try {
    turnOn(sys, cgroup, writes);
    const waiting = writes.filter((write) => !replace(sys, cgroup, write, done, write.mayWait));
    for (const write of waiting) replace(sys, cgroup, write, done, false);
    // After the kernel, which refuses what systemd would only log.
    if (unit !== undefined) systemd?.updateUnit(sys, unit, writes);
    isTold = true;
  } catch (error) {
    undo();
    throw error;
  }
  return undo;
}

/** What systemd knows from before, it writes again some time; who learns why the update failed comes first. */
function tellAgain(tell: () => void): void {
  try {
    tell();
  } catch (error) {
    if (!(error instanceof TareError)) throw error;
  }
}

/** What a plan must know; of v1 the kernel itself knows how memory and swap belong together. */
function readInForce(sys: Sys, { state, dirs }: OpenCgroup): InForce {
  const found: { -readonly [Name in keyof InForce]: InForce[Name] } = {};
  for (const [index, { version }] of state.dirs.entries()) {
    const dir = dirs[index]?.fd;
    if (dir === undefined) continue;
    const read = (file: string): bigint | undefined => firstNumber(readControl(sys, dir, file));
    found.usage ??= read(version === 2 ? "memory.current" : "memory.usage_in_bytes");
    if (version === 1) {
      found.quota ??= read("cpu.cfs_quota_us");
      found.period ??= read("cpu.cfs_period_us");
      continue;
    }
    found.memory = read("memory.max");
    found.swap = read("memory.swap.max");
    const [quota, period] = (readControl(sys, dir, "cpu.max") ?? "").split(" ");
    found.quota ??= firstNumber(quota);
    found.period ??= firstNumber(period);
  }
  return found;
}

/** The number at the begin of a file; "max" says that there is no limit, as -1 does on v1. */
function firstNumber(text: string | undefined): bigint | undefined {
  const [word] = (text ?? "").trim().split(" ");
  if (word === undefined || word === "") return undefined;
  return word === "max" ? -1n : BigInt(word);
}

/** Beside v1, a v2 cgroup has only the controllers that its container has asked for yet. */
function turnOn(sys: Sys, { state, dirs }: OpenCgroup, writes: readonly CgroupWrite[]): void {
  for (const [index, place] of state.dirs.entries()) {
    const dir = dirs[index]?.fd;
    if (place.version === 1 || dir === undefined) continue;
    const present = (readControl(sys, dir, "cgroup.controllers") ?? "").trim().split(" ");
    const names = writes.filter((write) => write.dir === index).map(({ controller }) => controller);
    const missing = new Set(names.filter((name) => name !== "cgroup" && !present.includes(name)));
    if (missing.size > 0) turnOnAbove(sys, place, [...missing]);
  }
}

/** What is refused here is missed when its file is written. */
function turnOnAbove(sys: Sys, place: CgroupStateDir, names: readonly string[]): void {
  using mount = openMount(sys, place);
  const path = place.path.split("/");
  for (let depth = 0; depth < path.length; depth++) {
    const above = path.slice(0, depth).join("/");
    using dir = new OwnedFd(
      sys,
      check(
        openBelow(sys, mount.fd, above === "" ? "." : above, O_PATH | O_DIRECTORY),
        "openat2",
        above,
      ),
    );
    enableControllers(sys, dir.fd, names, new Map());
  }
}

/** Writes unless the value is there already; false where the kernel may take it after the others. */
function replace(
  sys: Sys,
  cgroup: OpenCgroup,
  write: CgroupWrite,
  done: Undo[],
  mayWait = false,
): boolean {
  const dir = cgroup.dirs[write.dir]?.fd;
  assert(dir !== undefined, "a write is for a cgroup of the container");
  const target = presentFile(sys, dir, write);
  if (target === undefined) return true;
  const { asked, text } = target;
  if (isInForce(asked, text)) return true;
  const errno = writeControl(sys, dir, asked.file, asked.value);
  if (errno === EINVAL && mayWait) return false;
  if (errno !== 0) throw refused(sys, dir, asked, errno);
  const value = valueBefore(asked, text);
  if (value !== undefined) done.push({ dir, file: asked.file, value });
  return true;
}

/** The file that this kernel has for a limit, and what is in it; undefined where none is no loss. */
function presentFile(
  sys: Sys,
  dir: Fd,
  write: CgroupWrite,
): { readonly asked: CgroupWrite; readonly text: string } | undefined {
  const candidates = write.orElse === undefined ? [write] : [write, { ...write, ...write.orElse }];
  for (const asked of candidates) {
    const text = contentOf(sys, dir, asked.file);
    if (text !== undefined) return { asked, text };
  }
  if (write.ifPresent === true) return undefined;
  throw refusedWrite(write, ENOENT);
}

/** Empty where a file can be written only. */
function contentOf(sys: Sys, dir: Fd, file: string): string | undefined {
  try {
    return readControl(sys, dir, file);
  } catch (error) {
    if (error instanceof SysError) return "";
    throw error;
  }
}

/** v1 does not go below what is in use and cannot be written to disk (EBUSY). */
function refused(sys: Sys, dir: Fd, write: CgroupWrite, errno: number): TareError {
  if (errno !== EBUSY || write.file !== "memory.limit_in_bytes") return refusedWrite(write, errno);
  const usage = readControl(sys, dir, "memory.usage_in_bytes")?.trim();
  const peak = readControl(sys, dir, "memory.max_usage_in_bytes")?.trim();
  const why = `unable to set memory limit to ${write.value} (current usage: ${usage}, peak usage: ${peak})`;
  return new TareError("bad_input", `Cannot update the container: ${why}`);
}
