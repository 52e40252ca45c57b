/**
 * Creates a container, seen from the runtime: state first, then cgroup, then the first process, whose
 * steps are followed over the channel. Every failure on the way takes back what was made.
 */

import { fromReport, TareError } from "@tare/spec/error.ts";
import type { Config, Hook, NamespaceType, State } from "@tare/spec/oci-runtime.ts";
import { OCI_VERSION } from "@tare/spec/oci-runtime.ts";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import { createCgroup } from "../cgroup/apply.ts";
import { NO_JOIN, type OpenCgroup, openJoin } from "../cgroup/join.ts";
import { type CgroupAsk, type CgroupPlan, planCgroup } from "../cgroup/plan.ts";
import { oomKills } from "../cgroup/processes.ts";
import { readCgroupHost } from "../cgroup/read-host.ts";
import { type CgroupState, NO_CGROUP, parseCgroupState, plannedState } from "../cgroup/state.ts";
import type { DeviceNode, OutsideDevices } from "../devices/outside.ts";
import { runHooks } from "../hooks/hooks.ts";
import { openBindSource } from "../mounts/attach.ts";
import { normalize } from "../mounts/plan.ts";
import { grantable } from "../process/apply.ts";
import { asksForScheduling, lostAmbient, refuseOnlyUnknown } from "../process/plan.ts";
import { waitFor } from "../process/wait.ts";
import { loadFilter } from "../seccomp/apply.ts";
import { agentOf, filterFlags } from "../seccomp/flags.ts";
import { ENOENT } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  AT_SYMLINK_NOFOLLOW,
  NO_FD,
} from "../sys/abi-file.ts";
import { MS_SHARED, MS_SLAVE } from "../sys/abi-mount.ts";
import { SIGKILL } from "../sys/abi-process.ts";
import { check, errnoOf } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { Scope } from "../systemd/scope.ts";
import { Channel } from "./channel.ts";
import { cloneFirst } from "./clone.ts";
import { readConfiguration } from "./configuration.ts";
import { destroy } from "./destroy.ts";
import { toExecRecord } from "./exec-record.ts";
import { groupsMayStay, isOurs, isRootless, readModules } from "./facts.ts";
import { ofStep } from "./failed-step.ts";
import { writeIdMaps } from "./id-maps.ts";
import { type InitGift, runInit } from "./init.ts";
import { keyringName } from "./keyring.ts";
import { withOwnMaps } from "./namespaces.ts";
import { type Placement, place, planPlacement } from "./placement.ts";
import { planContainer } from "./plan.ts";
import type { Record } from "./record.ts";
import { listenForStart } from "./start-socket.ts";
import type { Plan, SchedulingStep, Step } from "./step.ts";
import { type ContainerDirectory, createDirectory, processStart, toState } from "./store.ts";
import { refuseUnsupported } from "./unsupported.ts";

/** Every container has rules for devices, asked for or not. */
const DEVICES_FIELD = "linux.resources.devices";

export type CreateRequest = {
  readonly id: string;
  /** Absolute. */
  readonly bundle: string;
  /** Absolute: config.json of the bundle, unless the caller names another file. */
  readonly configFile: string;
  /** Whether cgroups that may not be made are passed over; undefined: for callers who are not root. */
  readonly rootless: boolean | undefined;
  /** Who makes the container's cgroup; without one it stays in the caller's. */
  readonly manager: "cgroupfs" | "systemd" | "disabled";
  /** The runtime's state root. Absolute. */
  readonly root: string;
  /** Whether another process gives the word to start (`create`), or this one (`run`). */
  readonly startElsewhere: boolean;
  readonly preserveFds: number;
  /** Whether the container gets a session keyring of its own. */
  readonly keyring: boolean;
  /** Whether the host's tree is left by pivot_root(2). */
  readonly pivot: boolean;
  /** Whether a terminal is wanted by who calls: it must be what the configuration says. */
  readonly console: "keep" | "send" | "none";
  /** What the caller's environment adds to the configuration; undefined where it adds nothing. */
  readonly activation:
    | {
        readonly amend: (config: Config) => Config;
        /** Called once the state directory is there. */
        readonly begin: (directory: Fd) => void;
      }
    | undefined;
  /** Takes the terminal's side that is ours. */
  readonly onConsole: (terminal: OwnedFd) => void;
  /** Told the first process when it is set up. */
  readonly onPid: (pid: number) => void;
  readonly owner: string;
  /** Takes a line for people who look for a fault. */
  readonly debug: (line: string) => void;
  /** Takes what is asked for, cannot be had, and does not matter enough to stop. */
  readonly warn: (line: string) => void;
};

