/** `tare search`: repositories of a registry, in Docker's columns. */
import { parseRegistry } from "@tare/engine/registry/login.ts";
import { type FoundRepository, searchRegistry } from "@tare/engine/registry/search.ts";
import { oneLine, TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import {
  badFilter,
  type FilterWord,
  filterSwitch,
  noFilter,
  parseFilterWord,
} from "./filter-syntax.ts";
import { BadValue } from "./flag.ts";
import { type Listing, listFormatFlag, printListing } from "./format.ts";
import { interruptible } from "./interrupt.ts";
import { readLine } from "./read-line.ts";
import { openRegistries } from "./registries.ts";
import { isDigits, parseInteger, parseSwitch } from "./values.ts";

const LIMIT_MAX = 100;
const LIMIT_DEFAULT = 25;
const DESCRIPTION_LENGTH = 45;

const FLAGS = {
  filter: {
    name: "filter",
    short: "f",
    arg: "KEY=VALUE",
    help: "Only those that fit: is-official=, is-automated=, stars=NUMBER for at least so many",
    repeat: true,
    parse: parseFilterWord,
  },
  format: listFormatFlag("{{.Name}}"),
  limit: { name: "limit", arg: "NUMBER", help: "At most so many (default 25)", parse: parseLimit },
  noTrunc: { name: "no-trunc", help: "Show whole descriptions", parse: parseSwitch },
} as const;

export const SEARCH = {
  summary: {
    name: "search",
    usage: "[REGISTRY/]TERM",
    help: "Search a registry (default docker.io)",
  },
  flags: FLAGS,
  interspersed: true,
  needsRoot: false,
  run: runSearch,
} satisfies Command;

async function runSearch(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(SEARCH, words, around);
  if (line === undefined) return 0;
  const [word, more] = line.positionals;
  if (word === undefined || more !== undefined) {
    throw new TareError("bad_input", "Cannot search: want one term");
  }
  const { limit = LIMIT_DEFAULT, noTrunc = false, format, filter } = line.values;
  const passes = toSearchFilter(filter);
  const client = openRegistries(around);
  const [registry, term] = splitTerm(word, client.settings.defaultRegistry);
  return await interruptible(around, async (signal) => {
    const found = await searchRegistry(client, registry, term, { limit, signal });
    around.print(await printFound(found.filter(passes), { noTrunc, format }));
    return 0;
  });
}

/** What looks like a host is one: `registry.example/term`. */
function splitTerm(word: string, registry: string): readonly [string, string] {
  const slash = word.indexOf("/");
  const head = slash < 0 ? "" : word.slice(0, slash);
  const isHost = head.includes(".") || head.includes(":") || head === "localhost";
  return isHost ? [parseRegistry(head), word.slice(slash + 1)] : [registry, word];
}

/**
 * Whether a repository fits all of the words. Nothing is built by a registry any more, so nothing is "automated".
 * @throws TareError `bad_input`
 */
export function toSearchFilter(words: readonly FilterWord[]): (found: FoundRepository) => boolean {
  const tests = words.map(({ key, wanted, value }): ((found: FoundRepository) => boolean) => {
    if (!wanted) throw noFilter(key);
    if (key === "is-official") {
      const official = filterSwitch(key, value);
      return (found) => found.official === official;
    }
    if (key === "is-automated") {
      const automated = filterSwitch(key, value);
      return () => !automated;
    }
    if (key !== "stars") throw noFilter(key);
    if (!isDigits(value)) throw badFilter(key, value, "want a whole number");
    return (found) => found.stars >= Number(value);
  });
  return (found) => tests.every((fits) => fits(found));
}

type FoundRow = ReturnType<typeof toRow>;

const LISTING: Listing<FoundRow> = {
  titles: {
    Name: "NAME",
    Description: "DESCRIPTION",
    StarCount: "STARS",
    IsOfficial: "OFFICIAL",
    IsAutomated: "AUTOMATED",
  },
  columns: ["Name", "Description", "StarCount", "IsOfficial"],
};

/** The whole output. */
export async function printFound(
  found: readonly FoundRepository[],
  { noTrunc, format }: { readonly noTrunc: boolean; readonly format: string | undefined },
): Promise<string> {
  const isJson = format?.includes("json") === true;
  const rows = found.map((each) => toRow(each, noTrunc, isJson));
  return await printListing(format, rows, LISTING);
}

/** Docker's names of the fields, which scripts read; a stranger's words get no lines of their own. */
function toRow(found: FoundRepository, noTrunc: boolean, isJson: boolean) {
  const text = oneLine(found.description);
  const isLong = !noTrunc && text.length > DESCRIPTION_LENGTH;
  const yes = isJson ? "true" : "[OK]";
  const no = isJson ? "false" : "";
  return {
    Description: isLong ? `${text.slice(0, DESCRIPTION_LENGTH - 1)}…` : text,
    IsAutomated: no,
    IsOfficial: found.official ? yes : no,
    Name: oneLine(found.name),
    StarCount: `${found.stars}`,
  };
}

function parseLimit(text: string): number {
  const limit = Number(parseInteger(text));
  if (limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw new BadValue(`want 1 to ${LIMIT_MAX}`);
}
