/** `create` and `run`. */

import { toReport } from "@tare/spec/error.ts";
import { oomKills } from "../cgroup/processes.ts";
import { parseCgroupState } from "../cgroup/state.ts";
import { type CreateRequest, create, undo } from "../container/create.ts";
import { destroy } from "../container/destroy.ts";
import { listenerTaker } from "../container/listener.ts";
import { awaitExec } from "../container/start-socket.ts";
import { toState } from "../container/store.ts";
import { runHooks, runPoststopHooks } from "../hooks/hooks.ts";
import { exitStatus, waitFor } from "../process/wait.ts";
import { F_SETFD, FD_CLOEXEC } from "../sys/abi-file.ts";
import { SIGKILL } from "../sys/abi-process.ts";
import { check } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { catchSignals, type Foreground, relay } from "../terminal/relay.ts";
import { sendDescriptor } from "../terminal/send.ts";
import type { NotifySocket } from "./activation.ts";
import type { Commands } from "./command.ts";
import {
  absolutePath,
  type Context,
  containerId,
  effectiveUser,
  programName,
  writePidFile,
} from "./context.ts";
import { listeningCount, variable } from "./environment.ts";
import {
  type ConsoleTaker,
  consoleTaker,
  inForeground,
  preserveFds,
  showRest,
} from "./foreground.ts";

const CREATE_OPTIONS = {
  bundle: "value",
  b: { short: "bundle" },
  config: "value",
  f: { short: "config" },
  "console-socket": "value",
  "pid-file": "value",
  "pidfd-socket": "value",
  "preserve-fds": "value",
  "no-pivot": "flag",
  "no-new-keyring": "flag",
  "no-subreaper": "flag",
} as const;

const RUN_OPTIONS = {
  ...CREATE_OPTIONS,
  detach: "flag",
  d: { short: "detach" },
  keep: "flag",
  "kill-on-close": "value",
} as const;

export const COMMANDS: Commands = {
  create: { options: CREATE_OPTIONS, mixed: true, words: 1, run: runCreate },
  run: { options: RUN_OPTIONS, mixed: true, words: 1, run: runRun },
};

function requestOf(
  context: Context,
  taker: ConsoleTaker,
  startElsewhere: boolean,
  activation: Active | undefined,
): CreateRequest {
  const { sys, args } = context;
  const detached = startElsewhere || args.flags.has("detach");
  const bundle = absolutePath(sys, args.options.get("bundle") ?? ".");
  const configFile = args.options.get("config");
  return {
    id: containerId(args),
    bundle,
    configFile: configFile === undefined ? `${bundle}/config.json` : absolutePath(sys, configFile),
    manager: context.manager,
    rootless: context.rootless,
    root: context.root,
    startElsewhere,
    preserveFds: preserveFds(context),
    keyring: !args.flags.has("no-new-keyring"),
    pivot: !args.flags.has("no-pivot"),
    console: args.options.has("console-socket") ? "send" : detached ? "none" : "keep",
    onConsole: taker.take,
    onPid: (pid) => tellPid(context, pid),
    owner: effectiveUser(sys),
    debug: context.log.debug,
    warn: context.log.warn,
    activation: activation?.request,
  };
}

/** To the file and the socket that the caller named. */
function tellPid({ sys, args }: Context, pid: number): void {
  writePidFile({ sys, args }, pid);
  const socket = args.options.get("pidfd-socket");
  if (socket === undefined) return;
  using pidfd = new OwnedFd(sys, check(sys.pidfd_open(pid, 0), "pidfd_open"));
  sendDescriptor(sys, socket, pidfd.fd, "pidfd");
}

type Active = {
  readonly request: NonNullable<CreateRequest["activation"]>;
  /** The container's socket, where this command waits for its word. */
  socket: NotifySocket | undefined;
};

/** What the environment asks for; undefined where it asks for nothing, as for most. */
function activationOf(context: Context, startElsewhere: boolean): Active | undefined {
  const { sys, root, args } = context;
  const listening = listeningCount(sys);
  const notify = variable(sys, "NOTIFY_SOCKET");
  if (listening === 0 && notify === undefined) return undefined;
  const part = loadPart(sys, "tare-runtime~activation");
  const likeCrun = programName(sys) === "crun";
  const asked = { listening, names: variable(sys, "LISTEN_FDNAMES"), notify, likeCrun };
  const directory = `${root}/${containerId(args)}`;
  const active: Active = {
    socket: undefined,
    request: {
      amend: (config) => part.amendConfig(config, asked, directory),
      begin: (fd) => {
        if (notify === undefined) return;
        part.makeNotifyDirectory(sys, fd);
        if (!startElsewhere) active.socket = part.NotifySocket.open(sys, fd, notify);
      },
    },
  };
  return active;
}