/** A container whose first process waits for the word to start. */
export type Created = {
  readonly directory: ContainerDirectory;
  readonly record: Record;
  readonly config: Config;
  readonly channel: Channel;
  readonly pid: number;
};

/** crun's: a name of the profile that no kernel has is an error. */
const FAIL_UNKNOWN = "run.oci.seccomp_fail_unknown_syscall";

/** Reads and checks everything that can be wrong before anything is made. */
export function prepare(
  sys: Sys,
  request: CreateRequest,
): {
  config: Config;
  /** Of its file: readConfiguration. */
  version: string;
  plan: Plan;
  cgroup: CgroupPlan;
  scope: Scope | undefined;
  placement: Placement;
} {
  const path = request.configFile;
  const read = readConfiguration(sys, path);
  if (read === undefined) {
    throw new TareError("not_found", `Cannot read "${path}": no such file`, {
      hint: "Give the bundle with --bundle, or make a configuration with spec",
    });
  }
  const written = withOwnMaps(parseConfig(read.text), () => {
    return { uid: sys.geteuid(), gid: sys.getegid() };
  });
  const amended = request.activation?.amend(written) ?? written;
  const config = withCapabilities(sys, amended, request.warn);
  checkConsole(config, request.console);
  refuseUnsupported(config, readModules(sys, config.process, config.linux.mountLabel));
  if (config.annotations.has(FAIL_UNKNOWN)) refuseUnknownSyscalls(sys, config);
  const rootless = isRootless(sys);
  const { cgroup, scope } = planOwnCgroup(sys, request, config, rootless);
  const { id, bundle, keyring, pivot } = request;
  const isHostNamespace = (type: NamespaceType, path: string) => isOurs(sys, type, path);
  const scheduling = schedulingOf(sys, config);
  const entersCgroup = scope === undefined;
  const facts = {
    id,
    bundle,
    keyring,
    cgroup,
    entersCgroup,
    scheduling,
    isHostNamespace,
    pivot,
    isRootless: rootless,
    groupsMayStay:
      rootless && config.process !== undefined && groupsMayStay(sys, config.process, "self"),
  };
  const plan = planContainer(config, facts);
  const placement = planPlacement(sys, config, id);
  return { config, version: read.version, plan, cgroup, scope, placement };
}

/** In a user namespace of its own, or one that is joined, the first process has them all. */
function withCapabilities(sys: Sys, config: Config, warn: CreateRequest["warn"]): Config {
  if (config.process === undefined) return config;
  refuseOnlyUnknown(config.process);
  const inUserNamespace = config.linux.namespaces.some(({ type }) => type === "user");
  const process = grantable(sys, config.process, { inUserNamespace, warn });
  return process === config.process ? config : { ...config, process };
}

function schedulingOf(sys: Sys, config: Config): readonly SchedulingStep[] {
  const { process } = config;
  if (process === undefined || !asksForScheduling(config, process)) return [];
  return loadPart(sys, "tare-runtime~scheduling").planScheduling(
    config,
    process,
    config.linux.resources.cpu.cpus,
  );
}

