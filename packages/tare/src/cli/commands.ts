/** The list of commands; each one's code is loaded when it is chosen. */
import type { Command, CommandSummary } from "./command.ts";

export type CommandEntry = CommandSummary & { readonly load: () => Promise<Command> };

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "run",
    usage: "IMAGE [COMMAND [ARG...]]",
    help: "Run a command in a new container",
    load: async () => (await import("./run.ts")).RUN,
  },
  {
    name: "images",
    usage: "[NAME]",
    help: "List images",
    load: async () => (await import("./images.ts")).IMAGES,
  },
  {
    name: "load",
    usage: "",
    help: "Bring in images from an archive (docker save or OCI layout)",
    load: async () => (await import("./load.ts")).LOAD,
  },
  {
    name: "import",
    usage: "FILE|- [NAME]",
    help: "Make an image from the tarball of a root file system",
    load: async () => (await import("./import.ts")).IMPORT,
  },
  {
    name: "rmi",
    usage: "IMAGE [IMAGE...]",
    help: "Remove images",
    load: async () => (await import("./rmi.ts")).RMI,
  },
  {
    name: "rm",
    usage: "CONTAINER [CONTAINER...]",
    help: "Remove containers that have ended",
    load: async () => (await import("./rm.ts")).RM,
  },
  {
    name: "version",
    usage: "",
    help: "Print versions",
    load: async () => (await import("./version.ts")).VERSION,
  },
];
