/** `tare pull`: images out of a registry, with Docker's words. */
import type { Engine } from "@tare/engine/engine.ts";
import { shortDigest } from "@tare/engine/image/digest.ts";
import {
  type LayerState,
  type PullEvent,
  type PulledImage,
  pullImage,
} from "@tare/engine/image/pull.ts";
import type { RegistryClient } from "@tare/engine/registry/client.ts";
import { listTags } from "@tare/engine/registry/tags.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Descriptor } from "@tare/spec/oci-image.ts";
import type { Platform } from "@tare/spec/platform.ts";
import {
  formatFamiliar,
  formatReference,
  parseNamed,
  type Reference,
  repositoryName,
} from "@tare/spec/reference.ts";
import type { Progress } from "../progress/progress.ts";
import type { Command, Surroundings } from "./command.ts";
import { interruptible } from "./interrupt.ts";
import { PLATFORM_FLAG } from "./platform-flag.ts";
import { readLine } from "./read-line.ts";
import { completeName } from "./registries.ts";
import { openTransfer, TRANSFER_FLAGS } from "./transfer.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  allTags: { name: "all-tags", short: "a", help: "Pull every tag", parse: parseSwitch },
  platform: PLATFORM_FLAG,
  ...TRANSFER_FLAGS,
} as const;

export const PULL = {
  summary: { name: "pull", usage: "NAME[:TAG|@DIGEST]", help: "Bring in an image from a registry" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runPull,
} satisfies Command;

async function runPull(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(PULL, words, around);
  if (line === undefined) return 0;
  const { allTags = false, platform, quiet = false } = line.values;
  const transfer = await openTransfer("pull", line.positionals, line.values, around);
  const { word, engine, client, progress } = transfer;
  const order: PullOrder = { engine, client, progress, platform };
  return await interruptible(around, async (signal) => {
    const references = allTags
      ? await everyTag(client, word, signal)
      : [oneTag(client, word, progress)];
    for (const reference of references) {
      await pullShown(order, reference, signal);
      if (quiet) around.print(`${formatReference(reference)}\n`);
    }
    const [first] = references;
    if (first !== undefined)
      progress.line(allTags ? repositoryName(first) : formatReference(first));
    return 0;
  });
}

function oneTag(client: RegistryClient, word: string, progress: Progress): Reference {
  const reference = completeName(client, word);
  const { tag, digest } = parseNamed(word);
  if (tag === undefined && digest === undefined) progress.line("Using default tag: latest");
  return reference;
}

async function everyTag(
  client: RegistryClient,
  word: string,
  signal: AbortSignal,
): Promise<Reference[]> {
  const given = parseNamed(word);
  if (given.tag !== undefined || given.digest !== undefined) {
    throw new TareError("bad_input", `Cannot pull all tags of "${word}": it names one`);
  }
  const { domain, path } = completeName(client, word);
  const tags = await listTags(client, { domain, path }, signal);
  return tags.map((tag) => ({ domain, path, tag }));
}

export type PullOrder = {
  readonly engine: Engine;
  readonly client: RegistryClient;
  readonly progress: Progress;
  readonly platform: Platform | undefined;
};

/** Pulls one image and shows it. */
export async function pullShown(
  { engine, client, progress, platform }: PullOrder,
  reference: Reference,
  signal: AbortSignal,
): Promise<PulledImage> {
  progress.line(`${reference.digest ?? reference.tag}: Pulling from ${reference.path}`);
  try {
    const pulled = await pullImage(engine, client, reference, {
      platform,
      signal,
      onEvent: showEvents(progress),
    });
    progress.end();
    const name = formatFamiliar(reference);
    const status = pulled.isNew ? "Downloaded newer image for" : "Image is up to date for";
    progress.line(`Digest: ${pulled.digest}`);
    progress.line(`Status: ${status} ${name}`);
    return pulled;
  } catch (error) {
    progress.end();
    throw error;
  }
}

const WORDS: Readonly<Record<LayerState, string>> = {
  exists: "Already exists",
  waiting: "Pulling fs layer",
  downloading: "Downloading",
  downloaded: "Download complete",
  unpacking: "Extracting",
  done: "Pull complete",
};

function showEvents(progress: Progress): (event: PullEvent) => void {
  let layers: readonly Descriptor[] = [];
  const idOf = (index: number) =>
    shortDigest(layers[index]?.digest ?? ("" as Descriptor["digest"]));
  return (event) => {
    switch (event.kind) {
      case "layers":
        ({ layers } = event);
        break;
      case "layer":
        progress.part({ id: idOf(event.index), status: WORDS[event.state] });
        break;
      case "progress": {
        const total = layers[event.index]?.size ?? 0;
        progress.part({
          id: idOf(event.index),
          status: "Downloading",
          current: event.bytes,
          total,
        });
        break;
      }
      case "mirror-failed":
        progress.line(`Mirror ${event.mirror} cannot help: ${event.why}`);
        break;
    }
  };
}
