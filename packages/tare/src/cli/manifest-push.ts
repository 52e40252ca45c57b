/** `tare manifest push`: a manifest list with all of its members, to a registry. */
import { openEngine } from "@tare/engine/engine.ts";
import { removeList } from "@tare/engine/image/manifest-list.ts";
import { type PushEvent, pushList } from "@tare/engine/image/push.ts";
import { openProgress, PROGRESS_FLAG } from "../progress/open.ts";
import type { Command, Surroundings } from "./command.ts";
import { interruptible } from "./interrupt.ts";
import { showPush } from "./push.ts";
import { readLine, wantWords } from "./read-line.ts";
import { completeName, openRegistries } from "./registries.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  all: {
    name: "all",
    help: "Push the members too, which is always done",
    parse: parseSwitch,
  },
  progress: PROGRESS_FLAG,
  purge: {
    name: "purge",
    short: "p",
    alias: "rm",
    help: "Remove the list here once it is there",
    parse: parseSwitch,
  },
  quiet: { name: "quiet", short: "q", help: "Print only the list's digest", parse: parseSwitch },
} as const;

export const MANIFEST_PUSH = {
  summary: {
    name: "manifest push",
    usage: "LIST [NAME[:TAG]]",
    help: "Send a manifest list and its members to a registry",
  },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runPush,
} satisfies Command;

async function runPush(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(MANIFEST_PUSH, words, around);
  if (line === undefined) return 0;
  const limits = { least: 1, most: 2 };
  const { usage } = MANIFEST_PUSH.summary;
  const [word = "", other] = wantWords("manifest push", line.positionals, limits, usage);
  const { purge = false, quiet = false } = line.values;
  const client = openRegistries(around);
  const engine = openEngine(around.settings);
  const [name, to] = [word, other ?? word].map((each) => completeName(client, each));
  if (name === undefined || to === undefined) throw new RangeError("two words are two names");
  const progress = await openProgress(around, quiet ? "quiet" : line.values.progress, 2);
  return await interruptible(around, async (signal) => {
    const onEvent: (event: PushEvent) => void = showPush(progress);
    try {
      const { digest } = await pushList(engine, client, name, to, { signal, onEvent });
      progress.end();
      around.print(`${digest}\n`);
    } catch (error) {
      progress.end();
      throw error;
    }
    if (purge) removeList(engine.store, name);
    return 0;
  });
}
