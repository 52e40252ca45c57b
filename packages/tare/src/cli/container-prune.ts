/** `tare container prune`: removes containers that have ended. */
import { pruneContainers } from "@tare/engine/container/prune.ts";
import { openEngine } from "@tare/engine/engine.ts";
import type { Command, Surroundings } from "./command.ts";
import { confirm } from "./confirm.ts";
import { FILTER_FLAG, FORCE_FLAG, toFilter } from "./filter-syntax.ts";
import { endLeftovers } from "./leftovers.ts";
import { readLine, refuseWords } from "./read-line.ts";
import { humanSize } from "./table.ts";

const FLAGS = { filter: FILTER_FLAG, force: FORCE_FLAG } as const;

export const CONTAINER_PRUNE = {
  summary: { name: "container prune", usage: "", help: "Remove containers that have ended" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runContainerPrune,
} satisfies Command;

async function runContainerPrune(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(CONTAINER_PRUNE, words, around);
  if (line === undefined) return 0;
  refuseWords("prune", line.positionals);
  const { force = false, filter } = line.values;
  const chosen = toFilter(filter, Date.now());
  if (!force && !confirm(around, "This will remove all ended containers.")) return 0;
  const engine = openEngine(around.settings);
  await endLeftovers(engine, around);
  const { ids, bytes } = pruneContainers(engine, chosen);
  if (ids.length > 0) around.print(`Deleted Containers:\n${ids.join("\n")}\n\n`);
  around.print(`Total reclaimed space: ${humanSize(bytes)}\n`);
  return 0;
}
