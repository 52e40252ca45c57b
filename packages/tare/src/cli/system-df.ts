/** `tare system df`: what the data root takes on disk, all of it. */
import { openEngine } from "@tare/engine/engine.ts";
import { measureStore, type StoreUsage, type UsageRow } from "@tare/engine/system/usage.ts";
import { formatFamiliar, parseReference } from "@tare/spec/reference.ts";
import type { Command, Surroundings } from "./command.ts";
import { BadValue } from "./flag.ts";
import { readLine, refuseWords } from "./read-line.ts";
import { humanSize, printTable } from "./table.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  format: { name: "format", arg: "json|table", help: "How to print", parse: parseFormat },
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
  if (format === "json") around.print(verbose ? `${JSON.stringify(usage)}\n` : jsonLines(usage));
  else around.print(verbose ? details(usage) : summary(usage));
  return 0;
}

function summary({ rows, bytes }: StoreUsage): string {
  const cells = rows.map((row) => [
    row.type,
    `${row.count}`,
    `${row.active}`,
    humanSize(row.bytes),
    reclaimable(row),
  ]);
  const head = ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"];
  return printTable([head, ...cells, ["All", "", "", humanSize(bytes), ""]]);
}

function reclaimable({ bytes, reclaimable: idle }: UsageRow): string {
  const share = bytes === 0 || idle === 0 ? "" : ` (${Math.floor((100 * idle) / bytes)}%)`;
  return `${humanSize(idle)}${share}`;
}

/** Docker's names of the fields, which scripts read; `Bytes` is ours, and exact. */
function jsonLines({ rows }: StoreUsage): string {
  const lines = rows.map((row) => ({
    Active: `${row.active}`,
    Bytes: row.bytes,
    Reclaimable: reclaimable(row),
    Size: humanSize(row.bytes),
    TotalCount: `${row.count}`,
    Type: row.type,
  }));
  return lines.map((each) => `${JSON.stringify(each)}\n`).join("");
}

function details(usage: StoreUsage): string {
  const images = usage.images.map((image) => [
    image.names.map((name) => formatFamiliar(parseReference(name))).join(" ") || "<none>",
    image.id.slice(7, 19),
    humanSize(image.bytes),
    humanSize(image.bytes - image.ownBytes),
    humanSize(image.ownBytes),
    `${image.containers}`,
  ]);
  const containers = usage.containers.map((each) => [
    each.id.slice(0, 12),
    each.name ?? "",
    each.running ? "running" : "ended",
    humanSize(each.logBytes),
    humanSize(each.bytes),
  ]);
  const volumes = usage.volumes.map(({ name, users, bytes }) => [
    name,
    `${users}`,
    humanSize(bytes),
  ]);
  const table = (title: string, head: string[], rows: string[][]) =>
    `${title}:\n\n${printTable([head, ...rows])}\n`;
  const imageHead = ["NAMES", "IMAGE ID", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"];
  const containerHead = ["CONTAINER ID", "NAME", "STATUS", "LOGS", "SIZE"];
  return [
    table("Images", imageHead, images),
    table("Containers", containerHead, containers),
    table("Local Volumes", ["VOLUME NAME", "CONTAINERS", "SIZE"], volumes),
    summary(usage),
  ].join("");
}

function parseFormat(text: string): "json" | "table" {
  if (text === "json" || text === "table") return text;
  throw new BadValue("want json or table");
}
