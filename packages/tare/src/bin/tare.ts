/** The program `tare`: the only place of the CLI that touches the process. */
import { fstatSync, readFileSync, writeSync } from "node:fs";
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

/** 128 + SIGPIPE, as a shell gives for a program that the signal ended. */
const EXIT_BROKEN_PIPE = 141;

/** The streams of the process object would cost as much as starting it. */
function writeWhole(fd: number, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // A reader that went, as `head`, is no failure of ours to report.
      if (code === "EPIPE") process.exit(EXIT_BROKEN_PIPE);
      if (code !== "EAGAIN") throw error;
      Bun.sleepSync(1);
    }
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
  print: (text) => writeWhole(1, hasControls(text) && isDevice(1) ? escapeControls(text) : text),
  draw: (text) => writeWhole(1, text),
  complain: (text) => writeWhole(2, text),
  onSignal: (handler) => {
    for (const signal of FORWARDED) process.on(signal, () => handler(signal));
  },
});
process.exit(status);
