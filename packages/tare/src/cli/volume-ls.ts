/** `tare volume ls`. */
import { openEngine } from "@tare/engine/engine.ts";
import { passes } from "@tare/engine/store/filter.ts";
import type { Store } from "@tare/engine/store/store.ts";
import { listVolumes, usersOf, type Volume, volumeRoom } from "@tare/engine/volume/records.ts";
import type { Command, Surroundings } from "./command.ts";
import { FILTER_FLAG, type FilterWord, toFilter } from "./filter-syntax.ts";
import { BadValue } from "./flag.ts";
import { readLine, refuseWords } from "./read-line.ts";
import { printTable } from "./table.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  filter: { ...FILTER_FLAG, help: "dangling=, driver=, label=KEY[=VALUE], name=PART" },
  format: { name: "format", arg: "json|table", help: "How to print", parse: parseFormat },
  quiet: { name: "quiet", short: "q", help: "Show only names", parse: parseSwitch },
} as const;

export const VOLUME_LS = {
  summary: { name: "volume ls", usage: "", help: "List volumes" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runVolumeLs,
} satisfies Command;

async function runVolumeLs(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(VOLUME_LS, words, around);
  if (line === undefined) return 0;
  refuseWords("list volumes of", line.positionals);
  const { store } = openEngine(around.settings);
  const volumes = chosen(store, line.values.filter);
  const { quiet = false, format } = line.values;
  if (quiet) around.print(volumes.map(({ name }) => `${name}\n`).join(""));
  else if (format === "json") around.print(volumes.map((each) => jsonLine(store, each)).join(""));
  else {
    const rows = volumes.map(({ driver, name }) => [driver, name]);
    around.print(printTable([["DRIVER", "VOLUME NAME"], ...rows]));
  }
  return 0;
}

/** Words of one key are alternatives, as in Docker; labels must all fit. */
function chosen(store: Store, words: readonly FilterWord[]): Volume[] {
  const labels = toFilter(words, Date.now(), ["dangling", "driver", "name"]);
  const values = (key: string) =>
    words.filter((word) => word.key === key).map(({ value }) => value);
  const fits = (key: string, test: (value: string) => boolean) =>
    values(key).length === 0 || values(key).some(test);
  return listVolumes(store).filter(
    (volume) =>
      passes(labels, volume.labels, volume.created) &&
      fits("name", (part) => volume.name.includes(part)) &&
      fits("driver", (driver) => volume.driver === driver) &&
      fits("dangling", (word) => parseSwitch(word) === (usersOf(store, volume.name).length === 0)),
  );
}

/** Docker's names of the fields, which scripts read. */
function jsonLine(store: Store, volume: Volume): string {
  const { name, driver, labels } = volume;
  const row = {
    Driver: driver,
    Labels: [...labels].map(([key, value]) => `${key}=${value}`).join(","),
    Mountpoint: `${volumeRoom(store, name)}/data`,
    Name: name,
    Scope: "local",
  };
  return `${JSON.stringify(row)}\n`;
}

function parseFormat(text: string): "json" | "table" {
  if (text === "json" || text === "table") return text;
  throw new BadValue("want json or table");
}
