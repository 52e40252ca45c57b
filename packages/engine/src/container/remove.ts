/** Removes containers that have ended. */
import { TareError } from "@tare/spec/error.ts";
import type { Engine } from "../engine.ts";
import { findContainer, isRunning } from "./find.ts";
import { deleteContainer } from "./records.ts";

/**
 * Removes a container by its name, its id or the unique start of its id.
 * @throws TareError `not_found`; `bad_state` while it runs.
 */
export function removeContainer(engine: Engine, word: string): void {
  const container = findContainer(engine, word);
  if (isRunning(container)) {
    throw new TareError("bad_state", `Cannot remove container "${word}": it runs`);
  }
  deleteContainer(engine.store, container.id);
}
