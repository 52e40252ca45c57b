/** `tare volume prune`: removes volumes that no container uses. */
import { openEngine } from "@tare/engine/engine.ts";
import { pruneVolumes } from "@tare/engine/volume/records.ts";
import type { Command, Surroundings } from "./command.ts";
import { confirm } from "./confirm.ts";
import { FILTER_FLAG, FORCE_FLAG, toFilter } from "./filter-syntax.ts";
import { endLeftovers } from "./leftovers.ts";
import { readLine, refuseWords } from "./read-line.ts";
import { humanSize } from "./table.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  all: { name: "all", short: "a", help: "Also those with a name of their own", parse: parseSwitch },
  filter: FILTER_FLAG,
  force: FORCE_FLAG,
} as const;

export const VOLUME_PRUNE = {
  summary: { name: "volume prune", usage: "", help: "Remove volumes that are not used" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runVolumePrune,
} satisfies Command;

async function runVolumePrune(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(VOLUME_PRUNE, words, around);
  if (line === undefined) return 0;
  refuseWords("prune", line.positionals);
  const { all = false, force = false, filter } = line.values;
  const chosen = toFilter(filter, Date.now(), ["all"]);
  const wide = all || filter.some(({ key, value }) => key === "all" && parseSwitch(value));
  const what = wide ? "all volumes" : "anonymous volumes";
  if (!force && !confirm(around, `This will remove ${what} that no container uses.`)) return 0;
  const engine = openEngine(around.settings);
  await endLeftovers(engine, around);
  const { names, bytes } = pruneVolumes(engine.store, wide, chosen);
  if (names.length > 0) around.print(`Deleted Volumes:\n${names.join("\n")}\n\n`);
  around.print(`Total reclaimed space: ${humanSize(bytes)}\n`);
  return 0;
}
