/** What a bench file exports. */
import type { Contest, Verdict } from "./contest.ts";
import type { Place } from "./place.ts";
import type { Programs } from "./programs.ts";
import type { Rounds } from "./rounds.ts";

export type Surroundings = Place & {
  readonly programs: Programs;
  /** Only to see that it works: what is large may be left out. */
  readonly quick: boolean;
};

export type Prepared = {
  readonly contests: readonly (Contest | Rounds)[];
  /** Measured once, without time. */
  readonly facts?: readonly Verdict[];
  /** Measured once the contests are over. */
  readonly after?: () => readonly Verdict[] | Promise<readonly Verdict[]>;
  /** Ends what works for the contests. */
  readonly close?: () => Promise<void>;
  /** Why contests are left out. */
  readonly missing?: string;
};

export type Bench = {
  readonly name: string;
  /** Makes in the scratch directory what the contests need. */
  readonly prepare: (around: Surroundings) => Prepared | Promise<Prepared>;
};
