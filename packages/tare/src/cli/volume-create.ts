/** `tare volume create`. */
import { openEngine } from "@tare/engine/engine.ts";
import { limiterOf } from "@tare/engine/volume/limit.ts";
import { DRIVER } from "@tare/engine/volume/options.ts";
import { createVolume, randomName } from "@tare/engine/volume/records.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import { readLine, refuseWords } from "./read-line.ts";
import { parseText } from "./values.ts";

const FLAGS = {
  driver: {
    name: "driver",
    short: "d",
    arg: "DRIVER",
    help: "Driver: local, the only one",
    parse: parseText,
  },
  label: { name: "label", arg: "KEY=VALUE", help: "Metadata", repeat: true, parse: parseText },
  opt: {
    name: "opt",
    short: "o",
    arg: "KEY=VALUE",
    help: "As of mount(8): type=, device=, o=; o=bind for a directory of the host; size= by project quotas",
    repeat: true,
    parse: parseText,
  },
} as const;

export const VOLUME_CREATE = {
  summary: { name: "volume create", usage: "[NAME]", help: "Make a volume" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runVolumeCreate,
} satisfies Command;

async function runVolumeCreate(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(VOLUME_CREATE, words, around);
  if (line === undefined) return 0;
  const [name, ...more] = line.positionals;
  refuseWords("make volume", more);
  const { driver = DRIVER, label, opt } = line.values;
  if (driver !== DRIVER) {
    throw new TareError("unsupported", `Cannot use driver "${driver}": only "local" is there`);
  }
  const engine = openEngine(around.settings);
  const wanted = {
    name: name ?? randomName(),
    driver,
    options: pairs(opt),
    labels: pairs(label),
    anonymous: name === undefined,
  };
  const volume = createVolume(engine.store, wanted, undefined, limiterOf(engine));
  around.print(`${volume.name}\n`);
  return 0;
}

/** `KEY=VALUE` texts; a key alone has the empty value. */
function pairs(texts: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    texts.map((text) => {
      const at = text.indexOf("=");
      return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}
