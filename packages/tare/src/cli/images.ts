/** `tare images`: the images of the store, in Docker's columns. */
import { openEngine } from "@tare/engine/engine.ts";
import { shortDigest } from "@tare/engine/image/digest.ts";
import { type ListedImage, listImages } from "@tare/engine/image/list.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import { BadValue, type FlagValues } from "./flag.ts";
import { readLine } from "./read-line.ts";
import { ago, humanSize, printTable } from "./table.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  digests: { name: "digests", help: "Show the digests of manifests", parse: parseSwitch },
  format: { name: "format", arg: "json|table", help: "How to print", parse: parseFormat },
  noTrunc: { name: "no-trunc", help: "Show whole ids", parse: parseSwitch },
  quiet: { name: "quiet", short: "q", help: "Show only ids", parse: parseSwitch },
} as const;

export const IMAGES = {
  summary: { name: "images", usage: "[NAME]", help: "List images" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runImages,
} satisfies Command;

type Values = FlagValues<typeof FLAGS>;

const NONE = "<none>";

async function runImages(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(IMAGES, words, around);
  if (line === undefined) return 0;
  const [filter, more] = line.positionals;
  if (more !== undefined) {
    throw new TareError("bad_input", "Cannot list images: want one name at most");
  }
  const images = listImages(openEngine(around.settings).store, filter);
  around.print(printImages(images, line.values, Date.now()));
  return 0;
}

/** The whole output for some images. */
export function printImages(images: readonly ListedImage[], values: Values, nowMs: number): string {
  const id = (image: ListedImage) => (values.noTrunc ? image.id : shortDigest(image.id));
  if (values.quiet) return [...new Set(images.map(id))].map((text) => `${text}\n`).join("");
  if (values.format === "json") {
    return images.map((image) => `${JSON.stringify(toRow(image, id(image), nowMs))}\n`).join("");
  }
  const digests = values.digests ? ["DIGEST"] : [];
  const rows = images.map((image) => {
    const row = toRow(image, id(image), nowMs);
    const digest = values.digests ? [row.Digest] : [];
    return [row.Repository, row.Tag, ...digest, row.ID, row.CreatedSince, row.Size];
  });
  return printTable([["REPOSITORY", "TAG", ...digests, "IMAGE ID", "CREATED", "SIZE"], ...rows]);
}

/** Docker's names of the fields, which scripts read. */
function toRow(image: ListedImage, id: string, nowMs: number) {
  return {
    CreatedAt: image.created,
    CreatedSince: ago(image.created, nowMs),
    Digest: image.target ?? NONE,
    ID: id,
    Repository: image.repository ?? NONE,
    Size: humanSize(image.size),
    Tag: image.tag ?? NONE,
  };
}

function parseFormat(text: string): "json" | "table" {
  if (text === "json" || text === "table") return text;
  throw new BadValue("want json or table");
}
