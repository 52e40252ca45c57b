/** `tare rm`: removes containers that were kept, or that run. */
import { removeContainer } from "@tare/engine/container/remove.ts";
import { openEngine } from "@tare/engine/engine.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import { EXIT_FAILURE, printFailure } from "./failure.ts";
import { endLeftovers } from "./leftovers.ts";
import { readLine } from "./read-line.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  force: { name: "force", short: "f", help: "End those that run, by SIGKILL", parse: parseSwitch },
  volumes: {
    name: "volumes",
    short: "v",
    help: "Remove volumes without a name of their own, too",
    parse: parseSwitch,
  },
} as const;

export const RM = {
  summary: {
    name: "rm",
    usage: "CONTAINER [CONTAINER...]",
    help: "Remove containers",
  },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runRm,
} satisfies Command;

async function runRm(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(RM, words, around);
  if (line === undefined) return 0;
  if (line.positionals.length === 0) {
    throw new TareError("bad_input", "Cannot remove: no container is given");
  }
  const engine = openEngine(around.settings);
  await endLeftovers(engine, around);
  const { force = false, volumes = false } = line.values;
  let status = 0;
  for (const word of line.positionals) {
    try {
      await removeContainer(engine, word, { force, volumes });
      around.print(`${word}\n`);
    } catch (error) {
      around.complain(printFailure(error));
      status = EXIT_FAILURE;
    }
  }
  return status;
}
