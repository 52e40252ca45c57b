/** `tare image tree`: the layers of an image, and which images end with each. */
import { openEngine } from "@tare/engine/engine.ts";
import { shortDigest } from "@tare/engine/image/digest.ts";
import { imageTree, inspectImage } from "@tare/engine/image/inspect.ts";
import type { Command, Surroundings } from "./command.ts";
import { readLine, wantWords } from "./read-line.ts";
import { humanSize } from "./table.ts";

export const IMAGE_TREE = {
  summary: {
    name: "image tree",
    usage: "IMAGE",
    help: "Show the layers of an image, and which images end with each",
  },
  flags: {},
  interspersed: true,
  needsRoot: true,
  run: runTree,
} satisfies Command;

async function runTree(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(IMAGE_TREE, words, around);
  if (line === undefined) return 0;
  const limits = { least: 1, most: 1 };
  const [word = ""] = wantWords("image tree", line.positionals, limits, "IMAGE");
  const { store } = openEngine(around.settings);
  const { Id, RepoTags, Size } = inspectImage(store, word);
  around.print(`Image ID: ${Id}\nTags:     [${(RepoTags as string[]).join(" ")}]\n`);
  around.print(`Size:     ${humanSize(Number(Size))}\nImage Layers\n`);
  const layers = imageTree(store, word);
  for (const [index, { chainId, size, topOf }] of layers.entries()) {
    const branch = index === layers.length - 1 ? "└──" : "├──";
    const top = topOf.length === 0 ? "" : ` Top Layer of: [${topOf.join(" ")}]`;
    around.print(`${branch} ID: ${shortDigest(chainId)} Size: ${humanSize(size)}${top}\n`);
  }
  return 0;
}
