/** The program `tare`: the only place of the CLI that touches the process. */
import { fstatSync, readFileSync } from "node:fs";
import { reasonOf } from "@tare/engine/host/failure.ts";
import { writeWhole } from "@tare/engine/write-whole.ts";
import { TareError } from "@tare/spec/error.ts";
import { EXIT_BROKEN_PIPE } from "../cli/failure.ts";
import { main } from "../cli/main.ts";
import { escapeControls, hasControls } from "../cli/terminal-text.ts";

const FORWARDED: readonly NodeJS.Signals[] = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
];

const env = new Map(Object.entries(process.env).map(([key, value]) => [key, value ?? ""]));

/** The other programs lie beside this one, unless a developer says otherwise. */
const programs =
  env.get("TARE_PROGRAMS") ?? process.execPath.slice(0, process.execPath.lastIndexOf("/"));

/** The streams of the process object would cost as much as starting it. */
function write(fd: number, text: string): void {
  try {
    writeWhole(fd, text);
  } catch (cause) {
    // A reader that went, as `head`, is no failure of ours to report.
    if ((cause as NodeJS.ErrnoException).code === "EPIPE") process.exit(EXIT_BROKEN_PIPE);
    const message = `Cannot write to standard output: ${reasonOf(cause)}`;
    throw new TareError("system", message, { cause });
  }
}

/** What cannot be told to anybody must not end the work that it is about. */
function complain(text: string): void {
  try {
    writeWhole(2, text);
  } catch {
    // The exit status says it.
  }
}

/** A terminal, that is, or what takes text as one; asking node:tty costs as much as starting. */
function isDevice(fd: number): boolean {
  return fstatSync(fd).isCharacterDevice();
}

/** Whether we are root of less than the machine: the first namespace maps all ids onto themselves. */
function inUserNamespace(): boolean {
  const [inside, outside, count] = readFileSync("/proc/self/uid_map", "latin1").trim().split(/ +/);
  return inside !== "0" || outside !== "0" || count !== "4294967295";
}

const status = await main(process.argv.slice(2), {
  env,
  directory: process.cwd(),
  programs,
  settings: {
    dataRoot: "/var/lib/tare",
    runRoot: "/run/tare",
    helper: `${programs}/tare-helper`,
    init: `${programs}/tare-init`,
    rootless: inUserNamespace(),
  },
  // Loading this module costs as much as starting the program.
  isTerminal: async (fd) => (await import("node:tty")).isatty(fd),
  uid: process.getuid?.() ?? 0,
  print: (text) => write(1, hasControls(text) && isDevice(1) ? escapeControls(text) : text),
  draw: (text) => write(1, text),
  complain,
  onSignal: (handler) => {
    for (const signal of FORWARDED) process.on(signal, () => handler(signal));
  },
});
process.exit(status);
