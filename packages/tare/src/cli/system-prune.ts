/** `tare system prune`: ended containers, images without a tag, with flags also more. */
import { pruneContainers } from "@tare/engine/container/prune.ts";
import { openEngine } from "@tare/engine/engine.ts";
import { pruneImages } from "@tare/engine/image/prune.ts";
import { pruneVolumes } from "@tare/engine/volume/records.ts";
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
    help: "All images without a container, not only those without a tag",
    parse: parseSwitch,
  },
  filter: FILTER_FLAG,
  force: FORCE_FLAG,
  volumes: { name: "volumes", help: "Nameless volumes that nobody uses, too", parse: parseSwitch },
} as const;

export const SYSTEM_PRUNE = {
  summary: { name: "system prune", usage: "", help: "Remove what is not used" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runSystemPrune,
} satisfies Command;

async function runSystemPrune(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(SYSTEM_PRUNE, words, around);
  if (line === undefined) return 0;
  refuseWords("prune", line.positionals);
  const { all = false, force = false, volumes = false, filter } = line.values;
  const chosen = toFilter(filter, Date.now());
  const what = [
    "ended containers",
    all ? "images without a container" : "images without a tag",
    ...(volumes ? ["anonymous volumes that no container uses"] : []),
  ];
  if (!force && !confirm(around, `This will remove all ${what.join(", ")}.`)) return 0;
  const engine = openEngine(around.settings);
  await endLeftovers(engine, around);
  const containers = pruneContainers(engine, chosen);
  const gone = volumes ? pruneVolumes(engine.store, false, chosen) : { names: [], bytes: 0 };
  const images = pruneImages(engine.store, all, chosen);
  const list = (title: string, names: readonly string[]) =>
    names.length === 0 ? "" : `Deleted ${title}:\n${names.join("\n")}\n\n`;
  const untagged = images.untagged.map((name) => `untagged: ${name}`);
  const deleted = images.deleted.map((id) => `deleted: ${id}`);
  around.print(list("Containers", containers.ids));
  around.print(list("Volumes", gone.names));
  around.print(list("Images", [...untagged, ...deleted]));
  const bytes = containers.bytes + gone.bytes + images.bytes;
  around.print(`Total reclaimed space: ${humanSize(bytes)}\n`);
  return 0;
}
