/** `start`, `state`, `kill`, `delete`: commands for containers that exist. */

import { TareError, toReport } from "@tare/spec/error.ts";
import { thawCgroup } from "../cgroup/freezer.ts";
import { signalAll } from "../cgroup/signal.ts";
import { parseCgroupState } from "../cgroup/state.ts";
import { destroy } from "../container/destroy.ts";
import { listenerTaker } from "../container/listener.ts";
import type { Record } from "../container/record.ts";
import { giveStart, type OnListener } from "../container/start-socket.ts";
import {
  type ContainerDirectory,
  findDirectory,
  isAlive,
  openDirectory,
  toState,
} from "../container/store.ts";
import { runHooks, runPoststopHooks } from "../hooks/hooks.ts";
import { SIGKILL, SIGTERM, signalNumber } from "../sys/abi-process.ts";
import { check, errnoOf } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import type { Sys } from "../sys/types.ts";
import type { NotifySocket } from "./activation.ts";
import type { Commands } from "./command.ts";
import { type Context, containerId, print } from "./context.ts";
import { variable } from "./environment.ts";
import { known, statusNow, wrongState } from "./known.ts";

const KILL_OPTIONS = {
  all: "flag",
  a: { short: "all" },
  regex: "flag",
  r: { short: "regex" },
} as const;

const DELETE_OPTIONS = {
  force: "flag",
  f: { short: "force" },
  regex: "flag",
  r: { short: "regex" },
} as const;

export const COMMANDS: Commands = {
  start: { options: {}, mixed: true, words: 1, run: runStart },
  state: { options: {}, mixed: true, words: 1, run: runState },
  kill: { options: KILL_OPTIONS, mixed: true, words: 2, run: runKill },
  delete: { options: DELETE_OPTIONS, mixed: true, run: runDelete },
};

function runStart(context: Context): number {
  const { sys, args, log } = context;
  const id = containerId(args);
  const { directory, record, status } = known(context, id);
  if (status !== "created")
    throw wrongState("start", id, status, "Only a created one can be started");
  const poststart = record.hooks?.poststart ?? [];
  using notify = notifySocket(sys, directory);
  using pidfd = notify === undefined ? undefined : openFirst(sys, record);
  giveStart(sys, directory.fd, id, guarded(sys, record));
  try {
    runHooks(sys, "poststart", poststart, toState(record, "running"));
  } catch (error) {
    try {
      remove(sys, directory, record);
    } catch (left) {
      // Why the start failed is what the caller must learn; what is left stays recorded.
      log.warn(toReport(left).message);
    }
    throw error;
  }
  if (pidfd !== undefined) notify?.waitReady(pidfd.fd, record.pid ?? 0, undefined);
  return 0;
}

/** The socket on which the container says that it is ready, where somebody waits for that. */
function notifySocket(sys: Sys, directory: ContainerDirectory): NotifySocket | undefined {
  const host = variable(sys, "NOTIFY_SOCKET");
  if (host === undefined) return undefined;
  return loadPart(sys, "tare-runtime~activation").NotifySocket.open(sys, directory.fd, host);
}

/** Where the agent cannot be had, the first process may hang in a call that nobody answers: it is ended. */
function guarded(sys: Sys, record: Record): OnListener | undefined {
  const take = listenerTaker(sys, record);
  if (take === undefined) return undefined;
  return (listener) => {
    try {
      take(listener);
    } catch (error) {
      endFirst(sys, record);
      throw error;
    }
  };
}

/** As well as that can be done: why it has to end is what the caller must learn. */
function endFirst(sys: Sys, record: Record): void {
  try {
    using pidfd = openFirst(sys, record);
    if (pidfd !== undefined) sys.pidfd_send_signal(pidfd.fd, SIGKILL);
  } catch {
    // It is recorded: `delete --force` ends it.
  }
}

function runState(context: Context): number {
  const { record, status } = known(context, containerId(context.args));
  const { pid = 0, ...state } = toState(record, status);
  const { annotations, ...rest } = state;
  const more = { rootfs: record.rootfs, created: record.created, owner: record.owner };
  const all = { ...rest, pid, ...more, ...(annotations === undefined ? {} : { annotations }) };
  print(context.sys, `${JSON.stringify(all, null, 2)}\n`);
  return 0;
}

