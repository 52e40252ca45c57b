/** `tare ps`: containers, in Docker's columns. */

import { existsSync } from "node:fs";
import { type ListedContainer, listContainers } from "@tare/engine/container/list.ts";
import { openEngine } from "@tare/engine/engine.ts";
import { findImage } from "@tare/engine/image/lookup.ts";
import type { Store } from "@tare/engine/store/store.ts";
import { diskUsage } from "@tare/engine/store/usage.ts";
import type { Command, Surroundings } from "./command.ts";
import { CONTAINER_TITLES, containerFields } from "./container-rows.ts";
import { badFilter, type FilterWord, noFilter, parseFilterWord } from "./filter-syntax.ts";
import { BadValue } from "./flag.ts";
import { listFormatFlag, printListing } from "./format.ts";
import { readLine, refuseWords } from "./read-line.ts";
import { type Expand, openShortNames, storedName } from "./short-names.ts";
import { humanSize } from "./table.ts";
import { isDigits, parseInteger, parseSwitch } from "./values.ts";

const FLAGS = {
  all: { name: "all", short: "a", help: "Ended ones, too", parse: parseSwitch },
  filter: {
    name: "filter",
    short: "f",
    arg: "KEY=VALUE",
    help: "Only those that fit: id=, name=PART, status=running|exited, exited=STATUS, ancestor=IMAGE, volume=",
    repeat: true,
    parse: parseFilterWord,
  },
  format: listFormatFlag("{{.Names}}"),
  last: {
    name: "last",
    short: "n",
    arg: "NUMBER",
    help: "The newest, ended ones too",
    parse: parseLast,
  },
  latest: { name: "latest", short: "l", help: "The newest one, ended or not", parse: parseSwitch },
  noTrunc: { name: "no-trunc", help: "Cut nothing off", parse: parseSwitch },
  quiet: { name: "quiet", short: "q", help: "Show only ids", parse: parseSwitch },
  size: { name: "size", short: "s", help: "Show what they wrote", parse: parseSwitch },
} as const;

export const PS = {
  summary: { name: "ps", usage: "", help: "List containers" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runPs,
} satisfies Command;

async function runPs(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(PS, words, around);
  if (line === undefined) return 0;
  refuseWords("list", line.positionals);
  const { all, latest, last = latest ? 1 : undefined, noTrunc = false, quiet } = line.values;
  const { store } = openEngine(around.settings);
  const { tests, asksState } = readFilters(store, line.values.filter, await openShortNames(around));
  const isWide = all === true || asksState || last !== undefined;
  const chosen = listContainers(store)
    .filter((each) => (isWide || each.running) && tests.every((fits) => fits(each)))
    .slice(0, last);
  const nowMs = Date.now();
  const rows = chosen.map((each) => ({
    ...containerFields(each, { noTrunc, nowMs }),
    Size: line.values.size ? sizeOf(store, each.id) : "0B",
  }));
  if (quiet) {
    around.print(rows.map(({ ID }) => `${ID}\n`).join(""));
    return 0;
  }
  const size = line.values.size ? (["Size"] as const) : [];
  const columns = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"] as const;
  const listing = { titles: { ...CONTAINER_TITLES, Size: "SIZE" }, columns: [...columns, ...size] };
  around.print(await printListing(line.values.format, rows, listing));
  return 0;
}

type Test = (container: ListedContainer) => boolean;

/** Words of one key are alternatives, as in Docker. */
function readFilters(store: Store, words: readonly FilterWord[], expand: Expand) {
  const tests = Map.groupBy(words, ({ key }) => key)
    .values()
    .map((alternatives): Test => {
      const some = alternatives.map((word) => testOf(store, word, expand));
      return (container) => some.some((fits) => fits(container));
    });
  const asksState = words.some(({ key }) => key === "status" || key === "exited");
  return { tests: [...tests], asksState };
}

const STATES = ["created", "dead", "exited", "paused", "removing", "restarting", "running"];

function testOf(store: Store, { key, value, wanted }: FilterWord, expand: Expand): Test {
  if (!wanted) throw noFilter(key);
  switch (key) {
    case "id":
      return ({ id }) => id.startsWith(value);
    case "name":
      return ({ name = "" }) => name.includes(value);
    case "volume":
      return ({ volumes }) => volumes.includes(value);
    case "status":
      if (!STATES.includes(value)) throw badFilter(key, value, `want one of ${STATES.join(", ")}`);
      return ({ running }) => value === (running ? "running" : "exited");
    case "exited":
      if (!isDigits(value)) throw badFilter(key, value, "want an exit status");
      return ({ exitCode }) => exitCode === Number(value);
    case "ancestor": {
      const { id } = findImage(store, storedName(store, expand, value));
      return ({ image }) => image === id;
    }
    default:
      throw noFilter(key);
  }
}

function sizeOf(store: Store, id: string): string {
  const upper = `${store.root}/containers/${id}/upper`;
  return humanSize(existsSync(upper) ? diskUsage(upper).bytes : 0);
}

function parseLast(text: string): number | undefined {
  const count = Number(parseInteger(text));
  if (count < -1) throw new BadValue("want how many");
  return count < 0 ? undefined : count;
}
