/** What commands that remove do first: a container can outlive a `tare run` that was killed. */
import { sweepContainers } from "@tare/engine/container/records.ts";
import type { Engine } from "@tare/engine/engine.ts";
import type { Surroundings } from "./command.ts";

/** Ends containers whose command is gone: else files would be taken from under a process. */
export async function endLeftovers(engine: Engine, around: Surroundings): Promise<void> {
  for (const fault of await sweepContainers(engine)) around.complain(`tare: ${fault}\n`);
}
