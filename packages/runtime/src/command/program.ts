/**
 * The runtime as a program: finds the command, runs it, turns errors into one line (and one JSON
 * object where the caller asked for a log) and an exit status.
 */

import { TareError, toReport } from "@tare/spec/error.ts";
import { checkKernel, readKernel } from "../container/facts.ts";
import { loadPart } from "../sys/part.ts";
import type { Sys } from "../sys/types.ts";
import { type Arguments, parseArguments, seeHelp } from "./arguments.ts";
import type { Command, Commands } from "./command.ts";
import { absolutePath, type Context, type Manager, print, programName } from "./context.ts";
import { closeInherited } from "./inherited.ts";
import { type Log, openLog } from "./log.ts";

/** Each command by the part that has it: its options stand there too. */
const COMMANDS: { readonly [name: string]: (sys: Sys) => Commands } = {
  run: creating,
  create: creating,
  start: living,
  state: living,
  kill: living,
  delete: living,
  exec: (sys) => loadPart(sys, "tare-runtime~exec").COMMANDS,
  list: (sys) => loadPart(sys, "tare-runtime~list").COMMANDS,
  pause: pausing,
  resume: pausing,
  mounts: (sys) => loadPart(sys, "tare-runtime~mounts").COMMANDS,
  update: (sys) => loadPart(sys, "tare-runtime~update").COMMANDS,
  events: (sys) => loadPart(sys, "tare-runtime~events").COMMANDS,
  ps: (sys) => loadPart(sys, "tare-runtime~ps").COMMANDS,
  checkpoint: checkpointing,
  restore: checkpointing,
  spec: (sys) => about(sys).COMMANDS,
  features: (sys) => about(sys).COMMANDS,
};

function creating(sys: Sys): Commands {
  return loadPart(sys, "tare-runtime~create").COMMANDS;
}

function living(sys: Sys): Commands {
  return loadPart(sys, "tare-runtime~lifecycle").COMMANDS;
}

function pausing(sys: Sys): Commands {
  return loadPart(sys, "tare-runtime~pause").COMMANDS;
}

function checkpointing(sys: Sys): Commands {
  return loadPart(sys, "tare-runtime~checkpoint").COMMANDS;
}

function about(sys: Sys) {
  return loadPart(sys, "tare-runtime~about");
}

function helpText(sys: Sys, name?: string): string {
  return loadPart(sys, "tare-runtime~help").helpText(programName(sys), name);
}

/** runc's, and crun's --cgroup-manager and --log-level. */
const GLOBAL_OPTIONS = {
  root: "value",
  log: "value",
  "log-format": "value",
  "log-level": "value",
  debug: "flag",
  rootless: "value",
  "systemd-cgroup": "flag",
  "cgroup-manager": "value",
  version: "flag",
  v: { short: "version" },
  help: "flag",
  h: { short: "help" },
} as const;

/** runc's, for a command that there is none of. */
const EXIT_UNKNOWN_COMMAND = 3;

/** Exit statuses of a shell for the two ways in which a program cannot be executed; else 1, as runc. */
const EXIT_STATUS: { readonly [code: string]: number } = {
  command_not_found: 127,
  command_not_executable: 126,
};

export function runProgram(sys: Sys): number {
  const words = sys.argv().slice(1);
  let log = openLog(sys, { json: false, debug: false });
  try {
    const global = parseArguments(words, GLOBAL_OPTIONS, { mixed: false });
    log = logOf(sys, global);
    return runCommand(sys, global, log);
  } catch (error) {
    return told(log, error);
  }
}

/** One line for people and programs; the answer is the exit status. */
function told(log: Log, error: unknown, status?: number): number {
  const report = toReport(error);
  log.error(report);
  return status ?? EXIT_STATUS[report.code] ?? 1;
}

