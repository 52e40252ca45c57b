/** `tare system df`: what the data root takes on disk, all of it. */
import { openEngine } from "@tare/engine/engine.ts";
import { shortDigest } from "@tare/engine/image/digest.ts";
import {
  type ContainerUsage,
  type ImageUsage,
  measureStore,
  type StoreUsage,
  type UsageRow,
  type VolumeUsage,
} from "@tare/engine/system/usage.ts";
import { familiarName, parseReference } from "@tare/spec/reference.ts";
import type { Command, Surroundings } from "./command.ts";
import { CONTAINER_TITLES, containerFields } from "./container-rows.ts";
import { type Listing, listFormatFlag, openTemplate, printListing } from "./format.ts";
import { readLine, refuseWords } from "./read-line.ts";
import { ago, goTime, humanSize } from "./table.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  format: {
    ...listFormatFlag("{{.Type}}"),
    help: "How to print: json, table, table TEMPLATE, or a template such as '{{.Type}}'; with -v of all: '{{json .Images}}'",
  },
  verbose: {
    name: "verbose",
    short: "v",
    help: "Each image, container and volume",
    parse: parseSwitch,
  },
} as const;

export const SYSTEM_DF = {
  summary: { name: "system df", usage: "", help: "Show what the data root takes on disk" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runSystemDf,
} satisfies Command;

async function runSystemDf(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(SYSTEM_DF, words, around);
  if (line === undefined) return 0;
  refuseWords("measure", line.positionals);
  const usage = measureStore(openEngine(around.settings).store);
  const { format, verbose = false } = line.values;
  const print = verbose ? printDetails : printSummary;
  around.print(await print(usage, format, Date.now()));
  return 0;
}

type TypeRow = ReturnType<typeof typeRow>;

const TYPES: Listing<TypeRow> = {
  titles: {
    Type: "TYPE",
    TotalCount: "TOTAL",
    Active: "ACTIVE",
    Size: "SIZE",
    Reclaimable: "RECLAIMABLE",
    Bytes: "BYTES",
  },
  columns: ["Type", "TotalCount", "Active", "Size", "Reclaimable"],
};

/** The whole output without `-v`; only the table has a sum. */
export async function printSummary(
  { rows, bytes }: StoreUsage,
  format: string | undefined,
): Promise<string> {
  const all = { Type: "All", TotalCount: "", Active: "", Size: humanSize(bytes), Reclaimable: "" };
  const isPlain = format === undefined || format === "" || format === "table";
  const sum = isPlain ? [{ ...all, Bytes: bytes }] : [];
  return await printListing(format, [...rows.map(typeRow), ...sum], TYPES);
}

/** Docker's names of the fields, which scripts read; `Bytes` is ours, and exact. */
function typeRow(row: UsageRow) {
  return {
    Active: `${row.active}`,
    Bytes: row.bytes,
    Reclaimable: reclaimable(row),
    Size: humanSize(row.bytes),
    TotalCount: `${row.count}`,
    Type: row.type as string,
  };
}

function reclaimable({ bytes, reclaimable: idle }: UsageRow): string {
  const share = bytes === 0 || idle === 0 ? "" : ` (${Math.floor((100 * idle) / bytes)}%)`;
  return `${humanSize(idle)}${share}`;
}

const NONE = "<none>";

type ImageRow = ReturnType<typeof imageRow>;

const IMAGES: Listing<ImageRow> = {
  titles: {
    Repository: "REPOSITORY",
    Tag: "TAG",
    ID: "IMAGE ID",
    CreatedSince: "CREATED",
    CreatedAt: "CREATED AT",
    Size: "SIZE",
    SharedSize: "SHARED SIZE",
    UniqueSize: "UNIQUE SIZE",
    Containers: "CONTAINERS",
  },
  columns: [
    ...(["Repository", "Tag", "ID", "CreatedSince", "Size"] as const),
    ...(["SharedSize", "UniqueSize", "Containers"] as const),
  ],
};

/** A row a name, as in `tare images`. */
function imageRow(image: ImageUsage, name: string | undefined, nowMs: number) {
  const reference = name === undefined ? undefined : parseReference(name);
  return {
    Containers: `${image.containers}`,
    CreatedAt: goTime(image.created),
    CreatedSince: ago(image.created, nowMs),
    ID: shortDigest(image.id),
    Repository: reference === undefined ? NONE : familiarName(reference),
    SharedSize: humanSize(image.bytes - image.ownBytes),
    Size: humanSize(image.bytes),
    Tag: reference?.tag ?? NONE,
    UniqueSize: humanSize(image.ownBytes),
  };
}

type ContainerRow = ReturnType<typeof containerRow>;

const CONTAINERS: Listing<ContainerRow> = {
  titles: { ...CONTAINER_TITLES, Size: "SIZE", LogSize: "LOGS" },
  columns: [
    ...(["ID", "Image", "Command", "LocalVolumes", "Size", "LogSize"] as const),
    ...(["RunningFor", "Status", "Names"] as const),
  ],
};

function containerRow(container: ContainerUsage, nowMs: number) {
  return {
    ...containerFields(container, { noTrunc: false, nowMs }),
    LogSize: humanSize(container.logBytes),
    Size: humanSize(container.bytes),
  };
}

type VolumeRow = ReturnType<typeof volumeRow>;

const VOLUMES: Listing<VolumeRow> = {
  titles: { Name: "VOLUME NAME", Links: "LINKS", Size: "SIZE" },
  columns: ["Name", "Links", "Size"],
};

function volumeRow({ name, users, bytes }: VolumeUsage) {
  return { Links: `${users}`, Name: name, Size: humanSize(bytes) };
}

/** The whole output with `-v`; a template is executed once, on all of it, as in Docker. */
async function printDetails(
  usage: StoreUsage,
  format: string | undefined,
  nowMs: number,
): Promise<string> {
  const images = usage.images.flatMap((image) =>
    (image.names.length === 0 ? [undefined] : image.names).map((name) =>
      imageRow(image, name, nowMs),
    ),
  );
  const containers = usage.containers.map((each) => containerRow(each, nowMs));
  const volumes = usage.volumes.map(volumeRow);
  if (format !== undefined && format !== "" && format !== "table") {
    const all = { Images: images, Containers: containers, Volumes: volumes, BuildCache: [] };
    return format === "json"
      ? `${JSON.stringify(all)}\n`
      : `${(await openTemplate(format))(all)}\n`;
  }
  return [
    `Images:\n\n${await printListing(undefined, images, IMAGES)}\n`,
    `Containers:\n\n${await printListing(undefined, containers, CONTAINERS)}\n`,
    `Local Volumes:\n\n${await printListing(undefined, volumes, VOLUMES)}\n`,
    await printSummary(usage, undefined),
  ].join("");
}
