/** `tare volume ls`. */
import { openEngine } from "@tare/engine/engine.ts";
import { passes } from "@tare/engine/store/filter.ts";
import type { Store } from "@tare/engine/store/store.ts";
import { listVolumes, usersOf, type Volume, volumeRoom } from "@tare/engine/volume/records.ts";
import type { Command, Surroundings } from "./command.ts";
import { FILTER_FLAG, type FilterWord, filterSwitch, toFilter } from "./filter-syntax.ts";
import { type Listing, labelTitle, listFormatFlag, printListing } from "./format.ts";
import { readLine, refuseWords } from "./read-line.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  filter: {
    ...FILTER_FLAG,
    help: "Only those that fit: dangling=, driver=, label=KEY[=VALUE], name=PART",
  },
  format: listFormatFlag("{{.Name}}"),
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
  else {
    const rows = volumes.map((volume) => toRow(volume, `${volumeRoom(store, volume.name)}/data`));
    around.print(await printListing(format, rows, LISTING));
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
      fits(
        "dangling",
        (word) => filterSwitch("dangling", word) === (usersOf(store, volume.name).length === 0),
      ),
  );
}

type VolumeRow = ReturnType<typeof toRow>;

const LISTING: Listing<VolumeRow> = {
  titles: {
    Driver: "DRIVER",
    Name: "VOLUME NAME",
    Labels: "LABELS",
    Label: labelTitle,
    Links: "LINKS",
    Mountpoint: "MOUNTPOINT",
    Scope: "SCOPE",
    Size: "SIZE",
  },
  columns: ["Driver", "Name"],
};

/** Docker's names of the fields, which scripts read; those that it too only knows in `system df` are N/A. */
function toRow({ name, driver, labels }: Volume, mountpoint: string) {
  return {
    Driver: driver,
    Label: (key: unknown) => labels.get(String(key)) ?? "",
    Labels: [...labels].map(([key, value]) => `${key}=${value}`).join(","),
    Links: "N/A",
    Mountpoint: mountpoint,
    Name: name,
    Scope: "local",
    Size: "N/A",
  };
}
