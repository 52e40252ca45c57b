/** Saves a running container as files: `checkpoint`. */

import { TareError } from "@tare/spec/error.ts";
import type { Config } from "@tare/spec/oci-runtime.ts";
import { freezerOf, isCgroupFrozen, thawCgroup } from "../cgroup/freezer.ts";
import { type CgroupState, parseCgroupState } from "../cgroup/state.ts";
import { destroy } from "../container/destroy.ts";
import type { Record } from "../container/record.ts";
import { type ContainerDirectory, makePath, toState } from "../container/store.ts";
import { runPoststopHooks } from "../hooks/hooks.ts";
import { captureOutput } from "../process/capture.ts";
import { ENOENT } from "../sys/abi-errno.ts";
import { AT_FDCWD } from "../sys/abi-file.ts";
import { SysError } from "../sys/check.ts";
import { replaceTextAt } from "../sys/file.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import {
  DUMP_LOG,
  type DumpFacts,
  type DumpWishes,
  dumpWords,
  type ExternalNamespace,
} from "./command-line.ts";
import { hostMounts, inTree, linkTarget, maskedFiles, openRoot } from "./mounts.ts";
import { CRIU, criuFailure } from "./program.ts";

/** Where descriptors 0, 1 and 2 led: a JSON array of three texts, in runc's place and form. */
export const DESCRIPTORS_FILE = "descriptors.json";
const OUTPUT_BYTES_MAX = 1024 * 1024;

/** Runs criu; when it fails, the container goes on as before. */
export function dump(
  sys: Sys,
  { record, config, wishes }: { record: Record; config: Config; wishes: DumpWishes },
): void {
  const cgroup = parseCgroupState(record.cgroup);
  const facts = dumpFacts(sys, record, config, cgroup);
  makePath(sys, wishes.images);
  makePath(sys, wishes.work);
  if (!wishes.preDump) {
    const text = JSON.stringify(descriptors(sys, facts.pid));
    replaceTextAt(sys, AT_FDCWD, `${wishes.images}/${DESCRIPTORS_FILE}`, text, 0o600);
  }
  const wasFrozen = isCgroupFrozen(sys, cgroup);
  const keep = wishes.statusFd === undefined ? [] : [wishes.statusFd as Fd];
  const ended = captureOutput(sys, CRIU, dumpWords(wishes, facts), OUTPUT_BYTES_MAX, keep);
  if (ended.status === 0) return;
  if (!wasFrozen && isCgroupFrozen(sys, cgroup)) thawCgroup(sys, cgroup);
  throw criuFailure(sys, "checkpoint", `${wishes.work}/${DUMP_LOG}`, ended);
}

function dumpFacts(sys: Sys, record: Record, config: Config, cgroup: CgroupState): DumpFacts {
  const pid = record.pid ?? 0;
  using root = openRoot(sys, `/proc/${pid}/root`);
  const freezer = freezerOf(cgroup);
  return {
    pid,
    rootfs: record.rootfs,
    mounts: [
      ...inTree(sys, root.fd, hostMounts(config, record.bundle, cgroup)),
      ...maskedFiles(sys, root.fd, config.linux.maskedPaths),
    ],
    namespaces: externalNamespaces(sys, config),
    freezer: freezer === undefined ? undefined : `${freezer.mountpoint}/${freezer.path}`,
  };
}

function externalNamespaces(sys: Sys, { linux }: Config): ExternalNamespace[] {
  return linux.namespaces.flatMap(({ type, path }): ExternalNamespace[] => {
    if (path === undefined || (type !== "network" && type !== "pid")) return [];
    return [{ type, inode: statAt(sys, AT_FDCWD, path, 0).ino }];
  });
}

function descriptors(sys: Sys, pid: number): string[] {
  return [0, 1, 2].map((fd) => {
    try {
      return linkTarget(sys, `/proc/${pid}/fd/${fd}`);
    } catch (error) {
      if (error instanceof SysError && error.errno === ENOENT) return "";
      throw error;
    }
  });
}

/** What is left of a container that criu has saved and ended. */
export function removeSaved(sys: Sys, directory: ContainerDirectory, record: Record): void {
  try {
    destroy(sys, directory, record);
  } catch (error) {
    // A `run` in the foreground sees the end too, and may have taken all away before us.
    if (!(error instanceof SysError) || error.errno !== ENOENT) throw error;
    return;
  }
  runPoststopHooks(sys, record.hooks?.poststop ?? [], toState(record, "stopped"));
}

/** Its terminal's other end is a program outside, which would have to be found again. */
export function refuseTerminal(verb: string, config: Config): void {
  if (config.process?.terminal !== true) return;
  throw new TareError("unsupported", `Cannot ${verb} the container: it has a terminal`, {
    hint: "Only containers with process.terminal false can be saved",
  });
}
