/**
 * The content of a volume as a tar archive, out and in. What comes in is unpacked aside, where no
 * container reaches it, and put into the volume once all of it is there: a bad archive changes nothing.
 */
import { renameSync, statSync } from "node:fs";
import { TareError } from "@tare/spec/error.ts";
import type { Engine } from "../engine.ts";
import { askHelper, runHelper } from "../helper.ts";
import type { ArchiveSource } from "../image/archive.ts";
import { openTarball } from "../image/import.ts";
import { takeLayer } from "../image/layer.ts";
import { syncFileSystem } from "../store/durable.ts";
import { Staging, type Store } from "../store/store.ts";
import { makeWaitingRoom } from "./limit.ts";
import { volumeForm } from "./options.ts";
import { findVolume, noVolume, usersOf, type Volume, volumeRoom } from "./records.ts";

/**
 * Writes what is in the volume to the descriptor `out`.
 * @throws TareError `not_found`; `unsupported` for one that is mounted for each container
 */
export async function exportVolume(engine: Engine, name: string, out: number): Promise<void> {
  const volume = wantVolume(engine.store, name);
  const form = volumeForm(volume.options);
  if (form.kind === "filesystem") throw notHere("export", name, form.type);
  const path = form.kind === "bind" ? form.source : `${volumeRoom(engine.store, name)}/data`;
  await runHelper(engine, ["pack", "--directory", path], out);
}

/**
 * Brings in a tar archive. A volume that is empty, and that no container has, gets all of it in one
 * step; otherwise directories are merged and other names replaced, one after the other.
 * @throws TareError `not_found`, `corrupt`, `bad_input`; `unsupported` where the store does not have the files
 */
export async function importVolume(
  engine: Engine,
  name: string,
  source: ArchiveSource,
): Promise<void> {
  const { store } = engine;
  const volume = wantVolume(store, name);
  refuseForeign(volume);
  using staging = new Staging(store);
  const root = `${staging.path}/room/tree`;
  await makeWaitingRoom(engine, volume, `${staging.path}/room`);
  const top = statSync(`${volumeRoom(store, name)}/data`);
  const bytes = await openTarball(source);
  await takeLayer(engine, bytes, { blob: undefined, root, top, lower: async () => [] });
  await syncFileSystem(root);
  if (putWhole(store, name, root)) return;
  await askHelper(engine, ["merge", "--from", root, "--room", volumeRoom(store, name)]);
}

/** In the place of an empty directory; false where it is not, or a container may have it mounted. */
function putWhole(store: Store, name: string, root: string): boolean {
  return store.db
    .transaction(() => {
      wantVolume(store, name);
      if (usersOf(store, name).length > 0) return false;
      try {
        renameSync(root, `${volumeRoom(store, name)}/data`);
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOTEMPTY") return false;
        throw error;
      }
    })
    .immediate();
}

function wantVolume(store: Store, name: string): Volume {
  const volume = findVolume(store, name);
  if (volume === undefined) throw noVolume(name);
  return volume;
}

function refuseForeign({ name, options }: Volume): void {
  const form = volumeForm(options);
  if (form.kind === "filesystem") throw notHere("import", name, form.type);
  if (form.kind === "directory") return;
  const message = `Cannot import volume "${name}": it is the directory "${form.source}" of the host`;
  throw new TareError("unsupported", message, { hint: "Unpack the archive there with tar" });
}

function notHere(what: string, name: string, type: string): TareError {
  const message = `Cannot ${what} volume "${name}": it is a file system of type ${type}, mounted for each container`;
  return new TareError("unsupported", message, { hint: "Use tar in a container that has it" });
}
