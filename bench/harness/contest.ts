/**
 * A contest: ours against another program at the same work, in pairs. Both of a pair run one right
 * after the other, in an order thrown for each pair, so that what disturbs the machine disturbs both.
 */
import type { Measure, Sample } from "./measure.ts";
import { type Interval, median, signInterval } from "./statistics.ts";

export type Side = {
  readonly label: string;
  /** Of one measurement. */
  readonly words: readonly string[];
};

/** What may be at most; each is judged by the median, none fails the run. */
export type Bars = {
  /** Ours divided by the peer's. */
  readonly wallRatio?: number;
  readonly peakRatio?: number;
  /** Ours minus the peer's. */
  readonly wallAboveMs?: number;
  readonly peakKiB?: number;
};

export type Contest = {
  readonly name: string;
  readonly ours: Side;
  readonly peer: Side;
  readonly bars: Bars;
  /** Of the full run. */
  readonly pairs: number;
  /** One measurement is long: to see that it works, a single pair is enough. */
  readonly isLong?: true;
  /** Before each pair, not measured. */
  readonly before?: () => void;
};

type Judged = Pick<Contest, "name" | "ours" | "peer" | "bars">;

export type Figures = {
  readonly label: string;
  readonly wallMs: number;
  readonly wallMsMin: number;
  readonly cpuMs: number;
  readonly peakKiB: number;
};

export type Outcome = {
  readonly name: string;
  readonly pairs: number;
  readonly ours: Figures;
  readonly peer: Figures;
  /** Over the pairs. */
  readonly wallRatio: Interval;
  readonly cpuRatio: Interval;
  readonly wallAboveMs: Interval;
  readonly verdicts: readonly Verdict[];
};

export type Verdict = {
  readonly what: string;
  readonly value: number;
  readonly atMost: number;
  readonly met: boolean;
};

export type Pair = { readonly ours: Sample; readonly peer: Sample };

/**
 * Runs a contest. The first `warmUps` pairs fill caches and are thrown away.
 * @param random between 0 and 1, for the order within a pair
 */
export function runContest(
  contest: Contest,
  options: { readonly pairs: number; readonly warmUps: number },
  world: { readonly measure: Measure; readonly random: () => number },
): Outcome {
  const pairs: Pair[] = [];
  for (let index = 0; index < options.warmUps + options.pairs; index++) {
    contest.before?.();
    const pair = runPair(contest, world);
    if (index >= options.warmUps) pairs.push(pair);
  }
  return judge(contest, pairs);
}

function runPair(
  { ours, peer }: Contest,
  world: { readonly measure: Measure; readonly random: () => number },
): Pair {
  const measure = (side: Side): Sample => world.measure(side.words);
  if (world.random() < 0.5) {
    const first = measure(ours);
    return { ours: first, peer: measure(peer) };
  }
  const first = measure(peer);
  return { ours: measure(ours), peer: first };
}

/** What the pairs say. */
export function judge(contest: Judged, pairs: readonly Pair[]): Outcome {
  const over = (of: (pair: Pair) => number): Interval => signInterval(pairs.map(of));
  const measured = {
    name: contest.name,
    pairs: pairs.length,
    ours: figures(
      contest.ours,
      pairs.map(({ ours }) => ours),
    ),
    peer: figures(
      contest.peer,
      pairs.map(({ peer }) => peer),
    ),
    wallRatio: over(({ ours, peer }) => ours.wallMs / peer.wallMs),
    cpuRatio: over(({ ours, peer }) => ours.cpuMs / peer.cpuMs),
    wallAboveMs: over(({ ours, peer }) => ours.wallMs - peer.wallMs),
  };
  return { ...measured, verdicts: verdictsOf(contest.bars, measured) };
}

function figures({ label }: Side, samples: readonly Sample[]): Figures {
  const walls = samples.map(({ wallMs }) => wallMs);
  return {
    label,
    wallMs: median(walls),
    wallMsMin: Math.min(...walls),
    cpuMs: median(samples.map(({ cpuMs }) => cpuMs)),
    peakKiB: median(samples.map(({ peakKiB }) => peakKiB)),
  };
}

function verdictsOf(bars: Bars, outcome: Omit<Outcome, "verdicts">): Verdict[] {
  const rows: [what: string, value: number, atMost: number | undefined][] = [
    ["wall time, ratio", outcome.wallRatio.median, bars.wallRatio],
    ["peak memory, ratio", outcome.ours.peakKiB / outcome.peer.peakKiB, bars.peakRatio],
    ["wall time above, ms", outcome.wallAboveMs.median, bars.wallAboveMs],
    ["peak memory, KiB", outcome.ours.peakKiB, bars.peakKiB],
  ];
  return rows.flatMap(([what, value, atMost]) =>
    atMost === undefined ? [] : [{ what, value, atMost, met: value <= atMost }],
  );
}
