/** `tare inspect`: what is known of containers, images and volumes, whichever a word names. */
import { inspectContainer } from "@tare/engine/container/inspect.ts";
import { type Engine, openEngine } from "@tare/engine/engine.ts";
import { inspectImage } from "@tare/engine/image/inspect.ts";
import type { Store } from "@tare/engine/store/store.ts";
import { findVolume, noVolume, type Volume, volumeRoom } from "@tare/engine/volume/records.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import { EXIT_FAILURE, printFailure } from "./failure.ts";
import { BadValue } from "./flag.ts";
import { inspectFormatFlag, printInspected, type Row } from "./format.ts";
import { readLine, wantWords } from "./read-line.ts";
import { type Expand, openShortNames, storedName } from "./short-names.ts";
import { parseSwitch } from "./values.ts";

type Kind = "container" | "image" | "volume";

const SIZE_FLAG = {
  name: "size",
  short: "s",
  help: "Count what a container has written",
  parse: parseSwitch,
} as const;

const FLAGS = {
  format: inspectFormatFlag("{{.Id}}"),
  size: SIZE_FLAG,
  type: {
    name: "type",
    arg: "container|image|volume",
    help: "Look only for one of these",
    parse: parseKind,
  },
} as const;

export const INSPECT = {
  summary: {
    name: "inspect",
    usage: "NAME [NAME...]",
    help: "Show all that is known of containers, images and volumes",
  },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runInspect,
} satisfies Command;

export const CONTAINER_INSPECT = {
  summary: {
    name: "container inspect",
    usage: "CONTAINER [CONTAINER...]",
    help: "Show all that is known of containers",
  },
  flags: { format: FLAGS.format, size: SIZE_FLAG },
  interspersed: true,
  needsRoot: true,
  run: runContainerInspect,
} satisfies Command;

export const IMAGE_INSPECT = {
  summary: {
    name: "image inspect",
    usage: "IMAGE [IMAGE...]",
    help: "Show all that is known of images",
  },
  flags: { format: FLAGS.format },
  interspersed: true,
  needsRoot: true,
  run: runImageInspect,
} satisfies Command;

export const VOLUME_INSPECT = {
  summary: {
    name: "volume inspect",
    usage: "VOLUME [VOLUME...]",
    help: "Show all that is known of volumes",
  },
  flags: { format: inspectFormatFlag("{{.Mountpoint}}") },
  interspersed: true,
  needsRoot: true,
  run: runVolumeInspect,
} satisfies Command;

async function runInspect(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(INSPECT, words, around);
  if (line === undefined) return 0;
  const { type, ...values } = line.values;
  return await inspectAll(INSPECT, line.positionals, { kind: type, ...values }, around);
}

async function runContainerInspect(
  words: readonly string[],
  around: Surroundings,
): Promise<number> {
  const line = readLine(CONTAINER_INSPECT, words, around);
  if (line === undefined) return 0;
  const values = { kind: "container", ...line.values } as const;
  return await inspectAll(CONTAINER_INSPECT, line.positionals, values, around);
}

async function runImageInspect(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(IMAGE_INSPECT, words, around);
  if (line === undefined) return 0;
  const values = { kind: "image", ...line.values } as const;
  return await inspectAll(IMAGE_INSPECT, line.positionals, values, around);
}

async function runVolumeInspect(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(VOLUME_INSPECT, words, around);
  if (line === undefined) return 0;
  const values = { kind: "volume", ...line.values } as const;
  return await inspectAll(VOLUME_INSPECT, line.positionals, values, around);
}

type Wish = {
  readonly kind?: Kind | undefined;
  readonly format?: string | undefined;
  readonly size?: boolean | undefined;
};

/** Those that are there are printed, whatever is not. */
async function inspectAll(
  { summary }: Command,
  positionals: readonly string[],
  { kind, format, size = false }: Wish,
  around: Surroundings,
): Promise<number> {
  const limits = { least: 1, most: 10_000 };
  const names = wantWords(summary.name, positionals, limits, summary.usage);
  const engine = openEngine(around.settings);
  const find = kind === undefined ? findAny : FINDERS[kind];
  const expand = await openShortNames(around);
  const found: Row[] = [];
  let status = 0;
  for (const name of names) {
    try {
      found.push(find(engine, name, { size, expand }));
    } catch (error) {
      around.complain(printFailure(error));
      status = EXIT_FAILURE;
    }
  }
  around.print(await printInspected(format, found));
  return status;
}

type FindOptions = { readonly size: boolean; readonly expand: Expand };

type Finder = (engine: Engine, word: string, options: FindOptions) => Row;

const FINDERS: Readonly<Record<Kind, Finder>> = {
  container: (engine, word, { size }) => inspectContainer(engine, word, { size }),
  image: ({ store }, word, { expand }) => inspectImage(store, storedName(store, expand, word)),
  volume: ({ store }, word) => {
    const volume = findVolume(store, word);
    if (volume === undefined) throw noVolume(word);
    return describeVolume(store, volume);
  },
};

/** Docker's names of the fields, which scripts read. */
function describeVolume(store: Store, volume: Volume): Row {
  return {
    CreatedAt: volume.created,
    Driver: volume.driver,
    Labels: volume.labels.size === 0 ? null : Object.fromEntries(volume.labels),
    Mountpoint: `${volumeRoom(store, volume.name)}/data`,
    Name: volume.name,
    Options: volume.options.size === 0 ? null : Object.fromEntries(volume.options),
    Scope: "local",
  };
}

/** In Docker's order, which decides where a word names several. */
const KINDS: readonly Kind[] = ["container", "image", "volume"];

/** @throws TareError `not_found` */
function findAny(engine: Engine, word: string, options: FindOptions): Row {
  for (const kind of KINDS) {
    try {
      return FINDERS[kind](engine, word, options);
    } catch (error) {
      // A word that can name no image may still name another thing.
      const isOther = error instanceof TareError && ["not_found", "bad_input"].includes(error.code);
      if (!isOther) throw error;
    }
  }
  const message = `Cannot find "${word}": no container, image or volume has that name`;
  throw new TareError("not_found", message, {
    hint: '"tare ps -a", "tare images" and "tare volume ls" list what there is',
  });
}

function parseKind(text: string): Kind {
  const kind = KINDS.find((each) => each === text);
  if (kind !== undefined) return kind;
  throw new BadValue("want container, image or volume");
}
