/**
 * What a command of the CLI is, and the surroundings it may use. `src/bin/tare.ts` is the only
 * place that touches the process; everything else gets them from here.
 */
import type { EngineSettings } from "@tare/engine/engine.ts";
import type { FlagTable } from "./flag.ts";

export type Surroundings = {
  readonly env: ReadonlyMap<string, string>;
  /** The current directory. */
  readonly directory: string;
  /** Directory of the executable, where the other programs are. */
  readonly programs: string;
  readonly settings: EngineSettings;
  /** The file that says how registries are reached, where the command line names one. */
  readonly registriesFile?: string;
  /** Docker's directory, with passwords of registries, where the command line names one. */
  readonly dockerDirectory?: string;
  readonly isTerminal: (fd: 0 | 1 | 2) => Promise<boolean>;
  /** The caller's user id. */
  readonly uid: number;
  /** To standard output; on a terminal what would steer it is escaped. */
  readonly print: (text: string) => void;
  /** To standard output as it is: text of ours, which steers a terminal. */
  readonly draw: (text: string) => void;
  readonly complain: (text: string) => void;
  /** Calls back for each signal that should reach the container instead of us. */
  readonly onSignal: (handler: (signal: NodeJS.Signals) => void) => void;
};

/** What the help needs to know of a command, without loading it. */
export type CommandSummary = {
  readonly name: string;
  /** Words after the flags. */
  readonly usage: string;
  readonly help: string;
};

export type Command = {
  readonly summary: CommandSummary;
  readonly flags: FlagTable;
  /** False: flags end at the first word that is none. */
  readonly interspersed: boolean;
  /** Whether it works on the store, which is root's. */
  readonly needsRoot: boolean;
  /** Runs with the words after the command's name; answers the exit status. */
  readonly run: (words: readonly string[], around: Surroundings) => Promise<number>;
};
