/** Containers as `ps` lists them: those with a record, and running ones that have only their directory. */
import type { Digest } from "@tare/spec/digest.ts";
import type { Store } from "../store/store.ts";
import { allRecords, isRunning, runningWithoutRecord, type StoredContainer } from "./find.ts";
import { readOwner } from "./records.ts";

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
