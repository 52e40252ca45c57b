/** What a part of the runtime's command line offers: its commands by name. */

import type { Arguments, OptionTable } from "./arguments.ts";
import type { Context } from "./context.ts";

export type Command = {
  readonly options: OptionTable;
  /**
   * Whether options may follow words, as engines call `kill ID --all`; else everything from the
   * first word on is as it is, as `exec ID sh -c true` wants it.
   */
  readonly mixed: boolean;
  /** How many words it takes at most; undefined: any number. */
  readonly words?: number;
  /** Refuses words that cannot be read: that ends with 1, whatever `failure` is. */
  readonly check?: (args: Arguments) => void;
  /** The exit status of an error; undefined: 1, or a shell's where a program cannot be executed. */
  readonly failure?: number;
  /** The answer is the exit status. */
  readonly run: (context: Context) => number;
};

export type Commands = { readonly [name: string]: Command };
