/** `tare image inspect`: all that the store knows of images. */
import { openEngine } from "@tare/engine/engine.ts";
import { inspectImage } from "@tare/engine/image/inspect.ts";
import type { Command, Surroundings } from "./command.ts";
import { EXIT_FAILURE, printFailure } from "./failure.ts";
import { printInspected, type Row } from "./format.ts";
import { readLine, wantWords } from "./read-line.ts";
import { parseText } from "./values.ts";

const FLAGS = {
  format: {
    name: "format",
    short: "f",
    arg: "TEMPLATE",
    help: "How to print: json, or a template such as '{{.Id}}'",
    parse: parseText,
  },
} as const;

export const IMAGE_INSPECT = {
  summary: {
    name: "image inspect",
    usage: "IMAGE [IMAGE...]",
    help: "Show all that is known of images",
  },
  flags: FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runInspect,
} satisfies Command;

/** Those that are there are printed, whatever is not. */
async function runInspect(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(IMAGE_INSPECT, words, around);
  if (line === undefined) return 0;
  const limits = { least: 1, most: 10_000 };
  const names = wantWords("image inspect", line.positionals, limits, "IMAGE [IMAGE...]");
  const { store } = openEngine(around.settings);
  const found: Row[] = [];
  let status = 0;
  for (const name of names) {
    try {
      found.push(inspectImage(store, name));
    } catch (error) {
      around.complain(printFailure(error));
      status = EXIT_FAILURE;
    }
  }
  around.print(printInspected(line.values.format, found));
  return status;
}
