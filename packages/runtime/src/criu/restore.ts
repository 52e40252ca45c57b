/**
 * Makes a container again from what `checkpoint` has saved: record and cgroups as `create` makes them,
 * processes and namespaces by criu. It runs in a mount namespace of its own, where the root file system
 * is a mount, as criu wants it: so nothing of that is left, however it ends.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Config } from "@tare/spec/oci-runtime.ts";
import { joinCgroup, NO_JOIN, openJoin } from "../cgroup/join.ts";
import type { plannedState } from "../cgroup/state.ts";
import {
  type CreateRequest,
  firstRecord,
  makeCgroup,
  prepare,
  startTimeOf,
  undo,
} from "../container/create.ts";
import type { Record } from "../container/record.ts";
import { type ContainerDirectory, createDirectory } from "../container/store.ts";
import { attachRoot, setPropagation } from "../mounts/root.ts";
import { becomeHostProgram } from "../process/capture.ts";
import { waitFor } from "../process/wait.ts";
import { loadFilter } from "../seccomp/apply.ts";
import { AT_FDCWD, NO_FD, O_CLOEXEC, O_RDONLY } from "../sys/abi-file.ts";
import { MS_SLAVE } from "../sys/abi-mount.ts";
import { CLONE_INTO_CGROUP, CLONE_NEWNS, SIGCHLD, SIGKILL } from "../sys/abi-process.ts";
import { check } from "../sys/check.ts";
import { decodeText, openAt, readAll, readText, readTextAt, retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import {
  EXTERNAL_NAMESPACES,
  JOINED_NAMESPACES,
  RESTORE_LOG,
  type RestoreFacts,
  restoreWords,
  type Wishes,
} from "./command-line.ts";
import { DESCRIPTORS_FILE, refuseTerminal } from "./dump.ts";
import { hostMounts, inTree, makeMountPoints, maskSource, openRoot } from "./mounts.ts";
import { CRIU, criuFailure } from "./program.ts";

const DESCRIPTORS_BYTES_MAX = 64 * 1024;
const PID_FILE = "restored.pid";
const PID_BYTES_MAX = 32;
const COMPLAINT_BYTES_MAX = 64 * 1024;
const EXIT_NOT_STARTED = 126;

export type RestoreRequest = {
  readonly create: CreateRequest;
  readonly wishes: Wishes;
  readonly labels: Pick<RestoreFacts, "lsmProfile" | "lsmMountContext">;
};

/** A container that runs: its first process is our child. */
export type Restored = {
  readonly directory: ContainerDirectory;
  readonly record: Record;
  readonly config: Config;
  readonly pid: number;
};

/** Takes all back where it fails. */
export function restore(sys: Sys, request: RestoreRequest): Restored {
  const { create, wishes } = request;
  const inherited = inheritedPipes(sys, wishes.images);
  const { config, cgroup, scope } = prepare(sys, create);
  using _connection = scope;
  refuseTerminal("restore", config);
  refuseHooks(config);
  const directory = createDirectory(sys, create.root, create.id);
  let record = firstRecord(sys, create, config, cgroup);
  const note = (change: Partial<Record>) => {
    record = { ...record, ...change };
    directory.note(change);
  };
  directory.begin(record);
  try {
    const { seccomp } = config.linux;
    // criu gives the processes their filters back; this one is for those that `exec` will add.
    if (seccomp !== undefined) loadFilter(sys, create.root, seccomp, directory.fd);
    using namespaces = openNamespaces(sys, config);
    const facts = {
      ...restoreFacts(sys, request, config, record),
      inherited: [...inherited, ...namespaces.inherited],
    };
    const opened =
      scope !== undefined
        ? undefined
        : makeCgroup(sys, cgroup, (left) => {
            record = { ...record, cgroup: left };
          });
    if (opened !== undefined) note({ cgroup: opened.state });
    const join = opened === undefined ? NO_JOIN : openJoin(sys, opened);
    const gift = { facts, config, wishes, join, bundle: create.bundle };
    runRestore(sys, gift, (pid) => {
      scope?.start(sys, pid, cgroup, (state) => note({ cgroup: state }));
    });
    const pid = restoredPid(sys, directory.fd);
    record = { ...record, pid };
    note({ pid, startTime: startTimeOf(sys, pid), ready: true });
    create.onPid(pid);
    return { directory, record, config, pid };
  } catch (error) {
    undo(sys, directory, record);
    throw error;
  }
}

/** Hooks that belong between two steps of criu would be forgotten silently. */
function refuseHooks({ hooks }: Config): void {
  const names = ["prestart", "createRuntime", "createContainer", "startContainer"] as const;
  const asked = names.find((name) => hooks[name].length > 0);
  if (asked === undefined) return;
  throw new TareError("unsupported", `Cannot restore the container: it has ${asked} hooks`, {
    hint: "criu gives no place for them; leave them out of the bundle that is restored",
  });
}

/** Standard streams that were pipes become ours. */
function inheritedPipes(sys: Sys, images: string): RestoreFacts["inherited"] {
  const path = `${images}/${DESCRIPTORS_FILE}`;
  const text = readText(sys, path, DESCRIPTORS_BYTES_MAX);
  if (text === undefined) {
    throw new TareError("not_found", `Cannot restore from "${images}": no ${DESCRIPTORS_FILE}`, {
      hint: "Give the directory of checkpoint's --image-path",
    });
  }
  return parseDescriptors(text, path).flatMap((name, fd) =>
    name.startsWith("pipe:") ? [{ fd, name }] : [],
  );
}

