/** `tare load`: images out of an archive. */
import { openEngine } from "@tare/engine/engine.ts";
import { shortDigest } from "@tare/engine/image/digest.ts";
import { loadImages } from "@tare/engine/image/load.ts";
import { TareError } from "@tare/spec/error.ts";
import { formatFamiliar } from "@tare/spec/reference.ts";
import type { Command, Surroundings } from "./command.ts";
import { PLATFORM_FLAG } from "./platform-flag.ts";
import { readLine } from "./read-line.ts";
import { parseSwitch, parseText } from "./values.ts";

const FLAGS = {
  input: {
    name: "input",
    short: "i",
    arg: "ARCHIVE",
    help: "Archive to read, plain or compressed, or the directory of an OCI layout (default standard input)",
    parse: parseText,
  },
  platform: PLATFORM_FLAG,
  quiet: { name: "quiet", short: "q", help: "Print nothing", parse: parseSwitch },
} as const;

export const LOAD = {
  summary: {
    name: "load",
    usage: "",
    help: "Bring in images from an archive: of docker save, or an OCI layout",
  },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runLoad,
} satisfies Command;

async function runLoad(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(LOAD, words, around);
  if (line === undefined) return 0;
  if (line.positionals.length > 0) {
    throw new TareError("bad_input", `Cannot load "${line.positionals[0]}": want -i ARCHIVE`);
  }
  const { input, quiet = false } = line.values;
  if (input === undefined && (await around.isTerminal(0))) {
    throw new TareError("bad_input", "Cannot load: standard input is a terminal", {
      hint: "tare load -i ARCHIVE",
    });
  }
  const source = input === undefined ? "stdin" : { path: input };
  const images = await loadImages(openEngine(around.settings), source, line.values.platform);
  if (quiet) return 0;
  for (const { id, names } of images) {
    if (names.length === 0) around.print(`Loaded image ID: ${shortDigest(id)}\n`);
    for (const name of names) around.print(`Loaded image: ${formatFamiliar(name)}\n`);
  }
  return 0;
}
