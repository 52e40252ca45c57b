/** `tare volume rm`. */
import { openEngine } from "@tare/engine/engine.ts";
import { removeVolume } from "@tare/engine/volume/records.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import { EXIT_FAILURE, printFailure } from "./failure.ts";
import { endLeftovers } from "./leftovers.ts";
import { readLine } from "./read-line.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  force: { name: "force", short: "f", help: "Mind no volume that is missing", parse: parseSwitch },
} as const;

export const VOLUME_RM = {
  summary: {
    name: "volume rm",
    usage: "VOLUME [VOLUME...]",
    help: "Remove volumes with their content",
  },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runVolumeRm,
} satisfies Command;

async function runVolumeRm(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(VOLUME_RM, words, around);
  if (line === undefined) return 0;
  if (line.positionals.length === 0) {
    throw new TareError("bad_input", "Cannot remove: no volume is given");
  }
  const engine = openEngine(around.settings);
  await endLeftovers(engine, around);
  let status = 0;
  for (const name of line.positionals) {
    try {
      removeVolume(engine.store, name, { force: line.values.force ?? false });
      around.print(`${name}\n`);
    } catch (error) {
      around.complain(printFailure(error));
      status = EXIT_FAILURE;
    }
  }
  return status;
}
