/** `tare system check`: whether the store is what its records say, and repairing it. */
import { openEngine } from "@tare/engine/engine.ts";
import { checkStore, type Finding } from "@tare/engine/system/check.ts";
import type { Command, Surroundings } from "./command.ts";
import { EXIT_FAILURE } from "./failure.ts";
import { BadValue } from "./flag.ts";
import { readLine, refuseWords } from "./read-line.ts";
import { parseSwitch } from "./values.ts";

const FLAGS = {
  format: { name: "format", arg: "json|text", help: "How to print", parse: parseFormat },
  quick: {
    name: "quick",
    short: "q",
    help: "Look only whether things are there, not what is in them",
    parse: parseSwitch,
  },
  repair: {
    name: "repair",
    short: "r",
    help: "Restore what can be, and remove images that cannot",
    parse: parseSwitch,
  },
} as const;

export const SYSTEM_CHECK = {
  summary: { name: "system check", usage: "", help: "Check the store against its records" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runSystemCheck,
} satisfies Command;

async function runSystemCheck(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(SYSTEM_CHECK, words, around);
  if (line === undefined) return 0;
  refuseWords("check", line.positionals);
  const { format, quick = false, repair = false } = line.values;
  const findings = await checkStore(openEngine(around.settings), { quick, repair });
  const print = format === "json" ? (each: Finding) => JSON.stringify(each) : toText;
  around.print(findings.map((finding) => `${print(finding)}\n`).join(""));
  const open = findings.filter(({ repaired }) => repaired === undefined);
  return open.length === 0 ? 0 : EXIT_FAILURE;
}

function toText({ message, repaired, failure }: Finding): string {
  if (repaired !== undefined) return `${message}: ${repaired}`;
  return failure === undefined ? message : `${message}; not repaired: ${failure}`;
}

function parseFormat(text: string): "json" | "text" {
  if (text === "json" || text === "text") return text;
  throw new BadValue("want json or text");
}
