/** The command line: global flags, the choice of a command, and what a failure turns into. */
import { TareError } from "@tare/spec/error.ts";
import type { Surroundings } from "./command.ts";
import { COMMANDS, type CommandEntry } from "./commands.ts";
import { EXIT_FAILURE, printFailure, runStatus } from "./failure.ts";
import { parseLine } from "./flag.ts";
import { parseSwitch, parseText } from "./values.ts";

const GLOBAL_FLAGS = {
  dataRoot: {
    name: "data-root",
    arg: "DIR",
    help: "Where images and containers are kept",
    parse: parseText,
  },
  runRoot: {
    name: "run-root",
    arg: "DIR",
    help: "Where runtimes keep the state of running containers",
    parse: parseText,
  },
  version: { name: "version", short: "v", help: "Print versions", parse: parseSwitch },
} as const;

/** Runs the words after the program's name; answers the exit status. */
export async function main(words: readonly string[], around: Surroundings): Promise<number> {
  let name = "";
  try {
    const rules = { interspersed: false, shortHelp: true };
    const { values, positionals, help } = parseLine(GLOBAL_FLAGS, words, rules);
    const [command = "help", ...rest] = values.version ? ["version"] : positionals;
    name = command;
    if (help || command === "help") return await printHelp(rest[0], around);
    const dataRoot = values.dataRoot ?? around.settings.dataRoot;
    const runRoot = values.runRoot ?? around.settings.runRoot;
    const settings = { ...around.settings, dataRoot, runRoot };
    return await runCommand(findCommand(command), rest, { ...around, settings });
  } catch (error) {
    around.complain(printFailure(error));
    return name === "run" ? runStatus(error) : EXIT_FAILURE;
  }
}

async function runCommand(
  entry: CommandEntry,
  words: readonly string[],
  around: Surroundings,
): Promise<number> {
  const command = await entry.load();
  const asksHelp = words[0] === "--help";
  if (command.needsRoot && around.uid !== 0 && !asksHelp) throw notRoot(entry.name, around.uid);
  return await command.run(words, around);
}

function notRoot(command: string, uid: number): TareError {
  return new TareError("no_permission", `Cannot "${command}" as user ${uid}: root is needed`, {
    hint: `Run it with sudo; tare-runtime alone runs bundles with a user namespace for everyone`,
  });
}

async function printHelp(name: string | undefined, around: Surroundings): Promise<number> {
  const { commandHelp, overview } = await import("./help.ts");
  if (name === undefined) around.print(overview(COMMANDS));
  else around.print(commandHelp(await findCommand(name).load()));
  return 0;
}

function findCommand(name: string): CommandEntry {
  const entry = COMMANDS.find((command) => command.name === name);
  if (entry !== undefined) return entry;
  throw new TareError("bad_input", `Cannot run "${name}": there is no such command`, {
    hint: 'The commands are listed by "tare help"',
  });
}