function planOwnCgroup(
  sys: Sys,
  { id, manager, rootless: lenient }: CreateRequest,
  { linux, annotations }: Config,
  rootless: boolean,
): { cgroup: CgroupPlan; scope: Scope | undefined } {
  const { resources, cgroupsPath } = linux;
  const host = readCgroupHost(sys);
  const asked = { host, id, resources, rootless };
  const ask: CgroupAsk = lenient === undefined ? asked : { ...asked, lenient };
  if (manager === "systemd") {
    const { prepareScope } = loadPart(sys, "tare-runtime~systemd");
    const scope = prepareScope(sys, { host, id, cgroupsPath, annotations, resources });
    return { cgroup: planCgroup({ ...ask, location: scope.location }), scope };
  }
  const cgroup = planCgroup(cgroupsPath === undefined ? ask : { ...ask, cgroupsPath });
  return { cgroup: manager === "disabled" ? withoutCgroup(cgroup) : cgroup, scope: undefined };
}

/** Limits that nobody keeps are refused, not forgotten. */
function withoutCgroup(plan: CgroupPlan): CgroupPlan {
  const lost = plan.writes.find(({ field }) => field !== DEVICES_FIELD);
  if (lost === undefined) return { mode: plan.mode, dirs: [], writes: [] };
  throw new TareError("bad_input", `Cannot apply ${lost.field}: cgroups are disabled`, {
    hint: "Leave the limit out, or use another --cgroup-manager",
  });
}

/** Names that no kernel has are passed over otherwise, as by runc and crun. */
function refuseUnknownSyscalls(sys: Sys, { linux }: Config): void {
  if (linux.seccomp === undefined) return;
  loadPart(sys, "tare-runtime~seccomp-compile").refuseUnknownSyscalls(linux.seccomp);
}

function checkConsole(config: Config, wanted: CreateRequest["console"]): void {
  const terminal = config.process?.terminal === true;
  if (terminal && wanted === "none") {
    throw new TareError("bad_input", "Cannot make a terminal: nobody would take it", {
      hint: "Give --console-socket, or set process.terminal to false",
    });
  }
  if (!terminal && wanted === "send") {
    throw new TareError("bad_input", "Cannot use --console-socket: process.terminal is false");
  }
}

export function create(sys: Sys, request: CreateRequest): Created {
  const { config, version, plan, cgroup, scope, placement } = prepare(sys, request);
  using _connection = scope;
  const directory = createDirectory(sys, request.root, request.id);
  let record = firstRecord(sys, request, { config, version }, cgroup);
  const note = (change: Partial<Record>) => {
    record = { ...record, ...change };
    directory.note(change);
  };
  directory.begin(record);
  warnOfAmbient(request, config);
  try {
    request.activation?.begin(directory.fd);
    using opened =
      scope !== undefined
        ? undefined
        : makeCgroup(sys, cgroup, (left) => {
            record = { ...record, cgroup: left };
          });
    // Before anybody is in it: who finds this after a crash may kill what is there.
    if (opened !== undefined) note({ cgroup: opened.state });
    const { seccomp } = config.linux;
    if (seccomp !== undefined) request.debug(`seccomp filter flags: ${filterFlags(seccomp)}`);
    request.debug(`nsexec container setup: ${plan.clone.namespaces.join(", ")} are new`);
    const want = { request, config, plan, cgroup: opened, scope, directory, record };
    const { channel, pid } = spawn(sys, want);
    // Recorded or not, from here on it is ended with the rest.
    record = { ...record, pid };
    note({ pid, startTime: startTimeOf(sys, pid) });
    request.debug(`child process in init(): pid ${pid}`);
    if (scope !== undefined) {
      scope.start(sys, pid, cgroup, (state) => note({ cgroup: state }));
      channel.send({ kind: "placed" });
    }
    place(sys, placement, config, pid, (resctrl) => note({ resctrl }));
    follow(sys, request, { plan, config }, record, channel);
    request.debug("init: closing the pipe to signal completion");
    if (request.startElsewhere) note({ ready: true });
    request.onPid(pid);
    return { directory, record, config, channel, pid };
  } catch (error) {
    undo(sys, directory, record);
    throw error;
  }
}

