/** Removes containers that have ended, or ends them first. */
import { TareError } from "@tare/spec/error.ts";
import type { Engine } from "../engine.ts";
import { isAlive } from "../store/owner.ts";
import { anonymousVolumesOf, removeVolume } from "../volume/records.ts";
import { findContainer, isRunning, type StoredContainer } from "./find.ts";
import { deleteContainer, forceDelete } from "./records.ts";

type RemoveOptions = {
  /** Also the volumes that were made for it without a name. */
  readonly volumes?: boolean;
  /** End it first where it runs. */
  readonly force?: boolean;
};

/**
 * Removes a container by its name, its id or the unique start of its id.
 * @throws TareError `not_found`; `bad_state` while it runs.
 */
export async function removeContainer(
  engine: Engine,
  word: string,
  { volumes: takesVolumes = false, force = false }: RemoveOptions = {},
): Promise<void> {
  const { store } = engine;
  const container = findContainer(engine, word);
  // Those of a container without a record go with its directory.
  const volumes = takesVolumes ? anonymousVolumesOf(store, container.id) : [];
  if (isRunning(container)) {
    if (!force) throw stillRuns(word);
    await end(engine, container);
  }
  deleteContainer(store, container.id);
  for (const volume of volumes) removeVolume(store, volume, { force: true });
}

function stillRuns(word: string): TareError {
  return new TareError("bad_state", `Cannot remove container "${word}": it runs`, {
    hint: "End its command first, or use -f",
  });
}

const POLL_MS = 20;
const PATIENCE_MS = 30_000;

/**
 * Kills it until the command that waits for it is gone: that one writes down how it ended, and may remove
 * it itself; and one that has just begun has nothing to kill yet.
 */
async function end(engine: Engine, { id, owner, runtime }: StoredContainer): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (isAlive(owner)) {
    if (performance.now() > deadline) {
      throw new TareError("bad_state", `Cannot end container "${id}": its tare run does not end`);
    }
    await forceDelete(engine, runtime, id);
    await Bun.sleep(POLL_MS);
  }
}
