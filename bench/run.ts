/**
 * `bun bench/run.ts [--quick] [--out FILE] [--peers DIR] [--only NAME]...`: measures ours against its
 * peers, prints tables and writes JSON lines as it goes. Needs root, gcc, a build in dist/ and the peers, which
 * come from DIR before PATH. docs/performance.md says what is measured. A bar that is not met fails nothing: a busy machine is no fault of the code.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { requireRoot } from "../tests/harness/places.ts";
import { CROWD } from "./crowd.bench.ts";
import type { Bench, Surroundings } from "./harness/bench.ts";
import { type Contest, type Outcome, runContest, type Verdict } from "./harness/contest.ts";
import { type Measure, openMeasure } from "./harness/measure.ts";
import { commit, currentPlace, furnish, type Place, runInPlace } from "./harness/place.ts";
import { describeMachine, findPrograms } from "./harness/programs.ts";
import { isWhole, type Line, type Result, toJsonLine, toTable } from "./harness/report.ts";
import { type Rounds, runRounds } from "./harness/rounds.ts";
import { IMAGES } from "./image.bench.ts";
import { RUN } from "./run.bench.ts";
import { START } from "./start.bench.ts";
import { STORE } from "./store.bench.ts";

const BENCHES: readonly Bench[] = [START, RUN, CROWD, IMAGES, STORE];
const WARM_UPS = 3;
const QUICK_PAIRS = 6;
const ROUNDS_MAX = 20;

type Options = {
  readonly quick: boolean;
  readonly out: string | undefined;
  readonly peers: string | undefined;
  readonly only: readonly string[];
};

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      out: { type: "string" },
      peers: { type: "string" },
      only: { type: "string", multiple: true, default: [] },
    },
  });
  const unknown = values.only.find((name) => !BENCHES.some((bench) => bench.name === name));
  if (unknown !== undefined) throw new Error(`Cannot run bench "${unknown}": there is none`);
  return { quick: values.quick, out: values.out, peers: values.peers, only: values.only };
}

type Session = { readonly around: Surroundings; readonly measure: Measure; readonly out: string };

async function runInside(place: Place, options: Options, out: string): Promise<void> {
  const began = performance.now();
  await furnish();
  const measure = await openMeasure(place.scratch);
  const programs = findPrograms(place.scratch, options.peers);
  const session = { around: { ...place, programs, quick: options.quick }, measure, out };
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, "");
  write(session, {
    kind: "run",
    date: new Date().toISOString(),
    commit: await commit(),
    quick: options.quick,
    machine: await describeMachine(programs),
  });
  for (const bench of BENCHES) {
    if (options.only.length > 0 && !options.only.includes(bench.name)) continue;
    console.log(toTable(await runBench(bench, session)));
  }
  write(session, { kind: "end", seconds: (performance.now() - began) / 1000 });
  console.log(`Written to ${out}`);
}

/** A row of the file is whole, whatever happens after it. */
function write({ out }: Session, line: Line): void {
  appendFileSync(out, toJsonLine(line));
}

async function runBench({ name, prepare }: Bench, session: Session): Promise<Result> {
  const outcomes: Outcome[] = [];
  const facts: Verdict[] = [];
  let missing: string | undefined;
  let close: (() => Promise<void>) | undefined;
  const learn = (learnt: readonly Verdict[] = []) => {
    facts.push(...learnt);
    for (const fact of learnt) write(session, { kind: "fact", bench: name, ...fact });
  };
  try {
    const prepared = await prepare(session.around);
    ({ missing, close } = prepared);
    learn(prepared.facts);
    for (const contest of prepared.contests) {
      for (const outcome of await measured(contest, session)) {
        outcomes.push(outcome);
        write(session, { kind: "contest", bench: name, ...outcome });
      }
    }
    learn(await prepared.after?.());
  } catch (error) {
    // What was measured before stays; the exit status tells.
    process.exitCode = 1;
    missing = String(error);
  } finally {
    await close?.();
  }
  if (missing !== undefined) write(session, { kind: "missing", bench: name, why: missing });
  return { bench: name, outcomes, facts, ...(missing === undefined ? {} : { missing }) };
}

async function measured(
  contest: Contest | Rounds,
  { around: { quick }, measure }: Session,
): Promise<Outcome[]> {
  const random = Math.random;
  if ("rivals" in contest) {
    const now = () => performance.now();
    return await runRounds(contest, quick ? 1 : ROUNDS_MAX, { measure, random, now });
  }
  const quickPairs = contest.isLong === true ? 1 : QUICK_PAIRS;
  const pairs = quick ? quickPairs : contest.pairs;
  const warmUps = contest.isLong === true ? 0 : WARM_UPS;
  const length = { pairs, warmUps: quick ? Math.min(warmUps, 1) : warmUps };
  return [runContest(contest, length, { measure, random })];
}

/** Quick results prove nothing but that the benches run: git ignores them. */
async function defaultFile(quick: boolean): Promise<string> {
  const file = `${new Date().toISOString().slice(0, 16).replace(":", "")}-${await commit()}.jsonl`;
  return join(import.meta.dir, quick ? "out" : "results", file);
}

/** Says so in a file that was begun and not ended; who was killed could not. */
function markIfStopped(out: string, why: string): void {
  if (!existsSync(out) || isWhole(readFileSync(out, "utf8"))) return;
  appendFileSync(out, toJsonLine({ kind: "stopped", why }));
}

const options = readOptions();
requireRoot();
const place = currentPlace();
if (place !== undefined && options.out !== undefined) {
  await runInside(place, options, options.out);
} else {
  const out = resolve(options.out ?? (await defaultFile(options.quick)));
  const words = process.argv.slice(2);
  try {
    process.exitCode = await runInPlace(import.meta.path, [...words, "--out", out]);
  } finally {
    markIfStopped(out, `it ended with ${process.exitCode ?? "an error"}`);
  }
}
