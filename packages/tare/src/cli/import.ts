/** `tare import`: an image from the tarball of a root file system. */
import { openEngine } from "@tare/engine/engine.ts";
import { importImage } from "@tare/engine/image/import.ts";
import { TareError } from "@tare/spec/error.ts";
import { parseReference } from "@tare/spec/reference.ts";
import type { Command, Surroundings } from "./command.ts";
import { BadValue } from "./flag.ts";
import { readLine } from "./read-line.ts";

const FLAGS = {
  change: {
    name: "change",
    short: "c",
    arg: "INSTRUCTION",
    help: "Default command of the image, as 'CMD [\"/bin/sh\"]'",
    parse: parseCommand,
  },
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
  const [file, name, more] = line.positionals;
  if (file === undefined || more !== undefined) {
    throw new TareError("bad_input", "Cannot import: want one tarball and perhaps a name", {
      hint: "tare import FILE|- [NAME]",
    });
  }
  const options = {
    name: name === undefined ? undefined : parseReference(name),
    command: line.values.change ?? [],
    created: new Date().toISOString(),
  };
  const source = file === "-" ? "stdin" : { path: file };
  around.print(`${await importImage(openEngine(around.settings), source, options)}\n`);
  return 0;
}

/** `CMD ["a", "b"]`, or `CMD a b` for a shell. */
function parseCommand(text: string): readonly string[] {
  const rest = text.trim();
  if (!rest.toUpperCase().startsWith("CMD ")) throw new BadValue("want CMD and a command");
  const words = rest.slice("CMD ".length).trim();
  if (!words.startsWith("[")) return ["/bin/sh", "-c", words];
  const list = parseList(words);
  if (Array.isArray(list) && list.every((word) => typeof word === "string")) return list;
  throw new BadValue("want a JSON array of strings");
}

function parseList(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
