/** `exec`: a further process in a container. */

import { TareError } from "@tare/spec/error.ts";
import type { Process } from "@tare/spec/oci-runtime.ts";
import { parseProcess } from "@tare/spec/oci-runtime-parse-process.ts";
import { parseSubCgroups } from "../cgroup/sub.ts";
import { exec, hasUserNamespace } from "../container/exec.ts";
import { parseGroups, processOfFile, processOfFlags } from "../container/exec-process.ts";
import { type ExecRecord, parseExecRecord } from "../container/exec-record.ts";
import { readModules } from "../container/facts.ts";
import { openDirectory } from "../container/store.ts";
import { checkLabels } from "../container/unsupported.ts";
import { grantable } from "../process/apply.ts";
import { exitStatus, waitFor } from "../process/wait.ts";
import { SIGKILL } from "../sys/abi-process.ts";
import { check, errnoOf } from "../sys/check.ts";
import { readText, retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Sys } from "../sys/types.ts";
import { catchSignals, relay } from "../terminal/relay.ts";
import { sendDescriptor } from "../terminal/send.ts";
import type { Arguments } from "./arguments.ts";
import type { Commands } from "./command.ts";
import { type Context, containerId, writePidFile } from "./context.ts";
import { listeningCount, variable, withListening } from "./environment.ts";
import { consoleTaker, inForeground, preservedCount, preserveFds } from "./foreground.ts";

const PROCESS_BYTES_MAX = 4 * 1024 * 1024;
/** runc's, for every failure before the program runs: engines tell it from the program's own. */
const EXIT_NOT_STARTED = 255;

const EXEC_OPTIONS = {
  process: "value",
  p: { short: "process" },
  detach: "flag",
  d: { short: "detach" },
  "pid-file": "value",
  "console-socket": "value",
  "pidfd-socket": "value",
  cwd: "value",
  env: "list",
  e: { short: "env" },
  user: "value",
  u: { short: "user" },
  "additional-gids": "list",
  g: { short: "additional-gids" },
  tty: "flag",
  t: { short: "tty" },
  "process-label": "value",
  apparmor: "value",
  "no-new-privs": "flag",
  cap: "list",
  c: { short: "cap" },
  "preserve-fds": "value",
  "ignore-paused": "flag",
  cgroup: "list",
  "no-subreaper": "flag",
} as const;

export const COMMANDS: Commands = {
  exec: {
    options: EXEC_OPTIONS,
    mixed: false,
    check: checkWords,
    failure: EXIT_NOT_STARTED,
    run: runWords,
  },
};

/** What runc's command line refuses before anything is looked at. */
function checkWords(args: Arguments): void {
  containerId(args);
  preservedCount(args);
  parseGroups(args.lists.get("additional-gids") ?? []);
}

function runWords(context: Context): number {
  try {
    return runExec(context);
  } catch (error) {
    throw context.args.options.has("process") ? error : aboutWords(error);
  }
}

/** Where no file named the program that is missing, the hint is about the words of the command line. */
export function aboutWords(error: unknown): unknown {
  if (!(error instanceof TareError) || error.code !== "command_not_found") return error;
  if (error.hint === undefined) return error;
  const hint = "Check the command: it has to be in the container";
  return new TareError(error.code, error.message, { cause: error, hint });
}

function runExec(context: Context): number {
  const { sys, root, args } = context;
  const id = containerId(args);
  using directory = openDirectory(sys, root, id);
  const record = directory.read();
  if (record?.exec === undefined) throw notReady(id);
  const known = parseExecRecord(record.exec, id);
  const wanted = listeningProcess(sys, processOf(context, known));
  const inUserNamespace = hasUserNamespace(known);
  const process = grantable(sys, wanted, { inUserNamespace, warn: context.log.warn });
  checkLabels(process, readModules(sys, process));
  checkConsole(args, process);
  const taker = consoleTaker(sys, args.options.get("console-socket"));
  using signals = catchSignals(sys);
  const pid = exec(sys, {
    directory,
    record,
    exec: known,
    process,
    cgroups: parseSubCgroups(args.lists.get("cgroup") ?? []),
    preserveFds: preserveFds(context),
    ignorePaused: args.flags.has("ignore-paused"),
    onConsole: taker.take,
    signals: signals.fd,
    debug: context.log.debug,
  });
  try {
    using pidfd = new OwnedFd(sys, check(sys.pidfd_open(pid, 0), "pidfd_open"));
    tellPid(context, pid, pidfd);
    if (args.flags.has("detach")) return 0;
    inForeground(sys, taker.taken, (terminal) =>
      relay(sys, {
        pidfd: pidfd.fd,
        signals: signals.fd,
        terminal,
        lifeline: undefined,
        beside: undefined,
      }),
    );
  } catch (error) {
    // Nobody could find it, or follow it. Not waited for yet, so the number is still its.
    if (errnoOf(sys.kill(pid, SIGKILL)) === 0) {
      retried(() => sys.wait4(pid, new Int32Array(1), 0));
    }
    throw error;
  }
  return exitStatus(waitFor(sys, pid));
}

function notReady(id: string): TareError {
  return new TareError(
    "bad_state",
    `Cannot exec in container "${id}": it was never created whole`,
    {
      hint: `Remove it with delete --force ${id}`,
    },
  );
}

function listeningProcess(sys: Sys, process: Process): Process {
  const env = withListening(process.env, listeningCount(sys), variable(sys, "LISTEN_FDNAMES"));
  return { ...process, env };
}

/** The process of --process; without it the container's own, changed by the flags. */
function processOf({ sys, args }: Context, known: ExecRecord): Process {
  const { options, lists, flags } = args;
  const own = known.process;
  const path = options.get("process");
  if (path !== undefined) {
    const text = readText(sys, path, PROCESS_BYTES_MAX);
    if (text === undefined) {
      throw new TareError("not_found", `Cannot read "${path}": no such file or directory`);
    }
    return processOfFile(parseProcess(text, path, own?.capabilities), own);
  }
  const given = (name: string): string | undefined => options.get(name) || undefined;
  const wish = {
    args: args.words.slice(1),
    cwd: given("cwd"),
    env: lists.get("env") ?? [],
    user: given("user"),
    additionalGids: lists.get("additional-gids") ?? [],
    terminal: flags.has("tty"),
    label: given("process-label"),
    apparmor: given("apparmor"),
    noNewPrivileges: flags.has("no-new-privs"),
    capabilities: lists.get("cap") ?? [],
  };
  return processOfFlags(wish, own);
}

function checkConsole({ options, flags }: Arguments, process: Process): void {
  const socket = options.has("console-socket");
  if (process.terminal && flags.has("detach") && !socket) {
    throw new TareError("bad_input", "Cannot make a terminal: nobody would take it", {
      hint: "Give --console-socket, or leave out --detach",
    });
  }
  if (!process.terminal && socket) {
    throw new TareError("bad_input", "Cannot use --console-socket: no terminal is asked for", {
      hint: "Give --tty, or set terminal in the file of --process",
    });
  }
}

/** To the file and the socket that the caller named. */
function tellPid({ sys, args }: Context, pid: number, pidfd: OwnedFd): void {
  writePidFile({ sys, args }, pid);
  const socket = args.options.get("pidfd-socket");
  if (socket !== undefined) sendDescriptor(sys, socket, pidfd.fd, "pidfd");
}
