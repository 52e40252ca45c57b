/**
 * A flag is one object: the parser, the help text and the parity test derive from it.
 * The grammar is that of Docker's own parser (pflag): `-itv a:b`, `-p=80`, `--rm=false`, `-m512m`,
 * negative values, and for `run` everything from the first positional on belongs to the container.
 * A general library was measured at 8 ms of start-up, as much as the rest of the program.
 */
import { TareError } from "@tare/spec/error.ts";

export type Flag<T = unknown> = {
  /** Long name, without dashes. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** Another long name for the same flag; not in the help. */
  readonly alias?: string;
  /** What the value is called in the help; absent: a switch. */
  readonly arg?: string;
  readonly help: string;
  /** The flag may come many times and its value is the list. */
  readonly repeat?: boolean;
  /** From the words of the command line; throws a sentence without subject, such as "want a number". */
  readonly parse: (text: string) => T;
};

export type FlagTable = Readonly<Record<string, Flag>>;

/** What a table's parse gives: lists for repeated flags, undefined for absent ones. */
export type FlagValues<F extends FlagTable> = {
  readonly [K in keyof F]: F[K] extends { readonly repeat: true }
    ? readonly ReturnType<F[K]["parse"]>[]
    : ReturnType<F[K]["parse"]> | undefined;
};

export type ParsedLine<F extends FlagTable> = {
  readonly values: FlagValues<F>;
  readonly positionals: readonly string[];
  readonly help: boolean;
};

export type LineRules = {
  /** False: the first positional ends the flags, what follows belongs to the container. */
  readonly interspersed: boolean;
  /** `-h` asks for help; not where it is a flag of its own. */
  readonly shortHelp: boolean;
};

/** A flag that a command does not have, as it is written. */
export class UnknownFlag extends TareError {
  readonly flag: string;

  /** `nearest` is what to use instead, where Docker has the flag. */
  constructor(flag: string, nearest?: string, hint = "--help lists the flags") {
    const why = nearest === undefined ? "there is no such flag" : "tare has no such flag yet";
    super("bad_input", `Cannot read flag "${flag}": ${why}`, { hint: nearest ?? hint });
    this.flag = flag;
  }
}

/** Refusal of one value; the parser adds which flag and which text. */
export class BadValue extends Error {}

/**
 * Parses the words after the command's name.
 * @throws TareError `bad_input`, naming the flag and the word.
 */
export function parseLine<F extends FlagTable>(
  flags: F,
  words: readonly string[],
  rules: LineRules,
): ParsedLine<F> {
  const cursor = new Cursor(flags, words, rules);
  const positionals: string[] = [];
  while (!cursor.atEnd()) {
    const word = cursor.take();
    if (word === "--") {
      positionals.push(...cursor.rest());
    } else if (!word.startsWith("-") || word === "-") {
      positionals.push(word);
      if (!rules.interspersed) positionals.push(...cursor.rest());
    } else if (word.startsWith("--")) {
      cursor.long(word.slice(2));
    } else {
      cursor.shorts(word.slice(1));
    }
  }
  return { values: cursor.values() as FlagValues<F>, positionals, help: cursor.help };
}

class Cursor {
  help = false;
  readonly #flags: FlagTable;
  readonly #words: readonly string[];
  readonly #rules: LineRules;
  readonly #values = new Map<string, unknown>();
  #next = 0;

  constructor(flags: FlagTable, words: readonly string[], rules: LineRules) {
    this.#flags = flags;
    this.#words = words;
    this.#rules = rules;
    for (const [key, flag] of Object.entries(flags)) if (flag.repeat) this.#values.set(key, []);
  }

  atEnd(): boolean {
    return this.#next >= this.#words.length;
  }

  take(): string {
    return this.#words[this.#next++] ?? "";
  }

  rest(): readonly string[] {
    const rest = this.#words.slice(this.#next);
    this.#next = this.#words.length;
    return rest;
  }

  values(): unknown {
    return Object.fromEntries(this.#values);
  }

  long(word: string): void {
    const at = word.indexOf("=");
    const name = at < 0 ? word : word.slice(0, at);
    if (name === "help") {
      this.help = true;
      return;
    }
    const entry = this.#find((flag) => flag.name === name || flag.alias === name, `--${name}`);
    this.#set(entry, `--${name}`, at < 0 ? undefined : word.slice(at + 1));
  }

  /** `-it`, `-itv a:b`, `-p8080:80`, `-p=8080:80`: the first flag that takes a value ends the group. */
  shorts(letters: string): void {
    for (let at = 0; at < letters.length; at++) {
      const letter = letters[at] ?? "";
      if (letter === "h" && this.#rules.shortHelp) {
        this.help = true;
        continue;
      }
      const entry = this.#find((flag) => flag.short === letter, `-${letter}`);
      const after = letters.slice(at + 1);
      const attached = after.startsWith("=") ? after.slice(1) : after;
      const takesRest = entry[1].arg !== undefined || after.startsWith("=");
      this.#set(entry, `-${letter}`, takesRest && after !== "" ? attached : undefined);
      if (takesRest) return;
    }
  }

  #find(matches: (flag: Flag) => boolean, shown: string): readonly [string, Flag] {
    const entry = Object.entries(this.#flags).find(([, flag]) => matches(flag));
    if (entry !== undefined) return entry;
    throw new UnknownFlag(shown);
  }

  #set(entry: readonly [string, Flag], shown: string, given: string | undefined): void {
    const [key, flag] = entry;
    const text = given ?? (flag.arg === undefined ? "true" : this.#nextValue(shown));
    const value = parseValue(flag, shown, text);
    const before = this.#values.get(key);
    this.#values.set(key, flag.repeat && Array.isArray(before) ? [...before, value] : value);
  }

  #nextValue(shown: string): string {
    if (!this.atEnd()) return this.take();
    throw new TareError("bad_input", `Cannot read flag "${shown}": its value is missing`);
  }
}

function parseValue(flag: Flag, shown: string, text: string): unknown {
  try {
    return flag.parse(text);
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    throw new TareError("bad_input", `Cannot use ${shown} "${text}": ${error.message}`, {
      cause: error,
    });
  }
}