/** `create`: the container waits for `start`. */
function runCreate(context: Context): number {
  const { sys, args } = context;
  const taker = consoleTaker(sys, args.options.get("console-socket"));
  const activation = activationOf(context, true);
  create(sys, requestOf(context, taker, true, activation)).channel.close();
  return 0;
}

/** `run`: create, start, wait, delete; the exit status is the program's. */
function runRun(context: Context): number {
  const { sys, args } = context;
  const detach = args.flags.has("detach");
  const taker = consoleTaker(sys, args.options.get("console-socket"));
  const lifeline = lifelineOf(context);
  const activation = activationOf(context, false);
  const request = requestOf(context, taker, false, activation);
  using signals = catchSignals(sys);
  const created = create(sys, request);
  const { directory, record, config, channel, pid } = created;
  try {
    using pidfd = new OwnedFd(sys, check(sys.pidfd_open(pid, 0), "pidfd_open"));
    channel.send({ kind: "start" });
    awaitExec(channel, listenerTaker(sys, record));
    directory.note({ ready: true });
    channel.close();
    runHooks(sys, "poststart", config.hooks.poststart, toState(record, "running"));
    if (detach) {
      told(context, () => activation?.socket?.waitReady(pidfd.fd, pid, signals.fd));
      return 0;
    }
    const end = inForeground(sys, taker.taken, (terminal) =>
      relay(sys, {
        pidfd: pidfd.fd,
        signals: signals.fd,
        terminal,
        lifeline,
        beside: readiness(context, activation),
      }),
    );
    if (end === "abandoned") sys.pidfd_send_signal(pidfd.fd, SIGKILL);
  } catch (error) {
    undo(sys, directory, record);
    showRest(sys, taker.taken);
    runPoststopHooks(sys, config.hooks.poststop, toState(record, "stopped"));
    throw error;
  }
  const status = exitStatus(waitFor(sys, pid));
  if (status !== 0) tellOutOfMemory(sys, created);
  finish(context, created);
  return status;
}

/** The word that the service is ready goes to the host, whose main process we are while we wait. */
function readiness(context: Context, activation: Active | undefined): Foreground["beside"] {
  const socket = activation?.socket;
  if (socket === undefined) return undefined;
  const take = () => {
    if (!socket.readReady()) return false;
    told(context, () => socket.tellHost(context.sys.getpid()));
    // Closed, so that who goes on talking does not wait for a reader.
    socket[Symbol.dispose]();
    return true;
  };
  return { fd: socket.fd, take };
}

/** The container runs, also where the service manager cannot be told. */
function told({ log }: Context, tell: () => void): void {
  try {
    tell();
  } catch (error) {
    log.warn(toReport(error).message);
  }
}

/** A descriptor of our caller's that must not reach the container. */
function lifelineOf({ sys, args }: Context): Fd | undefined {
  const text = args.options.get("kill-on-close");
  if (text === undefined) return undefined;
  const fd = Number(text) as Fd;
  check(sys.fcntl(fd, F_SETFD, FD_CLOEXEC), "fcntl F_SETFD", text);
  return fd;
}

/** An exit status of 137 alone does not say that memory was the reason; the kernel's count does. */
function tellOutOfMemory(sys: Sys, { record, config }: ReturnType<typeof create>): void {
  const kills = oomKills(sys, parseCgroupState(record.cgroup));
  if (kills === 0) return;
  const { limit } = config.linux.resources.memory;
  const bound = limit === undefined ? "" : ` of ${limit} bytes`;
  const who = kills === 1 ? "a process" : `${kills} processes`;
  const line = `tare-runtime: out of memory: the kernel killed ${who} at the memory limit${bound}\n`;
  sys.write(2 as Fd, sys.encode_utf8(line));
}

/** Takes the container away; failing poststop hooks are only told (runtime.md, "Lifecycle" 13). */
function finish({ sys, args }: Context, created: ReturnType<typeof create>): void {
  const { directory, record, config } = created;
  if (args.flags.has("keep")) return;
  // It was waited for: there is nobody to look for any more.
  const { pid: _reaped, ...ended } = record;
  destroy(sys, directory, ended);
  runPoststopHooks(sys, config.hooks.poststop, toState(record, "stopped"));
}