/** @throws TareError `corrupt` where it is no array of at most three texts. Pure. */
export function parseDescriptors(text: string, path: string): readonly string[] {
  const STREAMS = 3;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TareError("corrupt", `Cannot read "${path}": it is not JSON`, { cause });
  }
  const list: readonly unknown[] = Array.isArray(value) ? value : [undefined];
  const isText = (each: unknown) => typeof each === "string" && !each.includes("\0");
  if (list.length <= STREAMS && list.every(isText)) return list as readonly string[];
  throw new TareError("corrupt", `Cannot read "${path}": want an array of at most three texts`);
}

function restoreFacts(
  sys: Sys,
  { create, labels }: RestoreRequest,
  config: Config,
  record: Record,
): Omit<RestoreFacts, "inherited"> {
  using root = openRoot(sys, record.rootfs);
  const cgroup = record.cgroup as ReturnType<typeof plannedState>;
  const mounts = inTree(sys, root.fd, hostMounts(config, create.bundle, cgroup));
  return {
    rootfs: record.rootfs,
    pidFile: `${create.root}/${create.id}/${PID_FILE}`,
    mounts: [...mounts, ...maskSource(config)],
    joined: config.linux.namespaces.flatMap(({ type, path }) =>
      path !== undefined && JOINED_NAMESPACES.has(type) ? [{ type, path }] : [],
    ),
    cgroups: cgroup.dirs.map(({ version, controllers, path }) => ({
      controllers: version === 2 ? [] : controllers,
      path: `/${path}`,
    })),
    ...labels,
  };
}

/** Those that criu is handed as descriptors, which execve(2) leaves open. */
function openNamespaces(sys: Sys, { linux }: Config) {
  const opened = new DisposableStack();
  const inherited = linux.namespaces.flatMap(({ type, path }) => {
    if (path === undefined || (type !== "network" && type !== "pid")) return [];
    const file = new OwnedFd(sys, check(openAt(sys, AT_FDCWD, path, O_RDONLY, 0), "openat2", path));
    return [{ fd: opened.use(file).fd as number, name: EXTERNAL_NAMESPACES[type].name }];
  });
  return { inherited, [Symbol.dispose]: (): void => opened.dispose() };
}

type Gift = {
  readonly facts: RestoreFacts;
  readonly config: Config;
  readonly wishes: Wishes;
  readonly join: ReturnType<typeof openJoin>;
  readonly bundle: string;
};

/** Runs criu in the container's cgroups: what it makes begins there. `placed` is told its pid before it starts. */
function runRestore(sys: Sys, gift: Gift, placed: (pid: number) => void): void {
  using complaint = new Pipe(sys);
  using gate = new Pipe(sys);
  const { procs, into } = gift.join;
  const flags = into === undefined ? 0 : CLONE_INTO_CGROUP;
  const pid = check(sys.clone3(flags, SIGCHLD, into ?? NO_FD), "clone3");
  if (pid === 0) return becomeCriu(sys, gift, { complaint, gate });
  for (const fd of [...procs, ...(into === undefined ? [] : [into])]) sys.close(fd);
  complaint.writer.close();
  gate.reader.close();
  try {
    placed(pid);
    check(sys.write(gate.writer.fd, new Uint8Array(1)), "write", "criu's gate");
  } catch (error) {
    sys.kill(pid, SIGKILL);
    waitFor(sys, pid);
    throw error;
  }
  const bytes = readAll(sys, complaint.reader.fd, "criu's start", COMPLAINT_BYTES_MAX);
  const status = waitFor(sys, pid);
  if (bytes.length > 0) throw new TareError("system", decodeText(sys, bytes, "criu's start"));
  const log = `${gift.wishes.work}/${RESTORE_LOG}`;
  if (status !== 0) throw criuFailure(sys, "restore", log, { status, output: bytes });
}

/** In the child; never returns. */
function becomeCriu(sys: Sys, gift: Gift, pipes: { complaint: Pipe; gate: Pipe }): never {
  const { facts, config, bundle, wishes } = gift;
  pipes.gate.writer.close();
  const go = retried(() => sys.read(pipes.gate.reader.fd, new Uint8Array(1)));
  try {
    if (check(go, "read", "criu's gate") !== 1) sys.exit_group(EXIT_NOT_STARTED);
    joinCgroup(sys, gift.join);
    check(sys.unshare(CLONE_NEWNS), "unshare");
    setPropagation(sys, MS_SLAVE);
    // No mount is shared any more. Made private, it would lack the master that criu wants to find again.
    const root = attachRoot(sys, facts.rootfs, false);
    makeMountPoints(sys, root, config, bundle);
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    sys.write(pipes.complaint.writer.fd, sys.encode_utf8(words));
    sys.exit_group(EXIT_NOT_STARTED);
  }
  const kept = facts.inherited.map(({ fd }) => fd as Fd).filter((fd) => fd > 2);
  return becomeHostProgram(sys, [CRIU, ...restoreWords(wishes, facts)], kept);
}

class Pipe {
  readonly reader: OwnedFd;
  readonly writer: OwnedFd;

  constructor(sys: Sys) {
    const ends = new Int32Array(2);
    check(sys.pipe2(ends, O_CLOEXEC), "pipe2");
    this.reader = new OwnedFd(sys, ends[0] as Fd);
    this.writer = new OwnedFd(sys, ends[1] as Fd);
  }

  [Symbol.dispose](): void {
    this.reader.close();
    this.writer.close();
  }
}

/** What criu wrote: the first process, in our pid namespace. */
function restoredPid(sys: Sys, directory: Fd): number {
  const pid = Number(readTextAt(sys, directory, PID_FILE, PID_BYTES_MAX));
  sys.unlinkat(directory, PID_FILE, 0);
  if (Number.isInteger(pid) && pid > 1) return pid;
  throw new TareError("system", "Cannot restore: criu does not tell the pid of the first process");
}
