/** `tare commit`: an image of a container with what it has changed. */
import { commitContainer } from "@tare/engine/container/commit.ts";
import { findContainer } from "@tare/engine/container/find.ts";
import { openEngine } from "@tare/engine/engine.ts";
import type { Command, Surroundings } from "./command.ts";
import { interruptible } from "./interrupt.ts";
import { MADE_IMAGE_FLAGS } from "./made-image-flags.ts";
import { readLine, wantWords } from "./read-line.ts";
import { newName } from "./short-names.ts";
import { parseSwitch, parseText } from "./values.ts";

const FLAGS = {
  author: {
    name: "author",
    short: "a",
    arg: "NAME",
    help: "Who made it, as 'Ada <ada@example.org>'",
    parse: parseText,
  },
  ...MADE_IMAGE_FLAGS,
  pause: {
    name: "pause",
    short: "p",
    help: "Hold a running container still meanwhile (default true)",
    parse: parseSwitch,
  },
} as const;

export const COMMIT = {
  summary: {
    name: "commit",
    usage: "CONTAINER [NAME[:TAG]]",
    help: "Make an image of a container with what it has changed",
  },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runCommit,
} satisfies Command;

async function runCommit(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(COMMIT, words, around);
  if (line === undefined) return 0;
  const limits = { least: 1, most: 2 };
  const [word = "", name] = wantWords("commit", line.positionals, limits, "CONTAINER [NAME]");
  const { author, change, message, pause = true } = line.values;
  const engine = openEngine(around.settings);
  const container = findContainer(engine, word);
  const names = name === undefined ? [] : [await newName(around, name)];
  const created = new Date().toISOString();
  const options = { names, author, message, changes: change, pause, created };
  // Whoever interrupts us must not leave the container paused for good.
  return await interruptible(around, async (signal) => {
    around.print(`${await commitContainer(engine, container, { ...options, signal })}\n`);
    return 0;
  });
}
