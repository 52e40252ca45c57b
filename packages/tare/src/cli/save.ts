/** `tare save`: images as an archive for others. */
import { openEngine } from "@tare/engine/engine.ts";
import { saveImages } from "@tare/engine/image/save.ts";
import type { SaveFormat } from "@tare/engine/image/save-plan.ts";
import type { Command, Surroundings } from "./command.ts";
import { BadValue } from "./flag.ts";
import { OUTPUT_FLAG, writeOutput } from "./output-file.ts";
import { PLATFORM_FLAG } from "./platform-flag.ts";
import { readLine, wantWords } from "./read-line.ts";
import { storedNames } from "./short-names.ts";

const FLAGS = {
  format: {
    name: "format",
    arg: "docker|oci|both",
    help: "Layout of the archive (default both: an OCI layout that docker load reads, too)",
    parse: parseFormat,
  },
  output: OUTPUT_FLAG,
  platform: { ...PLATFORM_FLAG, help: "Of an image for several platforms, save this one" },
} as const;

export const SAVE = {
  summary: {
    name: "save",
    usage: "IMAGE [IMAGE...]",
    help: "Write images as one archive, for tare load, docker, podman, skopeo, umoci",
  },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runSave,
} satisfies Command;

async function runSave(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(SAVE, words, around);
  if (line === undefined) return 0;
  const limits = { least: 1, most: 1000 };
  const names = wantWords("save", line.positionals, limits, "IMAGE [IMAGE...]");
  const { format = "both", platform, output } = line.values;
  const engine = openEngine(around.settings);
  const options = { format, platform };
  const complete = await storedNames(around, engine.store, names);
  await writeOutput(output, around, (fd) => saveImages(engine, complete, options, fd));
  return 0;
}

/** podman's names of the two are taken, too. */
function parseFormat(text: string): SaveFormat {
  if (text === "both") return text;
  if (text === "docker" || text === "docker-archive") return "docker";
  if (text === "oci" || text === "oci-archive") return "oci";
  throw new BadValue("want docker, oci or both");
}
