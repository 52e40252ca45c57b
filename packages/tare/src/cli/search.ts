/** `tare search`: repositories of a registry, in Docker's columns. */
import { parseRegistry } from "@tare/engine/registry/login.ts";
import { type FoundRepository, searchRegistry } from "@tare/engine/registry/search.ts";
import { oneLine, TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import { BadValue } from "./flag.ts";
import { interruptible } from "./interrupt.ts";
import { readLine } from "./read-line.ts";
import { openRegistries } from "./registries.ts";
import { printTable } from "./table.ts";
import { parseInteger, parseSwitch } from "./values.ts";

const LIMIT_MAX = 100;
const LIMIT_DEFAULT = 25;
const DESCRIPTION_LENGTH = 45;

const FLAGS = {
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
  const { limit = LIMIT_DEFAULT, noTrunc = false } = line.values;
  const client = openRegistries(around);
  const [registry, term] = splitTerm(word, client.settings.defaultRegistry);
  return await interruptible(around, async (signal) => {
    const found = await searchRegistry(client, registry, term, { limit, signal });
    around.print(printFound(found, noTrunc));
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

/** The whole output; a stranger's words get no lines of their own. */
export function printFound(found: readonly FoundRepository[], noTrunc: boolean): string {
  const rows = found.map(({ name, description, stars, official }) => {
    const text = oneLine(description);
    const isLong = !noTrunc && text.length > DESCRIPTION_LENGTH;
    const shown = isLong ? `${text.slice(0, DESCRIPTION_LENGTH - 1)}…` : text;
    return [oneLine(name), shown, `${stars}`, official ? "[OK]" : ""];
  });
  return printTable([["NAME", "DESCRIPTION", "STARS", "OFFICIAL"], ...rows]);
}

function parseLimit(text: string): number {
  const limit = Number(parseInteger(text));
  if (limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw new BadValue(`want 1 to ${LIMIT_MAX}`);
}
