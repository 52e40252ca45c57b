/**
 * The runtime's command line, as runc's: global options, a command, its options and its words.
 * `--name value`, `--name=value` and one dash are the same. Pure.
 */

import { TareError } from "@tare/spec/error.ts";

/** Option names, each with whether it takes a value; short forms map to the long one. */
export type OptionTable = {
  readonly [name: string]: "flag" | "value" | { readonly short: string };
};

export type Arguments = {
  readonly options: ReadonlyMap<string, string>;
  readonly flags: ReadonlySet<string>;
  readonly words: readonly string[];
};

/**
 * Reads options until the first word that is none; with `mixed`, options may follow words, as
 * engines call `kill ID --all`. `--` ends the options.
 */
export function parseArguments(
  list: readonly string[],
  table: OptionTable,
  { mixed }: { readonly mixed: boolean },
): Arguments {
  const options = new Map<string, string>();
  const flags = new Set<string>();
  const words: string[] = [];
  for (let at = 0; at < list.length; at++) {
    const word = list[at] ?? "";
    if (word === "--") {
      words.push(...list.slice(at + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-" || isNegative(word)) {
      words.push(...(mixed ? [word] : list.slice(at)));
      if (!mixed) break;
      continue;
    }
    const { name, value } = split(word, table);
    if (table[name] === "value") {
      const given = value ?? list[++at];
      if (given === undefined) throw wrong(`option --${name} wants a value`);
      options.set(name, given);
    } else if (value !== undefined && value !== "true" && value !== "false") {
      throw wrong(`option --${name} takes no value`);
    } else if (value !== "false") flags.add(name);
  }
  return { options, flags, words };
}

/** `-9` is a signal of `kill`, not an option. */
function isNegative(word: string): boolean {
  const digit = word.charCodeAt(1);
  return digit >= 0x30 && digit <= 0x39;
}

function split(word: string, table: OptionTable): { name: string; value: string | undefined } {
  const bare = word.startsWith("--") ? word.slice(2) : word.slice(1);
  const equals = bare.indexOf("=");
  const given = equals < 0 ? bare : bare.slice(0, equals);
  const entry = Object.hasOwn(table, given) ? table[given] : undefined;
  const name = typeof entry === "object" ? entry.short : given;
  if (entry === undefined) throw wrong(`unknown option "${word}"`);
  return { name, value: equals < 0 ? undefined : bare.slice(equals + 1) };
}

function wrong(why: string): TareError {
  return new TareError("bad_input", `Cannot read the command line: ${why}`, {
    hint: "See tare-runtime --help",
  });
}
