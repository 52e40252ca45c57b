/** `tare version`. */

import manifest from "../../package.json" with { type: "json" };
import type { Command, Surroundings } from "./command.ts";
import { inspectFormatFlag, openTemplate } from "./format.ts";
import { readLine, refuseWords } from "./read-line.ts";

/** Of OCI. */
const SPEC = "1.3.0";
/** In Go's names. */
const ARCH = process.arch === "arm64" ? "arm64" : "amd64";

/** What a build carries is the version of its package. */
const FLAGS = { format: inspectFormatFlag("{{.Client.Version}}") } as const;

export const VERSION = {
  summary: { name: "version", usage: "", help: "Print versions" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: false,
  run: runVersion,
} satisfies Command;

async function runVersion(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(VERSION, words, around);
  if (line === undefined) return 0;
  refuseWords("print the version of", line.positionals);
  const { version } = manifest;
  const { format } = line.values;
  if (format === undefined) {
    around.print(`tare ${version}\nOCI runtime specification ${SPEC}\nBun ${Bun.version}\n`);
    return 0;
  }
  // Docker's shape: here one program is both.
  const one = {
    Version: version,
    Os: "linux",
    Arch: ARCH,
    RuntimeSpec: SPEC,
    BunVersion: Bun.version,
  };
  const all = { Client: one, Server: one };
  around.print(
    format === "json" ? `${JSON.stringify(all)}\n` : `${(await openTemplate(format))(all)}\n`,
  );
  return 0;
}
