/**
 * Makes a container again from what `checkpoint` has saved: record and cgroups as `create` makes them,
 * processes and namespaces by criu. It runs in a mount namespace of its own, where the root file system
 * is a mount, as criu wants it: so nothing of that is left, however it ends.
 */

import type { Config } from "@tare/spec/oci-runtime.ts";
import { type CgroupJoin, joinCgroup, NO_JOIN, openJoin } from "../cgroup/join.ts";
import type { plannedState } from "../cgroup/state.ts";
import {
  type CreateRequest,
  firstRecord,
  makeCgroup,
  prepare,
  startTimeOf,
  undo,
} from "../container/create.ts";
import { type Placement, place } from "../container/placement.ts";
import type { Record } from "../container/record.ts";
import { type ContainerDirectory, createDirectory, makePath, toState } from "../container/store.ts";
import { runHooks } from "../hooks/hooks.ts";
import { attachRoot, setPropagation } from "../mounts/root.ts";
import { loadFilter } from "../seccomp/apply.ts";
import { ENOENT } from "../sys/abi-errno.ts";
import { AT_FDCWD, O_RDONLY } from "../sys/abi-file.ts";
import { MS_SLAVE } from "../sys/abi-mount.ts";
import { CLONE_NEWNS } from "../sys/abi-process.ts";
import { check, errnoOf, SysError } from "../sys/check.ts";
import { openAt, retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { isTerminal, readDescriptors } from "./descriptors.ts";
import { openPlace } from "./dump.ts";
import { REQUEST } from "./messages.ts";
import { hostMounts, inTree, linkTarget, makeMountPoints, maskSource, openRoot } from "./mounts.ts";
import {
  configFileOf,
  EXTERNAL_NAMESPACES,
  JOINED_NAMESPACES,
  RESTORE_LOG,
  type RestoreFacts,
  restoreOptions,
  type Wishes,
} from "./options.ts";
import { criuFailure } from "./program.ts";
import { CriuService, type Notice } from "./service.ts";

/** criu's, in its working directory. */
const PAGE_SERVER = "lazy-pages.socket";
const PAGE_SERVER_MS_MAX = 10_000;
const PAUSE_MS = 10;

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
  const saved = readDescriptors(sys, wishes.images);
  makePath(sys, wishes.work);
  const { config, version, cgroup, scope, placement } = prepare(sys, create);
  using _connection = scope;
  const directory = createDirectory(sys, create.root, create.id);
  let record = firstRecord(sys, create, { config, version }, cgroup);
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
    const common = restoreFacts(sys, request, config, record);
    const facts = { ...common, inherited: [...inheritedPipes(saved), ...namespaces.inherited] };
    const opened =
      scope !== undefined
        ? undefined
        : makeCgroup(sys, cgroup, (left) => {
            record = { ...record, cgroup: left };
          });
    if (opened !== undefined) note({ cgroup: opened.state });
    const join = opened === undefined ? NO_JOIN : openJoin(sys, opened);
    using service = startCriu(sys, { facts, config, join, bundle: create.bundle });
    scope?.start(sys, service.pid, cgroup, (state) => note({ cgroup: state }));
    // Children of criu are in its groups. Devices wait for the network namespace.
    place(sys, { ...placement, devices: [] }, config, service.pid, (resctrl) => note({ resctrl }));
    const pid = askCriu(sys, service, { wishes, facts }, (notice) => {
      answer(sys, notice, { create, config, record, saved, placement });
    });
    record = { ...record, pid };
    const { exec } = hasOwnTime(sys, pid)
      ? firstRecord(sys, create, { config: withTime(config), version }, cgroup)
      : record;
    note({ pid, startTime: startTimeOf(sys, pid), ready: true, exec });
    create.onPid(pid);
    return { directory, record, config, pid };
  } catch (error) {
    undo(sys, directory, record);
    throw error;
  }
}

type Wanted = {
  readonly create: CreateRequest;
  readonly config: Config;
  readonly record: Record;
  readonly saved: readonly string[];
  readonly placement: Placement;
};

