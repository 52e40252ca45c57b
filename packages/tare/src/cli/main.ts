/** The command line: global flags, the choice of a command, and what a failure turns into. */
import { resolve } from "node:path";
import { TareError } from "@tare/spec/error.ts";
import type { Surroundings } from "./command.ts";
import { COMMANDS, type CommandEntry, findCommand, groupOf } from "./commands.ts";
import { failureStatus, printFailure } from "./failure.ts";
import { parseLine, UnknownFlag } from "./flag.ts";
import { parsePath, parseSwitch } from "./values.ts";

/** Flags of `tare` itself, before the command. */
export const GLOBAL_FLAGS = {
  config: {
    name: "config",
    arg: "DIR",
    help: "Docker's directory, with passwords of registries (default ~/.docker)",
    parse: parsePath,
  },
  dataRoot: {
    name: "data-root",
    alias: "root",
    arg: "DIR",
    help: "Where images and containers are kept (default /var/lib/tare)",
    parse: parsePath,
  },
  registries: {
    name: "registries",
    arg: "FILE",
    help: "How registries are reached (default /etc/tare/registries.toml)",
    parse: parsePath,
  },
  runRoot: {
    name: "run-root",
    arg: "DIR",
    help: "Where runtimes keep the state of running containers (default /run/tare)",
    parse: parsePath,
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
    const { entry, rest } = await wantCommand(all);
    name = entry.name;
    const dataRoot = resolve(around.directory, values.dataRoot ?? around.settings.dataRoot);
    const runRoot = resolve(around.directory, values.runRoot ?? around.settings.runRoot);
    const settings = { ...around.settings, dataRoot, runRoot };
    return await runCommand(entry, rest, {
      ...around,
      settings,
      ...(values.registries === undefined ? undefined : { registriesFile: values.registries }),
      ...(values.config === undefined ? undefined : { dockerDirectory: values.config }),
    });
  } catch (error) {
    around.complain(printFailure(misplaced(error, name)));
    return failureStatus(name, error);
  }
}

/** A flag of `tare` itself that stands behind the command. */
function misplaced(error: unknown, command: string): unknown {
  if (command === "" || !(error instanceof UnknownFlag)) return error;
  const { flag } = error;
  const isOurs = Object.values(GLOBAL_FLAGS).some(({ name }) => `--${name}` === flag);
  return isOurs
    ? new UnknownFlag(flag, undefined, `It stands before the command: tare ${flag} ... ${command}`)
    : error;
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
  if (words.length === 0) around.print(overview(COMMANDS, GLOBAL_FLAGS));
  else if (group.length > 0) around.print(groupHelp(words[0] ?? "", group));
  else {
    const { entry } = await wantCommand(words);
    around.print(commandHelp(await entry.load()));
  }
  return 0;
}

async function wantCommand(words: readonly string[]): Promise<{
  readonly entry: CommandEntry;
  readonly rest: readonly string[];
}> {
  const found = findCommand(words);
  if (found !== undefined) return found;
  const { noCommand } = await import("./not-yet.ts");
  const names = COMMANDS.flatMap(({ name, aliases = [] }) => [name, ...aliases]);
  throw noCommand(words, names);
}
