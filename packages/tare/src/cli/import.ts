/** `tare import`: an image from the tarball of a root file system. */
import { openEngine } from "@tare/engine/engine.ts";
import { importImage } from "@tare/engine/image/import.ts";
import { parseReference } from "@tare/spec/reference.ts";
import type { Command, Surroundings } from "./command.ts";
import { PLATFORM_FLAG } from "./platform-flag.ts";
import { readLine, wantWords } from "./read-line.ts";
import { parseText } from "./values.ts";

const FLAGS = {
  change: {
    name: "change",
    short: "c",
    arg: "INSTRUCTION",
    help: "Apply an instruction of a Dockerfile, as 'CMD [\"/bin/sh\"]'; may come several times",
    repeat: true,
    parse: parseText,
  },
  message: {
    name: "message",
    short: "m",
    arg: "TEXT",
    help: "What the history says of it",
    parse: parseText,
  },
  platform: { ...PLATFORM_FLAG, help: "What the programs in it run on (default this machine)" },
} as const;

export const IMPORT = {
  summary: {
    name: "import",
    usage: "FILE|- [NAME]",
    help: "Make an image from the tarball of a root file system",
  },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runImport,
} satisfies Command;

async function runImport(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(IMPORT, words, around);
  if (line === undefined) return 0;
  const limits = { least: 1, most: 2 };
  const [file = "", name] = wantWords("import", line.positionals, limits, "FILE|- [NAME]");
  const { change, message, platform } = line.values;
  const options = {
    name: name === undefined ? undefined : parseReference(name),
    changes: change,
    message,
    platform,
    created: new Date().toISOString(),
  };
  const source = file === "-" ? "stdin" : { path: file };
  around.print(`${await importImage(openEngine(around.settings), source, options)}\n`);
  return 0;
}
