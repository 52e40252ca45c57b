/** What `pull` and `push` begin with: one name, and all that moves its image. */
import { type Engine, openEngine } from "@tare/engine/engine.ts";
import type { RegistryClient } from "@tare/engine/registry/client.ts";
import { TareError } from "@tare/spec/error.ts";
import { openProgress, PROGRESS_FLAG } from "../progress/open.ts";
import type { Progress, ProgressStyle } from "../progress/progress.ts";
import type { Surroundings } from "./command.ts";
import { openRegistries } from "./registries.ts";
import { parseSwitch } from "./values.ts";

export const TRANSFER_FLAGS = {
  progress: PROGRESS_FLAG,
  quiet: { name: "quiet", short: "q", help: "Print only the image's name", parse: parseSwitch },
} as const;

export type Transfer = {
  /** The name as it was typed. */
  readonly word: string;
  readonly engine: Engine;
  readonly client: RegistryClient;
  readonly progress: Progress;
};

type TransferValues = {
  readonly quiet?: boolean | undefined;
  readonly progress?: ProgressStyle | undefined;
};

/** @throws TareError `bad_input` for none or several words; as the settings and the store do */
export async function openTransfer(
  verb: "pull" | "push",
  positionals: readonly string[],
  { quiet = false, progress }: TransferValues,
  around: Surroundings,
): Promise<Transfer> {
  const [word, more] = positionals;
  if (word === undefined || more !== undefined) {
    throw new TareError("bad_input", `Cannot ${verb}: want the name of one image`);
  }
  const client = openRegistries(around);
  const engine = openEngine(around.settings);
  return {
    word,
    engine,
    client,
    progress: await openProgress(around, quiet ? "quiet" : progress, 1),
  };
}
