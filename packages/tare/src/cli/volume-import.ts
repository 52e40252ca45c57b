/** `tare volume import`: the content of a tar archive into a volume that is there. */
import { openEngine } from "@tare/engine/engine.ts";
import { importVolume } from "@tare/engine/volume/transfer.ts";
import type { Command, Surroundings } from "./command.ts";
import { readLine, wantWords } from "./read-line.ts";

export const VOLUME_IMPORT = {
  summary: {
    name: "volume import",
    usage: "VOLUME [FILE|-]",
    help: "Bring the content of a tar archive, plain or compressed, into a volume",
  },
  flags: {},
  interspersed: true,
  needsRoot: true,
  run: runVolumeImport,
} satisfies Command;

async function runVolumeImport(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(VOLUME_IMPORT, words, around);
  if (line === undefined) return 0;
  const limits = { least: 1, most: 2 };
  const want = "VOLUME [FILE|-]";
  const [name = "", file = "-"] = wantWords("volume import", line.positionals, limits, want);
  const source = file === "-" ? "stdin" : { path: file };
  await importVolume(openEngine(around.settings), name, source);
  return 0;
}
