/** Saves a running container as files: `checkpoint`. */

import type { Config } from "@tare/spec/oci-runtime.ts";
import { freezerOf, isCgroupFrozen, thawCgroup } from "../cgroup/freezer.ts";
import { type CgroupState, parseCgroupState } from "../cgroup/state.ts";
import { destroy } from "../container/destroy.ts";
import type { Record } from "../container/record.ts";
import { type ContainerDirectory, makePath, toState } from "../container/store.ts";
import { runPoststopHooks } from "../hooks/hooks.ts";
import { ENOENT } from "../sys/abi-errno.ts";
import { AT_FDCWD, O_DIRECTORY, O_RDONLY } from "../sys/abi-file.ts";
import { check, SysError } from "../sys/check.ts";
import { openAt, readAll, readText } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { ownControllers } from "./controllers.ts";
import { saveDescriptors } from "./descriptors.ts";
import { REQUEST } from "./messages.ts";
import { hostMounts, inTree, maskedFiles, openRoot } from "./mounts.ts";
import {
  configFileOf,
  DUMP_LOG,
  type DumpFacts,
  type DumpWishes,
  dumpOptions,
  type ExternalNamespace,
} from "./options.ts";
import { criuFailure } from "./program.ts";
import { CriuService } from "./service.ts";

const OUTPUT_BYTES_MAX = 1024 * 1024;
const CGROUPS_BYTES_MAX = 64 * 1024;
const MFD_CLOEXEC = 1;
const STDOUT = 1 as Fd;
const STDERR = 2 as Fd;

/** Runs criu; when it fails, the container goes on as before. */
export function dump(
  sys: Sys,
  { record, config, wishes }: { record: Record; config: Config; wishes: DumpWishes },
): void {
  const cgroup = parseCgroupState(record.cgroup);
  const facts = dumpFacts(sys, record, config, cgroup);
  makePath(sys, wishes.images);
  makePath(sys, wishes.work);
  if (!wishes.preDump) saveDescriptors(sys, wishes.images, facts.pid);
  const wasFrozen = isCgroupFrozen(sys, cgroup);
  const outcome = runDump(sys, wishes, facts);
  if (outcome.answer?.success === true) return;
  if (!wasFrozen && isCgroupFrozen(sys, cgroup)) thawCgroup(sys, cgroup);
  throw criuFailure(sys, "checkpoint", `${wishes.work}/${DUMP_LOG}`, outcome);
}

/** What criu prints, it prints before it has a log. */
function runDump(sys: Sys, wishes: DumpWishes, facts: DumpFacts) {
  using images = openPlace(sys, wishes.images);
  using work = openPlace(sys, wishes.work);
  using printed = new OwnedFd(sys, check(sys.memfd_create("criu", MFD_CLOEXEC), "memfd_create"));
  using service = CriuService.start(sys, {
    into: undefined,
    enter: () => {
      check(sys.dup3(printed.fd, STDOUT, 0), "dup3");
      check(sys.dup3(printed.fd, STDERR, 0), "dup3");
    },
    keep: [],
  });
  const options = dumpOptions(wishes, facts, { images: images.fd, work: work.fd });
  const type = wishes.preDump ? REQUEST.PRE_DUMP : REQUEST.DUMP;
  const outcome = service.ask(type, options, ({ script }) => {
    if (script === "status-ready") tellReady(sys, wishes.statusFd);
  });
  check(sys.lseek(printed.fd, 0, 0), "lseek");
  return { ...outcome, output: readAll(sys, printed.fd, "criu", OUTPUT_BYTES_MAX) };
}

/** Whoever waits for the word waits for a byte or for the end. */
function tellReady(sys: Sys, fd: number | undefined): void {
  if (fd === undefined) return;
  check(sys.write(fd as Fd, new Uint8Array(1)), "write", `--status-fd ${fd}`);
  sys.close(fd as Fd);
}

/** A directory that criu opens again by our number of it. */
export function openPlace(sys: Sys, path: string): OwnedFd {
  const flags = O_RDONLY | O_DIRECTORY;
  return new OwnedFd(sys, check(openAt(sys, AT_FDCWD, path, flags, 0), "openat2", path));
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
    controllers: ownControllers(
      readText(sys, `/proc/${pid}/cgroup`, CGROUPS_BYTES_MAX) ?? "",
      cgroup,
    ),
    configFile: configFileOf(config.annotations),
  };
}

function externalNamespaces(sys: Sys, { linux }: Config): ExternalNamespace[] {
  return linux.namespaces.flatMap(({ type, path }): ExternalNamespace[] => {
    if (path === undefined || (type !== "network" && type !== "pid")) return [];
    return [{ type, inode: statAt(sys, AT_FDCWD, path, 0).ino }];
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