/** Of our own child, which has its files in /proc until it is waited for, also when it has ended. */
export function startTimeOf(sys: Sys, pid: number): string {
  const started = processStart(sys, pid);
  if (started !== undefined) return started.startTime;
  throw new TareError("system", `Cannot find the container's first process: no /proc/${pid}/stat`, {
    hint: "The procfs mounted on /proc must be that of the runtime's own pid namespace",
  });
}

function warnOfAmbient(request: CreateRequest, { process }: Config): void {
  const lost = process === undefined ? [] : lostAmbient(process);
  if (lost.length === 0) return;
  const why = "only what is permitted and inheritable can be";
  request.warn(`can't raise ambient capability ${lost.join(", ")}: ${why}`);
}

/** A cgroup that failed has undone itself; `onFailure` is told what is left to take back. */
export function makeCgroup(
  sys: Sys,
  plan: CgroupPlan,
  onFailure: (left: CgroupState) => void,
): OpenCgroup {
  let left = NO_CGROUP;
  try {
    return createCgroup(sys, plan, (state) => {
      left = state;
    });
  } catch (error) {
    onFailure(left);
    throw error;
  }
}

/** Takes everything back; what cannot be taken back stays recorded for `delete --force`. */
export function undo(sys: Sys, directory: ContainerDirectory, record: Record): void {
  try {
    if (record.pid !== undefined) {
      // Waiting for one that was not killed would take for ever.
      check(sys.kill(record.pid, SIGKILL), "kill", String(record.pid));
      waitFor(sys, record.pid);
    }
    destroy(sys, directory, record);
  } catch (error) {
    // Why the creation failed is what the caller must learn; what is left stays recorded.
    const words = error instanceof Error ? error.message : String(error);
    sys.write(2 as Fd, sys.encode_utf8(`tare-runtime: warning: ${words}\n`));
  }
  directory[Symbol.dispose]();
}

/** What is written down of a container before anything of it is made. */
export function firstRecord(
  sys: Sys,
  request: CreateRequest,
  { config, version }: { readonly config: Config; readonly version: string },
  cgroup: CgroupPlan,
): Record {
  const milliseconds = Number(sys.clock_gettime(0) / 1_000_000n);
  const { seccomp } = config.linux;
  return {
    ociVersion: OCI_VERSION,
    id: request.id,
    bundle: request.bundle,
    rootfs: config.root.path.startsWith("/")
      ? config.root.path
      : `${request.bundle}/${config.root.path}`,
    created: new Date(milliseconds).toISOString(),
    owner: request.owner,
    annotations: Object.fromEntries(config.annotations),
    exec: toExecRecord(config, {
      ...(request.keyring ? { keyring: keyringName(request.id) } : {}),
      ...(seccomp === undefined ? {} : { filterFlags: filterFlags(seccomp) }),
    }),
    ...laterHooks(config),
    ...laterAgent(config, request.bundle),
    ...(hasOwnPids(config) ? {} : { sharedPids: true }),
    config: version,
    cgroup: plannedState(cgroup),
    ready: false,
  };
}

function hasOwnPids({ linux }: Config): boolean {
  return linux.namespaces.some(({ type, path }) => type === "pid" && path === undefined);
}

function laterHooks({ hooks }: Config): Pick<Record, "hooks"> {
  const { poststart, poststop } = hooks;
  return poststart.length + poststop.length === 0 ? {} : { hooks: { poststart, poststop } };
}

function laterAgent({ linux }: Config, bundle: string): Pick<Record, "agent"> {
  const agent = agentOf(linux.seccomp, bundle);
  return agent === undefined ? {} : { agent };
}

