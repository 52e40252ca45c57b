/**
 * The runtime's command line, as runc's: global options, a command, its options and its words.
 * `--name value`, `--name=value` and one dash are the same. Pure.
 */

import { TareError } from "@tare/spec/error.ts";

/**
 * Option names, each with whether it takes a value, and whether it may be given many times; short
 * forms map to the long one.
 */
export type OptionTable = {
  readonly [name: string]: "flag" | "value" | "list" | { readonly short: string };
};

export type Arguments = {
  /** Whose they are: a command's name; absent for the global ones. */
  readonly command?: string;
  /** The last value of each option that has one. */
  readonly options: ReadonlyMap<string, string>;
  /** All values of each option of kind "list", in the order given. */
  readonly lists: ReadonlyMap<string, readonly string[]>;
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
  { mixed, command }: { readonly mixed: boolean; readonly command?: string },
): Arguments {
  const own = command === undefined ? {} : { command };
  const found: Found = { ...own, options: new Map(), lists: new Map(), flags: new Set() };
  const words: string[] = [];
  const ahead = [...list];
  for (let word = ahead.shift(); word !== undefined; word = ahead.shift()) {
    if (isOption(word))
      for (const one of ungroup(word, table)) takeOption(found, table, one, ahead);
    else if (word === "--") return { ...found, words: [...words, ...ahead] };
    else if (mixed) words.push(word);
    else return { ...found, words: [word, ...ahead] };
  }
  return { ...found, words };
}

type Found = {
  readonly command?: string;
  readonly options: Map<string, string>;
  readonly lists: Map<string, string[]>;
  readonly flags: Set<string>;
};

function isOption(word: string): boolean {
  return word.startsWith("-") && word !== "-" && word !== "--" && !isNegative(word);
}

/** Takes one option, and its value from the words ahead where it stands there. */
function takeOption(found: Found, table: OptionTable, word: string, ahead: string[]): void {
  const { name, value } = split(word, table, found);
  const kind = table[name];
  if (kind === "value" || kind === "list") {
    const given = value ?? ahead.shift();
    // Podman looks for these words, runc's, to learn whether `restore` has an option.
    if (given === undefined) throw wrong(`flag needs an argument: --${name}`, found);
    if (kind === "value") found.options.set(name, given);
    else found.lists.set(name, [...(found.lists.get(name) ?? []), given]);
    return;
  }
  if (value !== undefined && value !== "true" && value !== "false") {
    throw wrong(`option --${name} takes no value`, found);
  }
  if (value !== "false") found.flags.add(name);
}

/** `-td` means `-t -d`, where each letter is an option of its own and the whole is none. */
function ungroup(word: string, table: OptionTable): readonly string[] {
  const letters = word.slice(1);
  if (word.startsWith("--") || letters.length < 2 || Object.hasOwn(table, letters)) return [word];
  const isGroup = [...letters].every((letter) => Object.hasOwn(table, letter));
  return isGroup ? [...letters].map((letter) => `-${letter}`) : [word];
}

/** `-9` is a signal of `kill`, not an option. */
function isNegative(word: string): boolean {
  const digit = word.charCodeAt(1);
  return digit >= 0x30 && digit <= 0x39;
}

function split(
  word: string,
  table: OptionTable,
  found: Found,
): { name: string; value: string | undefined } {
  const bare = word.startsWith("--") ? word.slice(2) : word.slice(1);
  const equals = bare.indexOf("=");
  const given = equals < 0 ? bare : bare.slice(0, equals);
  const entry = Object.hasOwn(table, given) ? table[given] : undefined;
  const name = typeof entry === "object" ? entry.short : given;
  if (entry === undefined) throw wrong(`unknown option "${word}"`, found);
  return { name, value: equals < 0 ? undefined : bare.slice(equals + 1) };
}

function wrong(why: string, { command }: Found): TareError {
  return new TareError("bad_input", `Cannot read the command line: ${why}`, {
    hint: seeHelp(command),
  });
}

/** Where the words of a command, or the global options, are described. */
export function seeHelp(command?: string): string {
  return command === undefined ? "See tare-runtime --help" : `See tare-runtime ${command} --help`;
}
