/**
 * `ps`: the processes of a container. As runc's: the table is that of the host's ps(1) with the
 * caller's options, less the lines of others; in JSON it is the list of pids.
 */

import { TareError } from "@tare/spec/error.ts";
import { listPids } from "../cgroup/processes.ts";
import { parseCgroupState } from "../cgroup/state.ts";
import type { Record } from "../container/record.ts";
import { isAlive } from "../container/store.ts";
import { captureOutput } from "../process/capture.ts";
import { describeStatus, exitStatus } from "../process/wait.ts";
import { writeAll } from "../sys/file.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { Commands } from "./command.ts";
import { type Context, containerId, print } from "./context.ts";
import { known } from "./known.ts";

const PS_OPTIONS = { format: "value", f: { short: "format" } } as const;

const STDOUT = 1 as Fd;
const BLANK = 0x20;
const NEWLINE = 0x0a;
/** A machine with a hundred thousand processes, each with a long command line. */
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024;

export const COMMANDS: Commands = {
  // What follows the id is for ps(1).
  ps: { options: PS_OPTIONS, mixed: false, run: runPs },
};

function runPs(context: Context): number {
  const { sys, args } = context;
  const { record } = known(context, containerId(args));
  const format = args.options.get("format") ?? "table";
  const pids = processesOf(sys, record);
  if (format === "json") print(sys, `${pids.length === 0 ? "null" : JSON.stringify(pids)}\n`);
  else if (format === "table") {
    const lines = filterTable(hostTable(sys, args.words.slice(1)), pids);
    for (const line of lines) writeAll(sys, STDOUT, line, "stdout");
  } else {
    throw new TareError("bad_input", `Cannot print as "${format}": invalid format option`, {
      hint: "Use table or json",
    });
  }
  return 0;
}

/** Of a container without a cgroup of its own only the first one is known. */
function processesOf(sys: Sys, record: Record): readonly number[] {
  const cgroup = parseCgroupState(record.cgroup);
  if (cgroup.dirs.length > 0) return listPids(sys, cgroup);
  return record.pid !== undefined && isAlive(sys, record) ? [record.pid] : [];
}

function hostTable(sys: Sys, words: readonly string[]): Uint8Array {
  const asked = words.length === 0 ? ["-ef"] : words;
  const { output, status } = captureOutput(sys, "ps", asked, OUTPUT_BYTES_MAX);
  if (exitStatus(status) === 127) {
    throw new TareError("not_found", "Cannot list processes: this host has no ps(1) in PATH", {
      hint: "Use --format json",
    });
  }
  if (status === 0) return output;
  const why = `${describeStatus(status)}: ${sys.decode_utf8(output)?.trim() ?? ""}`;
  throw new TareError("bad_input", `Cannot list processes: ps ${asked.join(" ")}: ${why}`);
}

/**
 * The head of a table of ps(1) and the lines whose column PID has one of these numbers. Lines are
 * bytes: a process may call itself what is no text.
 * @throws TareError `bad_input` where the options left that column out.
 */
export function filterTable(table: Uint8Array, pids: readonly number[]): Uint8Array[] {
  const wanted = new Set(pids.map(String));
  const [head = new Uint8Array(), ...lines] = linesOf(table);
  const column = columnOf(head, "PID");
  return [head, ...lines.filter((line) => wanted.has(wordAt(line, column)))];
}

function columnOf(head: Uint8Array, name: string): number {
  for (let column = 0; ; column++) {
    const word = wordAt(head, column);
    if (word === name) return column;
    if (word !== "") continue;
    const why = "couldn't find PID field in ps output";
    throw new TareError("bad_input", `Cannot list processes: ${why}`, { hint: "Add -o pid" });
  }
}

/** Each with its newline. */
function linesOf(table: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let start = 0; start < table.length; ) {
    const newline = table.indexOf(NEWLINE, start);
    const end = newline < 0 ? table.length : newline + 1;
    lines.push(table.subarray(start, end));
    start = end;
  }
  return lines;
}

/** The word in a column, counted from 0; empty where there are fewer. */
function wordAt(line: Uint8Array, column: number): string {
  let at = 0;
  for (let word = 0; ; word++) {
    while (line[at] === BLANK) at++;
    const start = at;
    while (at < line.length && line[at] !== BLANK && line[at] !== NEWLINE) at++;
    if (word === column || start === at) return String.fromCharCode(...line.subarray(start, at));
  }
}