function logOf(sys: Sys, { options, flags }: Arguments): Log {
  const format = options.get("log-format") ?? "text";
  if (format !== "text" && format !== "json") {
    throw new TareError("bad_input", `Cannot use --log-format "${format}": unknown format`, {
      hint: "Use text or json",
    });
  }
  return openLog(sys, {
    path: options.get("log"),
    json: format === "json",
    debug: flags.has("debug") || options.get("log-level") === "debug",
  });
}

function runCommand(sys: Sys, global: Arguments, log: Log): number {
  const [name, ...rest] = global.words;
  if (global.flags.has("version")) return said(sys, about(sys).versionText(sys));
  if (global.flags.has("help") || name === undefined) return said(sys, helpText(sys));
  if (name === "help" || name === "h") return said(sys, helpText(sys, rest[0]));
  const command = findCommand(sys, name);
  if (command === undefined) return told(log, unknownCommand(name), EXIT_UNKNOWN_COMMAND);
  const table = { ...command.options, help: "flag", h: { short: "help" } } as const;
  const args = parseArguments(rest, table, { mixed: command.mixed, command: name });
  if (args.flags.has("help")) return said(sys, helpText(sys, name));
  refuseMore(name, command, args);
  command.check?.(args);
  // Behind the first word of `exec` all are the program's.
  closeInherited(sys, command.mixed ? rest : rest.slice(0, rest.length - args.words.length));
  checkKernel(readKernel(sys));
  if (log.isDebugging) about(sys).tellSealed(sys, log);
  try {
    return command.run(contextOf(sys, global, log, args));
  } catch (error) {
    return told(log, error, command.failure);
  }
}

/** A word too many is a mistake, such as the second of two ids: what is done would not be what is meant. */
function refuseMore(name: string, { words: most }: Command, { words }: Arguments): void {
  if (most === undefined || words.length <= most) return;
  throw new TareError(
    "bad_input",
    `Cannot run "${name}": "${words[most]}" is one word too many: it takes ${most}`,
    { hint: seeHelp(name) },
  );
}

function findCommand(sys: Sys, name: string): Command | undefined {
  const part = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  return part?.(sys)[name];
}

function unknownCommand(name: string): TareError {
  return new TareError("bad_input", `Cannot run "${name}": No help topic for '${name}'`, {
    hint: `Use one of ${Object.keys(COMMANDS).join(", ")}`,
  });
}

function contextOf(sys: Sys, global: Arguments, log: Log, args: Arguments): Context {
  const root = absolutePath(sys, global.options.get("root") || defaultRoot(sys));
  const rootGiven = global.options.has("root");
  return {
    sys,
    root,
    rootGiven,
    args,
    log,
    manager: managerOf(global),
    rootless: rootlessOf(global),
  };
}

/** The words of runc's option. */
function rootlessOf({ options }: Arguments): boolean | undefined {
  const word = options.get("rootless") ?? "auto";
  if (word === "auto" || word === "") return undefined;
  if (word === "true" || word === "false") return word === "true";
  throw new TareError("bad_input", `Cannot use --rootless "${word}": want true, false or auto`);
}

function managerOf({ options, flags }: Arguments): Manager {
  const name =
    options.get("cgroup-manager") ?? (flags.has("systemd-cgroup") ? "systemd" : "cgroupfs");
  if (name === "cgroupfs" || name === "systemd" || name === "disabled") return name;
  throw new TareError("bad_input", `Cannot use --cgroup-manager "${name}": unknown manager`, {
    hint: "Use cgroupfs, systemd or disabled",
  });
}

function said(sys: Sys, text: string): number {
  print(sys, text);
  return 0;
}

/**
 * A directory of the machine for root; for others below the one that the machine gives them at login,
 * else in /tmp, where it must be theirs alone.
 */
function defaultRoot(sys: Sys): string {
  if (sys.geteuid() === 0) return "/run/tare-runtime";
  const own = sys.variable("XDG_RUNTIME_DIR");
  if (own !== null && own !== "") return `${own}/tare-runtime`;
  return loadPart(sys, "tare-runtime~own-root").ownRoot(sys);
}
