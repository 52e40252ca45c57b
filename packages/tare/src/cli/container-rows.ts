/** The fields of a container that `ps` and `system df` print, with Docker's names. */

import type { ListedContainer } from "@tare/engine/container/list.ts";
import { digestHex, isDigest } from "@tare/spec/digest.ts";
import { ago, goTime, shortCommand } from "./table.ts";

const ID_LENGTH = 12;

export type RowOptions = { readonly noTrunc: boolean; readonly nowMs: number };

export type ContainerFields = ReturnType<typeof containerFields>;

/** Their titles. */
export const CONTAINER_TITLES: Readonly<Record<keyof ContainerFields, string>> = {
  ID: "CONTAINER ID",
  Image: "IMAGE",
  Command: "COMMAND",
  RunningFor: "CREATED",
  CreatedAt: "CREATED AT",
  Status: "STATUS",
  State: "STATE",
  Ports: "PORTS",
  Names: "NAMES",
  Mounts: "MOUNTS",
  LocalVolumes: "LOCAL VOLUMES",
};

/** What there is to print of a container. Nothing has ports yet. */
export function containerFields(container: ListedContainer, { noTrunc, nowMs }: RowOptions) {
  const { id, imageName, command, created, running, name = "", volumes } = container;
  return {
    Command: shortCommand(command, noTrunc),
    CreatedAt: goTime(created),
    ID: noTrunc ? id : id.slice(0, ID_LENGTH),
    Image: isDigest(imageName) ? digestHex(imageName).slice(0, ID_LENGTH) : imageName,
    LocalVolumes: `${volumes.length}`,
    Mounts: volumes.join(","),
    Names: name,
    Ports: "",
    RunningFor: ago(created, nowMs),
    State: running ? "running" : "exited",
    Status: statusOf(container, nowMs),
  };
}

/** Since when it has run; when it ended is not recorded. */
function statusOf({ running, exitCode, created }: ListedContainer, nowMs: number): string {
  if (running) return `Up ${ago(created, nowMs).replace(/ ago$/, "")}`;
  return exitCode === undefined ? "Exited" : `Exited (${exitCode})`;
}