function runKill(context: Context): number {
  const { sys, args } = context;
  const signal = askedSignal(args.words[1] || String(SIGTERM));
  if (args.flags.has("regex")) {
    return loadPart(sys, "tare-runtime~sweep").forMatching(context, (id) => {
      killOne(context, id, signal);
    });
  }
  killOne(context, containerId(args), signal);
  return 0;
}

/** The number of a signal; `-9` is meant as 9. */
function askedSignal(word: string): number {
  const signal = signalNumber(word.startsWith("-") ? word.slice(1) : word);
  if (signal !== undefined) return signal;
  throw new TareError("bad_input", `Cannot send signal "${word}": unknown signal`, {
    hint: "Use a name such as TERM or a number",
  });
}

/**
 * With --all every process gets the signal, and nothing to signal is no error; KILL ends all of them
 * also where no pid namespace of the container's own does it when its first process ends.
 */
function killOne({ sys, root, args }: Context, id: string, signal: number): void {
  const { record, status } = known({ sys, root }, id);
  const cgroup = parseCgroupState(record.cgroup);
  const isAll = args.flags.has("all");
  const isWhole = isAll || (signal === SIGKILL && record.sharedPids === true);
  if (isWhole && signalAll(sys, cgroup, signal) > 0) return;
  using pidfd = openFirst(sys, record);
  if (pidfd === undefined && isAll) return;
  if (pidfd === undefined) {
    throw new TareError("bad_state", `Cannot kill container "${id}": container not running`);
  }
  check(sys.pidfd_send_signal(pidfd.fd, signal), "pidfd_send_signal");
  // On v1 a frozen process does not even die.
  if (signal === SIGKILL && status === "paused") thawCgroup(sys, cgroup);
}

/** The first process by descriptor; undefined where it has ended. Opened first, checked then: no pid is trusted. */
function openFirst(sys: Sys, record: Record): OwnedFd | undefined {
  const ret = sys.pidfd_open(record.pid ?? 0, 0);
  if (record.pid === undefined || errnoOf(ret) !== 0) return undefined;
  const pidfd = new OwnedFd(sys, check(ret, "pidfd_open"));
  if (isAlive(sys, record)) return pidfd;
  pidfd.close();
  return undefined;
}

function runDelete(context: Context): number {
  const { sys, args } = context;
  const remove = (id: string) => deleteOne(context, id);
  if (args.flags.has("regex")) {
    return loadPart(sys, "tare-runtime~sweep").forMatching(context, remove);
  }
  if (args.words.length > 1) return loadPart(sys, "tare-runtime~sweep").forAll(context, remove);
  remove(containerId(args));
  return 0;
}

function deleteOne({ sys, root, args, log }: Context, id: string): void {
  const force = args.flags.has("force");
  using directory = force ? findDirectory(sys, root, id) : openDirectory(sys, root, id);
  if (directory === undefined) return;
  const record = readForDelete({ sys, log }, directory, force);
  if (record === undefined) {
    directory.remove();
    return;
  }
  const status = statusNow(sys, directory, record);
  if (!force && status !== "created" && status !== "stopped") {
    throw wrongState("delete", id, status, "Stop it first, or use --force");
  }
  remove(sys, directory, record);
}

/** Ends a container whatever it does: steps 12 and 13 of its life (runtime.md, "Lifecycle"). */
function remove(sys: Sys, directory: ContainerDirectory, record: Record): void {
  destroy(sys, directory, record);
  runPoststopHooks(sys, record.hooks?.poststop ?? [], toState(record, "stopped"));
}

/** With --force, a damaged record is no reason to keep the rest: what it still tells is taken away. */
function readForDelete(
  { sys, log }: Pick<Context, "sys" | "log">,
  directory: ContainerDirectory,
  force: boolean,
): Record | undefined {
  try {
    return directory.read();
  } catch (error) {
    // Only damage: a record that cannot be read just now names what would run on without a name.
    if (!force || !(error instanceof TareError) || error.code !== "corrupt") throw error;
    const record = loadPart(sys, "tare-runtime~salvage").salvage(sys, directory);
    if (record === undefined) {
      log.warn(`${error.message}; its processes and cgroups, if there are any, stay`);
    }
    return record;
  }
}
