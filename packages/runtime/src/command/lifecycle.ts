/** `start`, `state`, `kill`, `delete`, `list`: commands for containers that exist. */

import { TareError } from "@tare/spec/error.ts";
import { thawCgroup } from "../cgroup/freezer.ts";
import { killAll, listPids } from "../cgroup/processes.ts";
import { parseCgroupState } from "../cgroup/state.ts";
import { destroy } from "../container/destroy.ts";
import { listenerTaker } from "../container/listener.ts";
import { giveStart, type OnListener } from "../container/start-socket.ts";
import {
  type ContainerDirectory,
  findDirectory,
  isAlive,
  listIds,
  openDirectory,
  type Record,
  toState,
} from "../container/store.ts";
import { runHooks, runPoststopHooks } from "../hooks/hooks.ts";
import { SIGKILL, SIGTERM, signalNumber } from "../sys/abi-process.ts";
import { check, errnoOf } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Sys } from "../sys/types.ts";
import type { Commands } from "./command.ts";
import { type Context, containerId, print } from "./context.ts";
import { known, statusNow, wrongState } from "./known.ts";

const KILL_OPTIONS = { all: "flag", a: { short: "all" } } as const;

const DELETE_OPTIONS = { force: "flag", f: { short: "force" } } as const;

const LIST_OPTIONS = {
  format: "value",
  f: { short: "format" },
  quiet: "flag",
  q: { short: "quiet" },
} as const;

export const COMMANDS: Commands = {
  start: { options: {}, mixed: true, run: runStart },
  state: { options: {}, mixed: true, run: runState },
  kill: { options: KILL_OPTIONS, mixed: true, run: runKill },
  delete: { options: DELETE_OPTIONS, mixed: true, run: runDelete },
  list: { options: LIST_OPTIONS, mixed: true, run: runList },
};

function runStart(context: Context): number {
  const { sys, args } = context;
  const id = containerId(args);
  const { directory, record, status } = known(context, id);
  if (status !== "created")
    throw wrongState("start", id, status, "only a created one can be started");
  const poststart = record.hooks?.poststart ?? [];
  giveStart(sys, directory.fd, id, guarded(sys, record));
  runHooks(sys, "poststart", poststart, toState(record, "running"));
  return 0;
}

/** Where the agent cannot be had, the first process may hang in a call that nobody answers: it is ended. */
function guarded(sys: Sys, record: Record): OnListener | undefined {
  const take = listenerTaker(sys, record);
  if (take === undefined) return undefined;
  return (listener) => {
    try {
      take(listener);
    } catch (error) {
      using pidfd = openFirst(sys, record);
      if (pidfd !== undefined) sys.pidfd_send_signal(pidfd.fd, SIGKILL);
      throw error;
    }
  };
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
  const id = containerId(args);
  const word = args.words[1] ?? String(SIGTERM);
  const signal = signalNumber(word.startsWith("-") ? word.slice(1) : word);
  if (signal === undefined) {
    throw new TareError("bad_input", `Cannot send signal "${word}": unknown signal`, {
      hint: "Use a name such as TERM or a number",
    });
  }
  const { record, status } = known(context, id);
  if (args.flags.has("all") && status === "stopped") {
    killAll(sys, parseCgroupState(record.cgroup));
    return 0;
  }
  if (args.flags.has("all")) return signalAll(sys, record, signal);
  using pidfd = openFirst(sys, record);
  if (pidfd === undefined) {
    throw new TareError("bad_state", `Cannot kill container "${id}": container not running`);
  }
  check(sys.pidfd_send_signal(pidfd.fd, signal), "pidfd_send_signal");
  // On v1 a frozen process does not even die.
  if (signal === SIGKILL && status === "paused") thawCgroup(sys, parseCgroupState(record.cgroup));
  return 0;
}

/** Every process of the container, also where it has no pid namespace that would end the others. */
function signalAll(sys: Sys, record: Record, signal: number): number {
  const cgroup = parseCgroupState(record.cgroup);
  if (signal === SIGKILL) killAll(sys, cgroup);
  else for (const pid of listPids(sys, cgroup)) sys.kill(pid, signal);
  return 0;
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
  const { sys, root, args } = context;
  const id = containerId(args);
  const force = args.flags.has("force");
  using directory = force ? findDirectory(sys, root, id) : openDirectory(sys, root, id);
  if (directory === undefined) return 0;
  const record = readForDelete(directory, force);
  if (record === undefined) {
    directory.remove();
    return 0;
  }
  const status = statusNow(sys, directory, record);
  if (!force && status !== "created" && status !== "stopped") {
    throw wrongState("delete", id, status, "stop it first, or use --force");
  }
  const poststop = record.hooks?.poststop ?? [];
  destroy(sys, directory, record);
  runPoststopHooks(sys, poststop, toState(record, "stopped"));
  return 0;
}

/** With --force, a state that cannot be read is no reason to keep the rest. */
function readForDelete(directory: ContainerDirectory, force: boolean): Record | undefined {
  try {
    return directory.read();
  } catch (error) {
    if (!force) throw error;
    return undefined;
  }
}

function runList(context: Context): number {
  const { sys, root, args } = context;
  const rows = (listIds(sys, root) ?? noRoot(context)).flatMap((id) => listRow(context, id));
  const format = args.options.get("format") ?? "table";
  if (args.flags.has("quiet")) print(sys, rows.map(({ id }) => `${id}\n`).join(""));
  else if (format === "json") print(sys, `${JSON.stringify(rows.length === 0 ? null : rows)}\n`);
  else if (format === "table") print(sys, table(rows));
  else {
    throw new TareError("bad_input", `Cannot list as "${format}": unknown format`, {
      hint: "Use table or json",
    });
  }
  return 0;
}

/** The default one is made when it is needed. */
function noRoot({ root, rootGiven }: Context): readonly string[] {
  if (!rootGiven) return [];
  throw new TareError("not_found", `Cannot list containers below "${root}": no such directory`, {
    hint: "Check --root",
  });
}

type Row = {
  readonly ociVersion: string;
  readonly id: string;
  readonly pid: number;
  readonly status: string;
  readonly bundle: string;
  readonly rootfs: string;
  readonly created: string;
  readonly owner: string;
};

/** One container; one that is just being removed, or damaged, does not hide the others. */
function listRow({ sys, root }: Context, id: string): Row[] {
  const none = { pid: 0, bundle: "", rootfs: "", created: "", owner: "" };
  try {
    using directory = findDirectory(sys, root, id);
    if (directory === undefined) return [];
    const record = directory.read();
    if (record === undefined) return [{ ociVersion: "", id, status: "creating", ...none }];
    const status = statusNow(sys, directory, record);
    const { ociVersion, bundle, rootfs, created, owner } = record;
    const pid = status === "stopped" ? 0 : (record.pid ?? 0);
    return [{ ociVersion, id, pid, status, bundle, rootfs, created, owner }];
  } catch {
    return [{ ociVersion: "", id, status: "damaged", ...none }];
  }
}

function table(rows: readonly Row[]): string {
  const head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
  const lines = rows.map(({ id, pid, status, bundle, created, owner }) => [
    id,
    String(pid),
    status,
    bundle,
    created,
    owner,
  ]);
  const widths = head.map((name, column) =>
    Math.max(name.length, ...lines.map((line) => (line[column] ?? "").length)),
  );
  const row = (line: readonly string[]) =>
    line
      .map((cell, column) => cell.padEnd((widths[column] ?? 0) + 2))
      .join("")
      .trimEnd();
  return `${[head, ...lines].map(row).join("\n")}\n`;
}