type SpawnRequest = {
  readonly request: CreateRequest;
  readonly config: Config;
  readonly plan: Plan;
  /** Absent where systemd makes it around the first process. */
  readonly cgroup: OpenCgroup | undefined;
  readonly scope: Scope | undefined;
  readonly directory: ContainerDirectory;
  readonly record: Record;
};

function spawn(sys: Sys, want: SpawnRequest): { channel: Channel; pid: number } {
  const { config, plan, cgroup } = want;
  const join = cgroup === undefined ? NO_JOIN : openJoin(sys, cgroup);
  const gift = { ...openGift(sys, want), join };
  const [ours, theirs] = Channel.pair(sys);
  const pid = cloneFirst(sys, { config, step: plan.clone, cgroup: join.into }, () => {
    // What the first process holds, hooks inside could reach through /proc/1/fd.
    ours.close();
    if (join.into !== undefined) sys.close(join.into);
    want.directory[Symbol.dispose]();
    want.scope?.[Symbol.dispose]();
    return runInit(sys, { ...gift, channel: theirs });
  });
  theirs.close();
  closeGift(sys, gift);
  return { channel: ours, pid };
}

/** Opens, with the privileges of here, what the first process may not open there. */
function openGift(sys: Sys, want: SpawnRequest): Omit<InitGift, "channel" | "join"> {
  const { config, plan, request, directory, record } = want;
  const mapped = config.linux.namespaces.some(({ type }) => type === "user");
  const seccomp = config.linux.seccomp;
  return {
    config,
    plan,
    startSocket: request.startElsewhere ? listenForStart(sys, directory.fd) : undefined,
    bindSources: mapped && sys.geteuid() === 0 ? openBindSources(sys, plan) : new Map(),
    outsideDevices: mapped ? openOutsideDevices(sys, config, plan) : undefined,
    filter:
      seccomp === undefined
        ? undefined
        : {
            program: loadFilter(sys, request.root, seccomp, directory.fd),
            flags: filterFlags(seccomp),
          },
    preserveFds: request.preserveFds,
    state: toState({ ...record, pid: 0 }, "creating"),
  };
}

/** Only what the configuration names and the host has not, and only where its maps say who is who. */
function openOutsideDevices(sys: Sys, { linux }: Config, plan: Plan): OutsideDevices | undefined {
  const isAsked = linux.devices.length > 0 && linux.uidMappings.length > 0;
  if (!isAsked || sys.geteuid() !== 0) return undefined;
  const named = new Set(linux.devices.map(({ path }) => normalize(path)));
  const nodes = plan.init.filter(
    (step): step is DeviceNode =>
      step.op === "device" &&
      step.type !== "p" &&
      named.has(step.path) &&
      errnoOf(sys.faccessat2(AT_FDCWD, step.path, 0, AT_SYMLINK_NOFOLLOW)) === ENOENT,
  );
  if (nodes.length === 0) return undefined;
  return loadPart(sys, "tare-runtime~outside-devices").makeOutside(sys, nodes, linux);
}

/**
 * Where root inside may see less. A source that is missing is told by the first process, if it cannot
 * open it either: it may lie in what is mounted before. Those that are id-mapped are asked for later.
 */
function openBindSources(sys: Sys, plan: Plan): Map<number, Fd> {
  const steps = plan.init;
  const sources = new Map<number, Fd>();
  const flag = steps.find((step) => step.op === "propagation")?.flag ?? MS_SLAVE;
  for (const step of steps) {
    if (step.op !== "bind" || step.idmap !== undefined) continue;
    if (step.options.links.has("copy-symlink")) continue;
    if (errnoOf(sys.faccessat2(AT_FDCWD, step.source, 0, 0)) !== 0) continue;
    const source = ofPlan(plan, step, () => openBindSource(sys, step));
    leaveHostGroup(sys, source, flag);
    sources.set(step.index, source);
  }
  return sources;
}

/** Does here what belongs to a step of the first process. */
function ofPlan<T>({ init }: Plan, step: Step, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw ofStep(error, init, step);
  }
}

