/** `tare import`: an image from the tarball of a root file system. */
import { openEngine } from "@tare/engine/engine.ts";
import { importImage } from "@tare/engine/image/import.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import { interruptible } from "./interrupt.ts";
import { MADE_IMAGE_FLAGS } from "./made-image-flags.ts";
import { PLATFORM_FLAG } from "./platform-flag.ts";
import { readLine, wantWords } from "./read-line.ts";
import { newName } from "./short-names.ts";

const FLAGS = {
  ...MADE_IMAGE_FLAGS,
  platform: { ...PLATFORM_FLAG, help: "What the programs in it run on (default this machine)" },
} as const;

export const IMPORT = {
  summary: {
    name: "import",
    usage: "FILE|URL|- [NAME]",
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
  const [file = "", name] = wantWords("import", line.positionals, limits, "FILE|URL|- [NAME]");
  const { change, message, platform } = line.values;
  const options = {
    name: name === undefined ? undefined : await newName(around, name),
    changes: change,
    message,
    platform,
    created: new Date().toISOString(),
  };
  return await interruptible(around, async (signal) => {
    const source = await sourceOf(file, around);
    const id = await importImage(openEngine(around.settings), source, { ...options, signal });
    around.print(`${id}\n`);
    return 0;
  });
}

/** An address of the web, standard input, or a file. */
async function sourceOf(
  word: string,
  around: Surroundings,
): Promise<Parameters<typeof importImage>[1]> {
  if (word === "-") return "stdin";
  const isWeb = /^https?:\/\//i.test(word);
  if (!isWeb) return { path: word };
  if (!URL.canParse(word)) throw new TareError("bad_input", `Cannot fetch "${word}": no address`);
  const url = new URL(word);
  if (url.username !== "" || url.password !== "") {
    throw new TareError("bad_input", "Cannot fetch an address with a password in it");
  }
  const { openRegistries } = await import("./registries.ts");
  around.complain(`Downloading from ${url.origin}${url.pathname}\n`);
  return { url, client: openRegistries(around) };
}
