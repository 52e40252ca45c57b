/**
 * What a conformance suite is to us: somebody else's tests in a checkout that a variable points at,
 * run against a runtime, one verdict a test. Suite code is not in this repository.
 */

export type Verdict = "pass" | "fail" | "skip";

export type Result = {
  /** The suite's own file or program, without directory and ending. */
  readonly file: string;
  readonly test: string;
  readonly verdict: Verdict;
  /** Why it failed or was skipped, in the suite's words; may be empty. */
  readonly detail: string;
};

export type Round = {
  /** Absolute path of the suite's checkout. */
  readonly checkout: string;
  /** Absolute path of the OCI runtime under test. */
  readonly runtime: string;
  /** An empty directory for this round, removed after it; everyone may enter it. */
  readonly work: string;
  /** A directory for complete outputs, which stay. */
  readonly logs: string;
  /** Files of the suite to run; none: all. */
  readonly files: readonly string[];
};

export type Suite = {
  readonly name: string;
  /** Whose it is. */
  readonly title: string;
  /** The environment variable with the checkout's path. */
  readonly variable: string;
  /** What is missing in the checkout or on the machine, as a sentence; undefined: nothing. */
  readonly lacks: (checkout: string) => string | undefined;
  /** Answers each file's results when the file has ended. */
  readonly run: (round: Round) => AsyncGenerator<readonly Result[]>;
};

/** The files a round asks for, in the suite's order; throws for one that the suite has not. */
export function chosenFiles(all: readonly string[], wanted: readonly string[]): readonly string[] {
  const unknown = wanted.find((name) => !all.includes(name));
  if (unknown !== undefined) throw new Error(`Cannot run the file "${unknown}": no such file`);
  return wanted.length === 0 ? all : all.filter((name) => wanted.includes(name));
}