/** What is ours to do while criu makes the container. */
function answer(sys: Sys, { script, pid = 0, fd }: Notice, wanted: Wanted): void {
  const { create, config, record, saved, placement } = wanted;
  if (script === "setup-namespaces") {
    // A namespace of others still has its devices.
    if (hasOwnNetwork(config)) {
      place(sys, { ...placement, resctrl: undefined }, config, pid, () => {});
    }
    // The host's part: the network, above all. What later hooks did inside, criu has saved.
    const state = toState({ ...record, pid }, "created");
    runHooks(sys, "prestart", config.hooks.prestart, state);
    runHooks(sys, "createRuntime", config.hooks.createRuntime, state);
  }
  if (script !== "orphan-pts-master" || fd === undefined) return;
  // One that `exec` had made has nobody any more: closed, it hangs up.
  if (config.process?.terminal !== true || !isTerminal(sys, fd.fd, saved)) return;
  create.onConsole(new OwnedFd(sys, fd.release()));
}

function hasOwnNetwork({ linux }: Config): boolean {
  return linux.namespaces.some(({ type, path }) => type === "network" && path === undefined);
}

/** criu puts processes into a time namespace, so that their clocks go on where they were. */
function hasOwnTime(sys: Sys, pid: number): boolean {
  try {
    const [ours, theirs] = ["self", pid].map((each) => linkTarget(sys, `/proc/${each}/ns/time`));
    return ours !== theirs;
  } catch (error) {
    // It has ended already.
    if (error instanceof SysError && error.errno === ENOENT) return false;
    throw error;
  }
}

/** `exec` joins the namespaces of the configuration. */
function withTime(config: Config): Config {
  const { linux } = config;
  if (linux.namespaces.some(({ type }) => type === "time")) return config;
  return { ...config, linux: { ...linux, namespaces: [...linux.namespaces, { type: "time" }] } };
}

/** Standard streams that were pipes become ours. */
function inheritedPipes(saved: readonly string[]): RestoreFacts["inherited"] {
  return saved.flatMap((name, fd) => (name.startsWith("pipe:") ? [{ fd, name }] : []));
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
    mounts: [...mounts, ...maskSource(config)],
    joined: config.linux.namespaces.flatMap(({ type, path }) =>
      path !== undefined && JOINED_NAMESPACES.has(type) ? [{ type, path }] : [],
    ),
    cgroups: cgroup.dirs.map(({ version, controllers, path }) => ({
      controllers: version === 2 ? [] : controllers,
      path: `/${path}`,
    })),
    configFile: configFileOf(config.annotations),
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
  readonly join: CgroupJoin;
  readonly bundle: string;
};

/** In the container's cgroups: what it makes begins there. */
function startCriu(sys: Sys, { facts, config, join, bundle }: Gift): CriuService {
  const { procs, into } = join;
  const service = CriuService.start(sys, {
    into,
    enter: () => {
      joinCgroup(sys, join);
      check(sys.unshare(CLONE_NEWNS), "unshare");
      setPropagation(sys, MS_SLAVE);
      // No mount is shared any more. Made private, it would lack the master that criu wants to find again.
      const root = attachRoot(sys, facts.rootfs, false);
      makeMountPoints(sys, root, config, bundle);
    },
    keep: facts.inherited.map(({ fd }) => fd as Fd).filter((fd) => fd > 2),
  });
  for (const fd of [...procs, ...(into === undefined ? [] : [into])]) sys.close(fd);
  return service;
}

/** The answer is the first process, in our pid namespace. */
function askCriu(
  sys: Sys,
  service: CriuService,
  { wishes, facts }: { readonly wishes: Wishes; readonly facts: RestoreFacts },
  heard: (notice: Notice) => void,
): number {
  // In criu's mount namespace: it mounts in its working directory, which must lie there.
  const root = `/proc/${service.pid}/root`;
  using images = openPlace(sys, `${root}${wishes.images}`);
  using work = openPlace(sys, `${root}${wishes.work}`);
  if (wishes.flags.includes("lazy_pages")) awaitPageServer(sys, work.fd);
  const options = restoreOptions(wishes, facts, { images: images.fd, work: work.fd });
  const outcome = service.ask(REQUEST.RESTORE, options, heard);
  const { success, pid = 0 } = outcome.answer ?? { success: false };
  if (success && pid > 1) return pid;
  throw criuFailure(sys, "restore", `${wishes.work}/${RESTORE_LOG}`, outcome);
}

/** Whoever starts `criu lazy-pages` beside us does not know when it listens; criu does not wait for it. */
function awaitPageServer(sys: Sys, work: Fd): void {
  const isThere = () => errnoOf(sys.faccessat2(work, PAGE_SERVER, 0, 0)) === 0;
  for (let waited = 0; waited < PAGE_SERVER_MS_MAX && !isThere(); waited += PAUSE_MS) {
    retried(() => sys.poll(new Int32Array(), PAUSE_MS));
  }
}
