/** Containers as `ps` lists them: those with a record, and running ones that have only their directory. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { formatFamiliar, parseReference } from "@tare/spec/reference.ts";
import { namesOf } from "../store/names.ts";
import { isAlive } from "../store/owner.ts";
import type { Store } from "../store/store.ts";
import { allRecords, isRunning, type StoredContainer } from "./find.ts";
import { containerPath, type OwnerFile, readOwner } from "./records.ts";

export type ListedContainer = {
  readonly id: string;
  readonly name: string | undefined;
  readonly image: Digest | undefined;
  /** As it was typed; for one without a record a name of its image, or its id. */
  readonly imageName: string;
  readonly command: readonly string[];
  /** ISO 8601. */
  readonly created: string;
  readonly running: boolean;
  /** Undefined until it has ended, or where a crash kept that from being written. */
  readonly exitCode: number | undefined;
  /** Names of volumes. */
  readonly volumes: readonly string[];
};

/** All of them, newest first. */
export function listContainers(store: Store): ListedContainer[] {
  const kept = allRecords(store).map((container) => ofRecord(store, container));
  const known = new Set(kept.map(({ id }) => id));
  const others = readdirSync(`${store.root}/containers`).flatMap((id) => {
    const owner = known.has(id) ? undefined : readOwner(store, id);
    return owner === undefined || !isAlive(owner.owner) ? [] : ofDirectory(store, id, owner);
  });
  return [...kept, ...others].sort((a, b) => (a.created < b.created ? 1 : -1));
}

function ofRecord(store: Store, container: StoredContainer): ListedContainer {
  const { id, name, image, imageName, command, created, exitCode } = container;
  const volumes = readOwner(store, id)?.volumes ?? [];
  const running = isRunning(container);
  return { id, name, image, imageName, command, created, running, exitCode, volumes };
}

/** None where it ends meanwhile. */
function ofDirectory(store: Store, id: string, owner: OwnerFile): ListedContainer[] {
  const { image, volumes = [] } = owner;
  const path = containerPath(store, id);
  try {
    const { root, process } = JSON.parse(readFileSync(`${path}/config.json`, "utf8")) as {
      readonly root?: { readonly path?: string };
      readonly process?: { readonly args?: readonly string[] };
    };
    const place = root?.path?.startsWith("/") === true ? root.path : "@host";
    const created = statSync(`${path}/owner.json`).mtime.toISOString();
    const imageName = image === undefined ? place : nameOf(store, image);
    const command = process?.args ?? [];
    const state = { running: true, exitCode: undefined, name: undefined };
    return [{ ...state, id, image, imageName, command, created, volumes }];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw new TareError("corrupt", `Cannot read container "${id}"`, { cause: error });
  }
}

function nameOf(store: Store, image: Digest): string {
  const [name] = namesOf(store, image);
  return name === undefined ? image : formatFamiliar(parseReference(name.name));
}
