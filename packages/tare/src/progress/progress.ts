/**
 * How transfers show: a bar for each part on a terminal, plain lines without one, or JSON. The words are
 * Docker's, which people and scripts know.
 */

/** One part, such as a layer. */
export type PartState = {
  /** Such as the first twelve digits of a digest. */
  readonly id: string;
  /** Such as `Downloading`. */
  readonly status: string;
  /** Bytes, while they move. */
  readonly current?: number;
  readonly total?: number;
};

export type Progress = {
  /** A whole line about no part, such as the digest at the end. */
  readonly line: (text: string) => void;
  /** What a part does now. */
  readonly part: (state: PartState) => void;
  /** All is over, well or not: what is shown stays. */
  readonly end: () => void;
};

export type ProgressStyle = "tty" | "plain" | "json" | "quiet";

/** Where it goes, and how wide and high that is. */
export type Screen = {
  readonly write: (text: string) => void;
  readonly size: () => { readonly columns: number; readonly rows: number };
};

/** Says nothing. */
export const SILENT: Progress = { line: () => {}, part: () => {}, end: () => {} };
