/** The size of a volume, by project quotas of the data root's file system. */
import { mkdirSync } from "node:fs";
import type { Engine } from "../engine.ts";
import { askHelper, askHelperNow } from "../helper.ts";
import { volumeForm } from "./options.ts";
import { type Limit, type Volume, volumeRoom } from "./records.ts";

/** @throws TareError `unsupported` where the file system has no project quotas, or they are off */
export function limiterOf(engine: Engine): Limit {
  return (directory, bytesMax) =>
    askHelperNow(engine, ["quota", "--dir", directory, "--bytes", `${bytesMax}`]);
}

/**
 * A directory for what is to be moved into the volume: files may only move within a project, so that of a
 * limited volume is of its project, and counts.
 */
export async function makeWaitingRoom(
  engine: Engine,
  { name, options }: Volume,
  path: string,
): Promise<void> {
  mkdirSync(path, { mode: 0o700 });
  const form = volumeForm(options);
  if (form.kind !== "directory" || form.bytesMax === undefined) return;
  await askHelper(engine, ["quota", "--dir", path, "--like", volumeRoom(engine.store, name)]);
}
