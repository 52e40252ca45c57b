/** `tare image tree`: the layers of an image, and which images end with each. */
import { openEngine } from "@tare/engine/engine.ts";
import { shortDigest } from "@tare/engine/image/digest.ts";
import { imageTree, inspectImage } from "@tare/engine/image/inspect.ts";
import type { Store } from "@tare/engine/store/store.ts";
import type { Command, Surroundings } from "./command.ts";
import { readLine, wantWords } from "./read-line.ts";
import { storedNames } from "./short-names.ts";
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
  const [name = ""] = await storedNames(around, store, [word]);
  around.print(printTree(store, name));
  return 0;
}

/**
 * The image of a name or id, and a line for each of its layers.
 * @throws TareError `not_found`
 */
export function printTree(store: Store, word: string): string {
  const { Id, RepoTags, Size } = inspectImage(store, word);
  const head = [
    `Image ID: ${Id}`,
    `Tags:     [${(RepoTags as string[]).join(" ")}]`,
    `Size:     ${humanSize(Number(Size))}`,
    "Image Layers",
  ];
  const layers = imageTree(store, word);
  const lines = layers.map(({ chainId, size, topOf }, index) => {
    const branch = index === layers.length - 1 ? "└──" : "├──";
    const top = topOf.length === 0 ? "" : ` Top Layer of: [${topOf.join(" ")}]`;
    return `${branch} ID: ${shortDigest(chainId)} Size: ${humanSize(size)}${top}`;
  });
  return [...head, ...lines].map((text) => `${text}\n`).join("");
}
