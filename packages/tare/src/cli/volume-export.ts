/** `tare volume export`: the content of a volume as a tar archive. */
import { openEngine } from "@tare/engine/engine.ts";
import { exportVolume } from "@tare/engine/volume/transfer.ts";
import type { Command, Surroundings } from "./command.ts";
import { OUTPUT_FLAG, writeOutput } from "./output-file.ts";
import { readLine, wantWords } from "./read-line.ts";

const FLAGS = {
  output: OUTPUT_FLAG,
} as const;

export const VOLUME_EXPORT = {
  summary: {
    name: "volume export",
    usage: "VOLUME",
    help: "Write the content of a volume as a tar archive",
  },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runVolumeExport,
} satisfies Command;

async function runVolumeExport(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(VOLUME_EXPORT, words, around);
  if (line === undefined) return 0;
  const limits = { least: 1, most: 1 };
  const [name = ""] = wantWords("volume export", line.positionals, limits, "VOLUME");
  const engine = openEngine(around.settings);
  await writeOutput(line.values.output, around, (fd) => exportVolume(engine, name, fd));
  return 0;
}
