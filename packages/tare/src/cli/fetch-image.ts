/** The image of a `run`, fetched where it is missing or `--pull always` asks for it. */
import type { Engine } from "@tare/engine/engine.ts";
import {
  hasImage,
  hasImageFor,
  isImageId,
  noImage,
  wantPlatform,
} from "@tare/engine/image/lookup.ts";
import { findList } from "@tare/engine/image/manifest-list.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Platform } from "@tare/spec/platform.ts";
import { formatFamiliar, formatReference, type Reference } from "@tare/spec/reference.ts";
import { openProgress } from "../progress/open.ts";
import type { Surroundings } from "./command.ts";
import { interruptible } from "./interrupt.ts";
import { pullShown } from "./pull.ts";
import { completeName, openRegistries } from "./registries.ts";

export type FetchChoice = {
  readonly pull: "missing" | "always";
  readonly platform: Platform | undefined;
};

/** A pull would put another thing in the place of a list that may be nowhere else. */
function refuseList(engine: Engine, reference: Reference): void {
  if (findList(engine.store, reference) === undefined) return;
  const word = formatFamiliar(reference);
  throw new TareError(
    "bad_input",
    `Cannot run "${word}": it is a list of manifests, not an image`,
    {
      hint: "Run one of its members, which manifest inspect names by their digests",
    },
  );
}

/**
 * Fetches the image; answers the word that finds it. What is shown goes to standard error: the output
 * is the container's.
 * @throws TareError as `pullImage` does
 */
export async function fetchImage(
  engine: Engine,
  word: string,
  { pull, platform }: FetchChoice,
  around: Surroundings,
): Promise<string> {
  if (isImageId(word)) {
    if (hasImage(engine.store, word)) wantPlatform(engine.store, word, platform);
    else throw noImage(word);
    return word;
  }
  const client = openRegistries(around);
  const reference = completeName(client, word);
  const complete = formatReference(reference);
  refuseList(engine, reference);
  if (pull === "missing") {
    // An alias, or another default registry, may stand for one that is there.
    if (hasImageFor(engine.store, complete, platform)) return complete;
    around.complain(`Unable to find image '${formatFamiliar(reference)}' locally\n`);
  }
  const progress = await openProgress(around, undefined, 2);
  const status = await interruptible(around, async (signal) => {
    await pullShown({ engine, client, progress, platform }, reference, signal);
    return 0;
  });
  if (status === 0) return complete;
  throw new TareError("system", `Cannot pull "${formatFamiliar(reference)}": interrupted`);
}
