/** `tare images`: the images of the store, in Docker's columns. */
import { openEngine } from "@tare/engine/engine.ts";
import { shortDigest } from "@tare/engine/image/digest.ts";
import { type ListedImage, listImages } from "@tare/engine/image/list.ts";
import type { Store } from "@tare/engine/store/store.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import { type FilterWord, filterSwitch, parseFilterWord, toFilter } from "./filter-syntax.ts";
import type { FlagValues } from "./flag.ts";
import { type Listing, listFormatFlag, printListing } from "./format.ts";
import { readLine } from "./read-line.ts";
import { openShortNames } from "./short-names.ts";
import { ago, goTime, humanSize } from "./table.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  all: {
    name: "all",
    short: "a",
    help: "Taken for Docker's sake: all are shown",
    parse: parseSwitch,
  },
  digests: { name: "digests", help: "Show the digests of manifests", parse: parseSwitch },
  filter: {
    name: "filter",
    short: "f",
    arg: "KEY=VALUE",
    help: "Only those that fit: dangling=, label=, before=IMAGE, since=IMAGE, until=TIME, reference=PATTERN",
    repeat: true,
    parse: parseFilterWord,
  },
  format: listFormatFlag("{{.ID}}"),
  noTrunc: { name: "no-trunc", help: "Show whole ids", parse: parseSwitch },
  quiet: { name: "quiet", short: "q", help: "Show only ids", parse: parseSwitch },
  tree: { name: "tree", help: "Show the layers of each image", parse: parseSwitch },
} as const;

export const IMAGES = {
  summary: { name: "images", usage: "[NAME|PATTERN]", help: "List images" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runImages,
} satisfies Command;

type Values = FlagValues<typeof FLAGS>;

const NONE = "<none>";
const UNKNOWN = "N/A";
const OWN_FILTERS = ["dangling", "before", "since", "reference"];

async function runImages(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(IMAGES, words, around);
  if (line === undefined) return 0;
  const [filter, more] = line.positionals;
  if (more !== undefined) {
    throw new TareError("bad_input", "Cannot list images: want one name at most");
  }
  const { store } = openEngine(around.settings);
  // As in Docker, a name with signs of a pattern is one.
  const isPattern = filter !== undefined && /[*?[\\]/.test(filter);
  const pattern = { key: "reference", wanted: true, value: filter ?? "" };
  const filters = isPattern ? [...line.values.filter, pattern] : line.values.filter;
  const listed = await listNamed(around, store, isPattern ? undefined : filter);
  const images = filters.length === 0 ? listed : await pass(store, listed, filters);
  if (line.values.tree === true) around.print(await printTrees(store, images, line.values));
  else around.print(await printImages(images, line.values, Date.now()));
  return 0;
}

/** By the complete name, or by the word itself where that alone finds some. */
async function listNamed(around: Surroundings, store: Store, filter: string | undefined) {
  if (filter === undefined) return listImages(store, filter);
  const complete = (await openShortNames(around))(filter);
  const found = listImages(store, complete);
  return found.length > 0 || complete === filter ? found : listImages(store, filter);
}

async function printTrees(
  store: Store,
  images: readonly ListedImage[],
  { quiet, format, digests, noTrunc }: Values,
): Promise<string> {
  if (quiet || format !== undefined || digests || noTrunc) {
    throw new TareError("bad_input", "Cannot print a tree in another form", {
      hint: "--tree goes with none of --quiet, --format, --digests, --no-trunc",
    });
  }
  const { printTree } = await import("./image-tree.ts");
  const ids = [...new Set(images.map(({ id }) => id))];
  return ids.map((id) => printTree(store, id)).join("\n");
}

async function pass(
  store: Store,
  images: readonly ListedImage[],
  words: readonly FilterWord[],
): Promise<readonly ListedImage[]> {
  const { filterImages } = await import("@tare/engine/image/filter.ts");
  const filterOf = (key: string) => words.find((word) => word.key === key)?.value;
  const dangling = filterOf("dangling");
  return filterImages(store, images, {
    ...toFilter(words, Date.now(), OWN_FILTERS),
    dangling: dangling === undefined ? undefined : filterSwitch("dangling", dangling),
    before: filterOf("before"),
    since: filterOf("since"),
    references: words.filter(({ key }) => key === "reference").map(({ value }) => value),
  });
}

type ImageRow = ReturnType<typeof toRow>;

const TITLES: Listing<ImageRow>["titles"] = {
  Repository: "REPOSITORY",
  Tag: "TAG",
  Digest: "DIGEST",
  ID: "IMAGE ID",
  CreatedSince: "CREATED",
  CreatedAt: "CREATED AT",
  Size: "SIZE",
  VirtualSize: "SIZE",
  SharedSize: "SHARED SIZE",
  UniqueSize: "UNIQUE SIZE",
  Containers: "CONTAINERS",
};

/** The whole output for some images. */
export async function printImages(
  images: readonly ListedImage[],
  values: Values,
  nowMs: number,
): Promise<string> {
  const id = (image: ListedImage) => (values.noTrunc ? image.id : shortDigest(image.id));
  if (values.quiet) return [...new Set(images.map(id))].map((text) => `${text}\n`).join("");
  const rows = images.map((image) => toRow(image, id(image), nowMs));
  const digest = values.digests ? (["Digest"] as const) : [];
  const columns = ["Repository", "Tag", ...digest, "ID", "CreatedSince", "Size"] as const;
  return await printListing(values.format, rows, { titles: TITLES, columns });
}

/** Docker's names of the fields, which scripts read; those that it too only knows in `system df` are N/A. */
function toRow(image: ListedImage, id: string, nowMs: number) {
  const size = humanSize(image.size);
  return {
    Containers: UNKNOWN,
    CreatedAt: goTime(image.created),
    CreatedSince: ago(image.created, nowMs),
    Digest: image.target ?? NONE,
    ID: id,
    Repository: image.repository ?? NONE,
    SharedSize: UNKNOWN,
    Size: size,
    Tag: image.tag ?? NONE,
    UniqueSize: UNKNOWN,
    VirtualSize: size,
  };
}
