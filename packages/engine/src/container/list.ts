/** Containers as `ps` lists them: those with a record, and running ones that have only their directory. */
import type { Store } from "../store/store.ts";
import { allRecords, isRunning, runningWithoutRecord, type StoredContainer } from "./find.ts";
import { readOwner } from "./records.ts";

/** `imageName` of one without a record is a name of its image, or its id. */
export type ListedContainer = Omit<StoredContainer, "owner" | "runtime"> & {
  readonly running: boolean;
  /** Names of volumes. */
  readonly volumes: readonly string[];
};

/** All of them, newest first. */
export function listContainers(store: Store): ListedContainer[] {
  return [...allRecords(store), ...runningWithoutRecord(store)]
    .map((container) => toListed(store, container))
    .sort((a, b) => (a.created < b.created ? 1 : -1));
}

function toListed(store: Store, container: StoredContainer): ListedContainer {
  const { id, name, image, imageName, command, created, exitCode } = container;
  const volumes = readOwner(store, id)?.volumes ?? [];
  const running = isRunning(container);
  return { id, name, image, imageName, command, created, running, exitCode, volumes };
}
