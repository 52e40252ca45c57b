/** `tare push`: images to a registry, with Docker's words. */
import type { Engine } from "@tare/engine/engine.ts";
import { shortDigest } from "@tare/engine/image/digest.ts";
import { listImages } from "@tare/engine/image/list.ts";
import { type PushEvent, pushImage } from "@tare/engine/image/push.ts";
import { TareError } from "@tare/spec/error.ts";
import {
  formatReference,
  parseNamed,
  type Reference,
  repositoryName,
} from "@tare/spec/reference.ts";
import type { PartState, Progress } from "../progress/progress.ts";
import type { Command, Surroundings } from "./command.ts";
import { interruptible } from "./interrupt.ts";
import { readLine } from "./read-line.ts";
import { completeName } from "./registries.ts";
import { openTransfer, TRANSFER_FLAGS } from "./transfer.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  allTags: {
    name: "all-tags",
    short: "a",
    help: "Push every tag of the repository",
    parse: parseSwitch,
  },
  ...TRANSFER_FLAGS,
} as const;

export const PUSH = {
  summary: { name: "push", usage: "NAME[:TAG]", help: "Send an image to a registry" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runPush,
} satisfies Command;

async function runPush(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(PUSH, words, around);
  if (line === undefined) return 0;
  const { allTags = false, quiet = false } = line.values;
  const transfer = await openTransfer("push", line.positionals, line.values, around);
  const { word, engine, client, progress } = transfer;
  return await interruptible(around, async (signal) => {
    const reference = completeName(client, word);
    checkWord(word, allTags);
    progress.line(`The push refers to repository [${repositoryName(reference)}]`);
    if (!allTags && parseNamed(word).tag === undefined) progress.line("Using default tag: latest");
    for (const each of allTags ? tagsHere(engine, reference) : [reference]) {
      try {
        const onEvent = showPush(progress);
        const { digest, size } = await pushImage(engine, client, each, { signal, onEvent });
        progress.end();
        progress.line(`${each.tag}: digest: ${digest} size: ${size}`);
        if (quiet) around.print(`${formatReference(each)}\n`);
      } catch (error) {
        progress.end();
        throw error;
      }
    }
    return 0;
  });
}

function checkWord(word: string, allTags: boolean): void {
  const { tag, digest } = parseNamed(word);
  if (digest !== undefined) {
    throw new TareError(
      "bad_input",
      `Cannot push "${word}": a digest cannot be given to something`,
    );
  }
  if (allTags && tag !== undefined) {
    throw new TareError("bad_input", `Cannot push all tags of "${word}": it names one`);
  }
}

/** The tags that the store has of a repository. */
function tagsHere(engine: Engine, reference: Reference): Reference[] {
  const { domain, path } = reference;
  const found = listImages(engine.store, repositoryName(reference)).flatMap(({ tag }) =>
    tag === undefined ? [] : [{ domain, path, tag }],
  );
  if (found.length > 0) return found;
  throw new TareError(
    "not_found",
    `Cannot push "${repositoryName(reference)}": the store has no tag of it`,
  );
}

/** Shows what a push tells of its layers. */
export function showPush(progress: Progress): (event: PushEvent) => void {
  return (event) => {
    if (event.kind === "layers") return;
    const id = shortDigest(event.id);
    if (event.kind === "progress") {
      progress.part({ id, status: "Pushing", current: event.bytes, total: event.total });
    } else {
      progress.part({ id, status: wordsOf(event.state) });
    }
  };
}

function wordsOf(state: Extract<PushEvent, { kind: "layer" }>["state"]): PartState["status"] {
  if (state === "preparing") return "Preparing";
  switch (state.kind) {
    case "there":
      return "Layer already exists";
    case "mounted":
      return `Mounted from ${state.from}`;
    case "sent":
      return "Pushed";
  }
}
