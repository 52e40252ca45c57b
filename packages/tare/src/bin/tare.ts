/** The program `tare`: the only place of the CLI that touches the process. */
import { isatty } from "node:tty";
import { main } from "../cli/main.ts";

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

const status = await main(process.argv.slice(2), {
  env,
  directory: process.cwd(),
  programs,
  settings: {
    dataRoot: "/var/lib/tare",
    runRoot: "/run/tare",
    helper: `${programs}/tare-helper`,
    init: `${programs}/tare-init`,
    rootless: false,
  },
  isTerminal: (fd) => isatty(fd),
  print: (text) => {
    process.stdout.write(text);
  },
  complain: (text) => {
    process.stderr.write(text);
  },
  onSignal: (handler) => {
    for (const signal of FORWARDED) process.on(signal, () => handler(signal));
  },
});
process.exit(status);
