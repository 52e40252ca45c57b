/**
 * The runtime as a program: finds the command, runs it, turns errors into one line (and one JSON
 * object where the caller asked for a log) and an exit status.
 */

import { type ErrorReport, TareError, toReport } from "@tare/spec/error.ts";
import { checkKernel, readKernel } from "../container/facts.ts";
import { AT_FDCWD, O_CREAT, O_WRONLY } from "../sys/abi-file.ts";
import { check } from "../sys/check.ts";
import { openAt, writeAll } from "../sys/file.ts";
import { loadPart } from "../sys/part.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { type Arguments, type OptionTable, parseArguments } from "./arguments.ts";
import { type Context, print } from "./context.ts";
import { closeInherited } from "./inherited.ts";
import {
  CREATE_OPTIONS,
  DELETE_OPTIONS,
  KILL_OPTIONS,
  LIST_OPTIONS,
  RUN_OPTIONS,
  SPEC_OPTIONS,
} from "./options.ts";

type Command = {
  readonly options: OptionTable;
  readonly run: (context: Context) => number;
};

const COMMANDS: { readonly [name: string]: Command } = {
  run: { options: RUN_OPTIONS, run: (context) => creating(context).runRun(context) },
  create: { options: CREATE_OPTIONS, run: (context) => creating(context).runCreate(context) },
  start: { options: {}, run: (context) => living(context).runStart(context) },
  state: { options: {}, run: (context) => living(context).runState(context) },
  kill: { options: KILL_OPTIONS, run: (context) => living(context).runKill(context) },
  delete: { options: DELETE_OPTIONS, run: (context) => living(context).runDelete(context) },
  list: { options: LIST_OPTIONS, run: (context) => living(context).runList(context) },
  spec: { options: SPEC_OPTIONS, run: (context) => about(context.sys).runSpec(context) },
  features: { options: {}, run: (context) => about(context.sys).runFeatures(context) },
};

function creating({ sys }: Context) {
  return loadPart(sys, "tare-runtime~create");
}

function living({ sys }: Context) {
  return loadPart(sys, "tare-runtime~lifecycle");
}

function about(sys: Sys) {
  return loadPart(sys, "tare-runtime~about");
}

const GLOBAL_OPTIONS = {
  root: "value",
  log: "value",
  "log-format": "value",
  debug: "flag",
  rootless: "value",
  "systemd-cgroup": "flag",
  version: "flag",
  v: { short: "version" },
  help: "flag",
  h: { short: "help" },
} as const;

const LOG_APPEND = 0o2000;
/** Exit statuses of a shell for the two ways in which a program cannot be executed; else 1, as runc. */
const EXIT_STATUS: { readonly [code: string]: number } = {
  command_not_found: 127,
  command_not_executable: 126,
};

export function runProgram(sys: Sys): number {
  const words = sys.argv().slice(1);
  let global: Arguments | undefined;
  try {
    closeInherited(sys, words);
    global = parseArguments(words, GLOBAL_OPTIONS, { mixed: false });
    return runCommand(sys, global);
  } catch (error) {
    const report = toReport(error);
    tell(sys, global, report);
    return EXIT_STATUS[report.code] ?? 1;
  }
}

function runCommand(sys: Sys, global: Arguments): number {
  const [name, ...rest] = global.words;
  if (global.flags.has("version")) return said(sys, about(sys).versionText());
  if (global.flags.has("help") || name === undefined || name === "help")
    return said(sys, about(sys).HELP);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    throw new TareError("bad_input", `Cannot run "${name}": unknown command`, {
      hint: `Use one of ${Object.keys(COMMANDS).join(", ")}`,
    });
  }
  const table = { ...command.options, help: "flag", h: { short: "help" } } as const;
  const args = parseArguments(rest, table, { mixed: true });
  if (args.flags.has("help")) return said(sys, about(sys).HELP);
  if (global.flags.has("systemd-cgroup")) {
    throw new TareError(
      "unsupported",
      "Cannot use --systemd-cgroup: there is only the cgroupfs manager yet",
    );
  }
  checkKernel(readKernel(sys));
  return command.run({ sys, root: global.options.get("root") ?? defaultRoot(sys), args });
}

function said(sys: Sys, text: string): number {
  print(sys, text);
  return 0;
}

/** A directory of the machine for root; of the user for others, whose owner is checked before use. */
function defaultRoot(sys: Sys): string {
  if (sys.geteuid() === 0) return "/run/tare-runtime";
  const entry = sys.environ().find((each) => each.startsWith("XDG_RUNTIME_DIR="));
  return entry === undefined
    ? `/tmp/tare-runtime-${sys.geteuid()}`
    : `${entry.slice(16)}/tare-runtime`;
}

/** One line on standard error, and the log where the caller asked for one. */
function tell(sys: Sys, global: Arguments | undefined, report: ErrorReport): void {
  const hint = report.hint === undefined ? "" : `\nhint: ${report.hint}`;
  sys.write(2 as Fd, sys.encode_utf8(`tare-runtime: ${report.message}${hint}\n`));
  const log = global?.options.get("log");
  if (log === undefined || log === "") return;
  const json = global?.options.get("log-format") === "json";
  const time = new Date(Number(sys.clock_gettime(0) / 1_000_000n)).toISOString();
  const line = json
    ? JSON.stringify({ level: "error", msg: report.message, time, ...report })
    : `time="${time}" level=error msg=${JSON.stringify(report.message)}`;
  const ret = openAt(sys, AT_FDCWD, log, O_WRONLY | O_CREAT | LOG_APPEND, 0, 0o644);
  try {
    writeAll(sys, check(ret, "openat2", log), sys.encode_utf8(`${line}\n`), log);
  } catch (error) {
    sys.write(2 as Fd, sys.encode_utf8(`tare-runtime: ${toReport(error).message}\n`));
  }
}
