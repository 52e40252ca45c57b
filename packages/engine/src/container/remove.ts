/** Removes containers that have ended. */
import { TareError } from "@tare/spec/error.ts";
import type { Engine } from "../engine.ts";
import { anonymousVolumesOf, removeVolume } from "../volume/records.ts";
import { findContainer, isRunning } from "./find.ts";
import { deleteContainer } from "./records.ts";

/**
 * Removes a container by its name, its id or the unique start of its id; with `volumes` also those
 * that were made for it without a name.
 * @throws TareError `not_found`; `bad_state` while it runs.
 */
export function removeContainer(
  engine: Engine,
  word: string,
  options: { readonly volumes?: boolean } = {},
): void {
  const container = findContainer(engine, word);
  if (isRunning(container)) {
    throw new TareError("bad_state", `Cannot remove container "${word}": it runs`);
  }
  const { store } = engine;
  const volumes = options.volumes === true ? anonymousVolumesOf(store, container.id) : [];
  deleteContainer(store, container.id);
  for (const volume of volumes) removeVolume(store, volume, { force: true });
}
