/** The first step of every command: its words, or its help where that was asked for. */
import { TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import { type FlagTable, type ParsedLine, parseLine } from "./flag.ts";
import { commandHelp } from "./help.ts";

/** The parsed words; undefined where the help was printed and nothing is left to do. */
export function readLine<F extends FlagTable>(
  command: Command & { readonly flags: F },
  words: readonly string[],
  around: Surroundings,
): ParsedLine<F> | undefined {
  const rules = { interspersed: command.interspersed, shortHelp: true };
  const line = parseLine(command.flags, words, rules);
  if (!line.help) return line;
  around.print(commandHelp(command));
  return undefined;
}

/** @throws TareError `bad_input` where a command that takes no words got some. */
export function refuseWords(what: string, positionals: readonly string[]): void {
  const [word] = positionals;
  if (word === undefined) return;
  throw new TareError("bad_input", `Cannot ${what} "${word}": no name is wanted here`);
}

/**
 * The words of a command that takes so many.
 * @throws TareError `bad_input`, with how the command is written
 */
export function wantWords(
  command: string,
  positionals: readonly string[],
  { least, most }: { readonly least: number; readonly most: number },
  usage: string,
): readonly string[] {
  const count = positionals.length;
  if (count >= least && count <= most) return positionals;
  const wanted = least === most ? `${least}` : `${least} to ${most}`;
  const words = wanted === "1" ? "word" : "words";
  throw new TareError(
    "bad_input",
    `Cannot run "${command}": want ${wanted} ${words}, got ${count}`,
    {
      hint: `tare ${command} ${usage}`,
    },
  );
}
