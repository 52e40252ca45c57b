/** `tare image prune`: removes images without a tag, or all that no container uses. */
import { openEngine } from "@tare/engine/engine.ts";
import { pruneImages } from "@tare/engine/image/prune.ts";
import type { Command, Surroundings } from "./command.ts";
import { confirm } from "./confirm.ts";
import { FILTER_FLAG, FORCE_FLAG, toFilter } from "./filter-syntax.ts";
import { endLeftovers } from "./leftovers.ts";
import { readLine, refuseWords } from "./read-line.ts";
import { humanSize } from "./table.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  all: {
    name: "all",
    short: "a",
    help: "Also those with a name that no container uses",
    parse: parseSwitch,
  },
  filter: FILTER_FLAG,
  force: FORCE_FLAG,
} as const;

export const IMAGE_PRUNE = {
  summary: { name: "image prune", usage: "", help: "Remove images that are not used" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runImagePrune,
} satisfies Command;

async function runImagePrune(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(IMAGE_PRUNE, words, around);
  if (line === undefined) return 0;
  refuseWords("prune", line.positionals);
  const { all = false, force = false, filter } = line.values;
  const chosen = toFilter(filter, Date.now(), ["dangling"]);
  const dangling = filter.find(({ key }) => key === "dangling")?.value;
  const wide = all || dangling === "false" || dangling === "0";
  const what = wide ? "all images without a container" : "all images without a tag";
  if (!force && !confirm(around, `This will remove ${what}.`)) return 0;
  const engine = openEngine(around.settings);
  await endLeftovers(engine, around);
  const { untagged, deleted, bytes } = pruneImages(engine.store, wide, chosen);
  if (deleted.length > 0) around.print("Deleted Images:\n");
  for (const name of untagged) around.print(`untagged: ${name}\n`);
  for (const id of deleted) around.print(`deleted: ${id}\n`);
  around.print(`${deleted.length > 0 ? "\n" : ""}Total reclaimed space: ${humanSize(bytes)}\n`);
  return 0;
}
