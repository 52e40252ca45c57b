/** The command line: global flags, the choice of a command, and what a failure turns into. */
import { TareError } from "@tare/spec/error.ts";
import type { Surroundings } from "./command.ts";
import { COMMANDS, type CommandEntry, findCommand, groupOf } from "./commands.ts";
import { failureStatus, printFailure } from "./failure.ts";
import { parseLine } from "./flag.ts";
import { parseSwitch, parseText } from "./values.ts";

const GLOBAL_FLAGS = {
  config: {
    name: "config",
    arg: "DIR",
    help: "Docker's directory, with passwords of registries",
    parse: parseText,
  },
  dataRoot: {
    name: "data-root",
    arg: "DIR",
    help: "Where images and containers are kept",
    parse: parseText,
  },
  registries: {
    name: "registries",
    arg: "FILE",
    help: "How registries are reached",
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
    const all = values.version ? ["version"] : positionals;
    const [command = "help", ...others] = all;
    if (help || command === "help") return await printHelp(others, around);
    if (isGroup(all)) return await printHelp([command], around);
    const { entry, rest } = wantCommand(all);
    name = entry.name;
    const dataRoot = values.dataRoot ?? around.settings.dataRoot;
    const runRoot = values.runRoot ?? around.settings.runRoot;
    const settings = { ...around.settings, dataRoot, runRoot };
    return await runCommand(entry, rest, {
      ...around,
      settings,
      ...(values.registries === undefined ? undefined : { registriesFile: values.registries }),
      ...(values.config === undefined ? undefined : { dockerDirectory: values.config }),
    });
  } catch (error) {
    around.complain(printFailure(error));
    return failureStatus(name, error);
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

/** The name of a group alone, or with a wish for help. */
function isGroup(words: readonly string[]): boolean {
  const [word = "", next = "--help"] = words;
  return (
    (next === "--help" || next === "-h") &&
    findCommand([word]) === undefined &&
    groupOf(word).length > 0
  );
}

async function printHelp(words: readonly string[], around: Surroundings): Promise<number> {
  const { commandHelp, groupHelp, overview } = await import("./help.ts");
  const group = words.length === 1 ? groupOf(words[0] ?? "") : [];
  if (words.length === 0) around.print(overview(COMMANDS));
  else if (group.length > 0) around.print(groupHelp(words[0] ?? "", group));
  else around.print(commandHelp(await wantCommand(words).entry.load()));
  return 0;
}

function wantCommand(words: readonly string[]): {
  readonly entry: CommandEntry;
  readonly rest: readonly string[];
} {
  const found = findCommand(words);
  if (found !== undefined) return found;
  const [first = ""] = words;
  const group = groupOf(first).length > 0;
  const name = group ? words.slice(0, 2).join(" ") : first;
  throw new TareError("bad_input", `Cannot run "${name}": there is no such command`, {
    hint: `The commands are listed by "tare help${group ? ` ${first}` : ""}"`,
  });
}