/**
 * Opened here, a tree is a peer of the host's: what a container mounts in it would appear on the host.
 * One that the first process opens was cut off with the rest of its mount namespace.
 */
function leaveHostGroup(sys: Sys, tree: Fd, flag: number): void {
  if (flag === MS_SHARED) return;
  const all = AT_EMPTY_PATH | AT_RECURSIVE;
  check(sys.mount_setattr(tree, "", all, 0, 0, flag, NO_FD), "mount_setattr");
}

function closeGift(sys: Sys, gift: Omit<InitGift, "channel">): void {
  const { procs, into } = gift.join;
  for (const fd of [...procs, ...gift.bindSources.values()]) {
    sys.close(fd);
  }
  if (gift.outsideDevices !== undefined) sys.close(gift.outsideDevices.tree);
  if (gift.startSocket !== undefined) sys.close(gift.startSocket);
  if (into !== undefined) sys.close(into);
}

/** Answers the first process until it says that it is created. */
function follow(
  sys: Sys,
  request: CreateRequest,
  { plan, config }: { readonly plan: Plan; readonly config: Config },
  record: Record,
  channel: Channel,
): void {
  for (;;) {
    const received = channel.receive();
    const message = received?.message;
    switch (message?.kind) {
      case "map":
        writeIdMaps(sys, config.linux, record.pid ?? 0);
        channel.send({ kind: "mapped" });
        break;
      case "source":
        sendSource(sys, plan, message.index, record.pid ?? 0, channel);
        break;
      case "mounted":
        runParentHooks(sys, config, record);
        channel.send({ kind: "hooked" });
        break;
      case "console":
        if (received?.fds[0] !== undefined) request.onConsole(new OwnedFd(sys, received.fds[0]));
        channel.send({ kind: "received" });
        break;
      case "created":
        return;
      case "error":
        throw fromReport(message.report);
      default:
        throw endedEarly(sys, config, record);
    }
  }
}

/** Of a first process that could not say why: it may not have had the memory for a word. */
function endedEarly(sys: Sys, { linux }: Config, record: Record): TareError {
  if (oomKills(sys, parseCgroupState(record.cgroup)) === 0) {
    return new TareError("internal", "Cannot create the container: its first process ended early");
  }
  const { limit } = linux.resources.memory;
  const bound = limit === undefined ? "" : `: linux.resources.memory.limit is ${limit} bytes`;
  const why = `its first process was OOM-killed${bound}`;
  return new TareError("bad_input", `Cannot create the container: ${why}`, {
    hint: "Give it more memory",
  });
}

function sendSource(sys: Sys, plan: Plan, index: number, pid: number, channel: Channel): void {
  const step = plan.init.find((each) => each.op === "bind" && each.index === index);
  if (step?.op !== "bind") throw new TareError("internal", "Cannot open a source: no such bind");
  const open = (): OwnedFd | undefined =>
    step.idmap === undefined
      ? openPeer(sys, step)
      : loadPart(sys, "tare-runtime~mapped-source").openMappedSource(sys, step, pid);
  using tree = ofPlan(plan, step, open);
  channel.send({ kind: "received" }, tree === undefined ? [] : [tree.fd]);
}

/** Opened here, it is a peer of the host's; undefined where only the container has such a path. */
function openPeer(sys: Sys, step: Extract<Step, { op: "bind" }>): OwnedFd | undefined {
  if (errnoOf(sys.faccessat2(AT_FDCWD, step.source, 0, 0)) !== 0) return undefined;
  return new OwnedFd(sys, openBindSource(sys, step));
}

function runParentHooks(sys: Sys, config: Config, record: Record): void {
  // "created" begins where the environment is there (runtime.md "State"): so do the hooks.
  const state: State = toState(record, "created");
  for (const name of ["prestart", "createRuntime"] as const) {
    const hooks: readonly Hook[] = config.hooks[name];
    runHooks(sys, name, hooks, state);
  }
}
