/** `tare volume inspect`: what is known of volumes, as JSON. */
import { openEngine } from "@tare/engine/engine.ts";
import { findVolume, noVolume, type Volume, volumeRoom } from "@tare/engine/volume/records.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import { EXIT_FAILURE, printFailure } from "./failure.ts";
import { readLine } from "./read-line.ts";

export const VOLUME_INSPECT = {
  summary: { name: "volume inspect", usage: "VOLUME [VOLUME...]", help: "Show volumes as JSON" },
  flags: {},
  interspersed: true,
  needsRoot: true,
  run: runVolumeInspect,
} satisfies Command;

async function runVolumeInspect(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(VOLUME_INSPECT, words, around);
  if (line === undefined) return 0;
  if (line.positionals.length === 0) {
    throw new TareError("bad_input", "Cannot inspect: no volume is given");
  }
  const { store } = openEngine(around.settings);
  const rows: object[] = [];
  let status = 0;
  for (const name of line.positionals) {
    const volume = findVolume(store, name);
    if (volume !== undefined) rows.push(toRow(volume, `${volumeRoom(store, name)}/data`));
    else {
      around.complain(printFailure(noVolume(name)));
      status = EXIT_FAILURE;
    }
  }
  around.print(`${JSON.stringify(rows, undefined, 4)}\n`);
  return status;
}

/** Docker's names of the fields, which scripts read. */
function toRow(volume: Volume, mountpoint: string) {
  return {
    CreatedAt: volume.created,
    Driver: volume.driver,
    Labels: volume.labels.size === 0 ? null : Object.fromEntries(volume.labels),
    Mountpoint: mountpoint,
    Name: volume.name,
    Options: volume.options.size === 0 ? null : Object.fromEntries(volume.options),
    Scope: "local",
  };
}
