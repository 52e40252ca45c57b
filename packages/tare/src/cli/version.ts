/** `tare version`. */

import manifest from "../../package.json" with { type: "json" };
import type { Command, Surroundings } from "./command.ts";
import { readLine, refuseWords } from "./read-line.ts";

/** What a build carries is the version of its package. */
export const VERSION: Command = {
  summary: { name: "version", usage: "", help: "Print versions" },
  flags: {},
  interspersed: true,
  needsRoot: false,
  run: runVersion,
};

async function runVersion(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(VERSION, words, around);
  if (line === undefined) return 0;
  refuseWords("print the version of", line.positionals);
  around.print(`tare ${manifest.version}\nOCI runtime specification 1.3.0\nBun ${Bun.version}\n`);
  return 0;
}
