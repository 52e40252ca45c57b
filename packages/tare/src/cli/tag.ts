/** `tare tag`: another name for an image. */
import { openEngine } from "@tare/engine/engine.ts";
import { tagImage } from "@tare/engine/image/tag.ts";
import { parseReference } from "@tare/spec/reference.ts";
import type { Command, Surroundings } from "./command.ts";
import { readLine, wantWords } from "./read-line.ts";
import { openShortNames, storedName } from "./short-names.ts";

export const TAG = {
  summary: { name: "tag", usage: "IMAGE NAME[:TAG]", help: "Give an image another name" },
  flags: {},
  interspersed: true,
  needsRoot: true,
  run: runTag,
} satisfies Command;

async function runTag(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(TAG, words, around);
  if (line === undefined) return 0;
  const limits = { least: 2, most: 2 };
  const [word = "", name = ""] = wantWords("tag", line.positionals, limits, "IMAGE NAME[:TAG]");
  const { store } = openEngine(around.settings);
  const expand = await openShortNames(around);
  tagImage(store, storedName(store, expand, word), parseReference(expand(name)));
  return 0;
}
