/** `tare export`: the root file system of a container as a tar archive. */
import { findContainer } from "@tare/engine/container/find.ts";
import { exportContainer } from "@tare/engine/container/tree.ts";
import { openEngine } from "@tare/engine/engine.ts";
import type { Command, Surroundings } from "./command.ts";
import { OUTPUT_FLAG, writeOutput } from "./output-file.ts";
import { readLine, wantWords } from "./read-line.ts";

const FLAGS = {
  output: OUTPUT_FLAG,
} as const;

export const EXPORT = {
  summary: {
    name: "export",
    usage: "CONTAINER",
    help: "Write the root file system of a container as a tar archive",
  },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runExport,
} satisfies Command;

async function runExport(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(EXPORT, words, around);
  if (line === undefined) return 0;
  const [word = ""] = wantWords("export", line.positionals, { least: 1, most: 1 }, "CONTAINER");
  const engine = openEngine(around.settings);
  const container = findContainer(engine, word);
  await writeOutput(line.values.output, around, (fd) => exportContainer(engine, container, fd));
  return 0;
}
