/** `tare diff`: what a container has added (A), changed (C) and deleted (D) in its root file system. */
import { findContainer } from "@tare/engine/container/find.ts";
import { containerChanges } from "@tare/engine/container/tree.ts";
import { openEngine } from "@tare/engine/engine.ts";
import type { Command, Surroundings } from "./command.ts";
import { oneLine } from "./failure.ts";
import { readLine, wantWords } from "./read-line.ts";

export const DIFF = {
  summary: {
    name: "diff",
    usage: "CONTAINER",
    help: "List the files that a container has added (A), changed (C) and deleted (D)",
  },
  flags: {},
  interspersed: true,
  needsRoot: true,
  run: runDiff,
} satisfies Command;

async function runDiff(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(DIFF, words, around);
  if (line === undefined) return 0;
  const [word = ""] = wantWords("diff", line.positionals, { least: 1, most: 1 }, "CONTAINER");
  const engine = openEngine(around.settings);
  const changes = await containerChanges(engine, findContainer(engine, word));
  const decoder = new TextDecoder();
  // Names are the container's: a line feed in one must not begin a line of its own.
  const lines = changes.map(({ kind, path }) => `${kind} ${oneLine(decoder.decode(path))}\n`);
  around.print(lines.join(""));
  return 0;
}
