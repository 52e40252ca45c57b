/** `tare history`: how an image was made, step by step. */
import { openEngine } from "@tare/engine/engine.ts";
import { shortDigest } from "@tare/engine/image/digest.ts";
import { type HistoryStep, imageHistory } from "@tare/engine/image/inspect.ts";
import type { Command, Surroundings } from "./command.ts";
import { oneLine } from "./failure.ts";
import type { FlagValues } from "./flag.ts";
import { type Listing, listFormatFlag, printListing } from "./format.ts";
import { readLine, wantWords } from "./read-line.ts";
import { storedNames } from "./short-names.ts";
import { ago, humanSize } from "./table.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  format: listFormatFlag("{{.CreatedBy}}"),
  human: {
    name: "human",
    short: "H",
    help: "Sizes and times for people (default true)",
    parse: parseSwitch,
  },
  noTrunc: { name: "no-trunc", help: "Cut nothing off", parse: parseSwitch },
  quiet: { name: "quiet", short: "q", help: "Show only ids", parse: parseSwitch },
} as const;

export const HISTORY = {
  summary: { name: "history", usage: "IMAGE", help: "Show how an image was made" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runHistory,
} satisfies Command;

type Values = FlagValues<typeof FLAGS>;

/** As Docker calls what is no image here. */
const MISSING = "<missing>";
const COMMAND_LENGTH = 45;

async function runHistory(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(HISTORY, words, around);
  if (line === undefined) return 0;
  const limits = { least: 1, most: 1 };
  const [word = ""] = wantWords("history", line.positionals, limits, "IMAGE");
  const { store } = openEngine(around.settings);
  const [name = ""] = await storedNames(around, store, [word]);
  const steps = imageHistory(store, name);
  around.print(await printHistory(steps, line.values, Date.now()));
  return 0;
}

type HistoryRow = ReturnType<typeof toRow>;

const TITLES: Listing<HistoryRow>["titles"] = {
  ID: "IMAGE",
  CreatedSince: "CREATED",
  CreatedAt: "CREATED AT",
  CreatedBy: "CREATED BY",
  Size: "SIZE",
  Comment: "COMMENT",
  Tags: "TAGS",
};

/** The whole output for some steps. */
export async function printHistory(
  steps: readonly HistoryStep[],
  values: Values,
  nowMs: number,
): Promise<string> {
  const rows = steps.map((step) => toRow(step, values, nowMs));
  if (values.quiet) return rows.map((row) => `${row.ID}\n`).join("");
  const created = values.human === false ? "CreatedAt" : "CreatedSince";
  const columns = ["ID", created, "CreatedBy", "Size", "Comment"] as const;
  return await printListing(values.format, rows, { titles: TITLES, columns });
}

function toRow(step: HistoryStep, values: Values, nowMs: number) {
  const id = step.id === undefined ? MISSING : step.id;
  const isShort = values.noTrunc !== true;
  const command = oneLine(step.createdBy);
  const isLong = isShort && command.length > COMMAND_LENGTH;
  return {
    Comment: oneLine(step.comment),
    CreatedAt: step.created,
    CreatedBy: isLong ? `${command.slice(0, COMMAND_LENGTH - 1)}…` : command,
    CreatedSince: step.created === "" ? "N/A" : ago(step.created, nowMs),
    ID: isShort && step.id !== undefined ? shortDigest(step.id) : id,
    Size: values.human === false ? `${step.size}` : humanSize(step.size),
    Tags: step.tags.join(", "),
  };
}
