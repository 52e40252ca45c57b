/** `tare rmi`: removes names of images, and images. */
import { openEngine } from "@tare/engine/engine.ts";
import { removeImage } from "@tare/engine/image/remove.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import { EXIT_FAILURE, printFailure } from "./failure.ts";
import { endLeftovers } from "./leftovers.ts";
import { readLine } from "./read-line.ts";
import { openShortNames, storedName } from "./short-names.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  force: {
    name: "force",
    short: "f",
    help: "Remove an image with all its names, and a name from under a container",
    parse: parseSwitch,
  },
  noPrune: {
    name: "no-prune",
    help: "Keep nameless images that a removed one was made of",
    parse: parseSwitch,
  },
} as const;

export const RMI = {
  summary: { name: "rmi", usage: "IMAGE [IMAGE...]", help: "Remove images" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runRmi,
} satisfies Command;

async function runRmi(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(RMI, words, around);
  if (line === undefined) return 0;
  if (line.positionals.length === 0) {
    throw new TareError("bad_input", "Cannot remove: no image is given");
  }
  const engine = openEngine(around.settings);
  await endLeftovers(engine, around);
  const expand = await openShortNames(around);
  let status = 0;
  for (const positional of line.positionals) {
    const word = storedName(engine.store, expand, positional);
    try {
      const { force = false, noPrune = false } = line.values;
      const { untagged, deleted } = removeImage(engine.store, word, {
        force,
        keepParents: noPrune,
      });
      for (const name of untagged) around.print(`Untagged: ${name}\n`);
      for (const id of deleted) around.print(`Deleted: ${id}\n`);
    } catch (error) {
      around.complain(printFailure(error));
      status = EXIT_FAILURE;
    }
  }
  return status;
}
