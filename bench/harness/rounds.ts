/**
 * Ours against several others at long work: in each round everybody does it once, one right after the other,
 * in an order thrown for each round. There are as many rounds as fit into a number of seconds.
 *
 * What only some make durable before they end is measured twice in one go: until the command ends, and
 * until the file system is written back.
 */
import { type Bars, judge, type Outcome, type Pair, type Side } from "./contest.ts";
import { LAP, type Measure, type Sample } from "./measure.ts";

export type Runner = Side & {
  /** Processor time until now, in milliseconds, of daemons that do the work. */
  readonly elsewhereCpuMs?: () => number;
};

export type Rival = Runner & {
  /** In the row's name. */
  readonly name: string;
  readonly bars: Bars;
  /** Of the row in which both are written back; bars on memory are no matter of it. */
  readonly syncedBars?: Bars;
};

export type Rounds = {
  readonly name: string;
  readonly ours: Runner;
  readonly rivals: readonly Rival[];
  /** No round begins that would end later than this, but for the first two. */
  readonly budgetMs: number;
  /** A directory of the file system to be written back behind each command. */
  readonly sync?: string;
  /** Before the first round. */
  readonly prepare?: () => Promise<void>;
  /** Before each of a round, not measured. */
  readonly before?: () => Promise<void>;
};

type World = {
  readonly measure: Measure;
  readonly random: () => number;
  /** Milliseconds, of any origin. */
  readonly now: () => number;
};

const ROUNDS_MIN = 2;

/** Runs them; a row a rival, two where the disk is waited for. @param most rounds */
export async function runRounds(rounds: Rounds, most: number, world: World): Promise<Outcome[]> {
  await rounds.prepare?.();
  const runners: readonly Runner[] = [rounds.ours, ...rounds.rivals];
  const taken: ReadonlyMap<Runner, Sample>[] = [];
  const began = world.now();
  for (let last = 0; taken.length < most; ) {
    const start = world.now();
    const isOver = start - began + last > rounds.budgetMs;
    if (isOver && taken.length >= ROUNDS_MIN) break;
    taken.push(await runRound(rounds, runners, world));
    last = world.now() - start;
  }
  return rounds.rivals.flatMap((rival) => judgeRival(rounds, rival, taken));
}

async function runRound(
  rounds: Rounds,
  runners: readonly Runner[],
  { measure, random }: World,
): Promise<ReadonlyMap<Runner, Sample>> {
  const samples = new Map<Runner, Sample>();
  for (const runner of thrown(runners, random)) {
    await rounds.before?.();
    const sync = rounds.sync === undefined ? [] : [LAP, "sync", "-f", rounds.sync];
    const before = runner.elsewhereCpuMs?.() ?? 0;
    const sample = measure([...runner.words, ...sync]);
    samples.set(runner, withCpu(sample, (runner.elsewhereCpuMs?.() ?? 0) - before));
  }
  return samples;
}

function withCpu(sample: Sample, more: number): Sample {
  const { lap } = sample;
  const laps = lap === undefined ? {} : { lap: { ...lap, cpuMs: lap.cpuMs + more } };
  return { ...sample, cpuMs: sample.cpuMs + more, ...laps };
}

/** In any order, each as likely (Fisher and Yates). */
function thrown<T>(items: readonly T[], random: () => number): T[] {
  const left = [...items];
  return items.flatMap(() => left.splice(Math.floor(random() * left.length), 1));
}

function judgeRival(
  { name, ours, sync }: Rounds,
  rival: Rival,
  taken: readonly ReadonlyMap<Runner, Sample>[],
): Outcome[] {
  const pairs: Pair[] = taken.flatMap((round) => {
    const [mine, theirs] = [round.get(ours), round.get(rival)];
    return mine === undefined || theirs === undefined ? [] : [{ ours: mine, peer: theirs }];
  });
  const row = { name: `${name}, ${rival.name}`, ours, peer: rival };
  if (sync === undefined) return [judge({ ...row, bars: rival.bars }, pairs)];
  const ended = pairs.map(({ ours: mine, peer }) => ({
    ours: untilLap(mine),
    peer: untilLap(peer),
  }));
  const synced = { ...row, name: `${row.name}, written back`, bars: rival.syncedBars ?? {} };
  return [judge({ ...row, bars: rival.bars }, ended), judge(synced, pairs)];
}

function untilLap(sample: Sample): Sample {
  return { ...sample, ...sample.lap };
}
