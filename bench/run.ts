/**
 * `bun bench/run.ts [--quick] [--out FILE] [--peers DIR] [--only NAME]...`: measures ours against its
 * peers, prints a table and writes JSON lines. Needs root, gcc, a build in dist/ and the peers, which
 * come from DIR before PATH. docs/performance.md says what is measured. A bar that is not met fails nothing: a busy machine is no fault of the code.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { requireRoot } from "../tests/harness/places.ts";
import { CROWD } from "./crowd.bench.ts";
import type { Bench, Surroundings } from "./harness/bench.ts";
import { type Outcome, runContest, type Verdict } from "./harness/contest.ts";
import { type Measure, openMeasure } from "./harness/measure.ts";
import { commit, currentPlace, furnish, type Place, runInPlace } from "./harness/place.ts";
import { describeMachine, findPrograms } from "./harness/programs.ts";
import { type Header, type Result, toJsonLines, toTable } from "./harness/report.ts";
import { IMAGES } from "./image.bench.ts";
import { RUN } from "./run.bench.ts";
import { START } from "./start.bench.ts";
import { STORE } from "./store.bench.ts";

const BENCHES: readonly Bench[] = [START, RUN, CROWD, IMAGES, STORE];
const WARM_UPS = 3;
const QUICK_PAIRS = 6;

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

async function runInside(place: Place, options: Options): Promise<void> {
  await furnish();
  const measure = await openMeasure(place.scratch);
  const around = {
    ...place,
    programs: findPrograms(place.scratch, options.peers),
    quick: options.quick,
  };
  const header: Header = {
    date: new Date().toISOString(),
    commit: await commit(),
    quick: options.quick,
    machine: await describeMachine(around.programs),
  };
  const results: Result[] = [];
  for (const bench of BENCHES) {
    if (options.only.length > 0 && !options.only.includes(bench.name)) continue;
    const result = await runBench(bench, around, measure, options.quick);
    console.log(toTable(result));
    results.push(result);
  }
  const file = options.out ?? defaultFile(header);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, toJsonLines(header, results));
  console.log(`Written to ${file}`);
}

async function runBench(
  bench: Bench,
  around: Surroundings,
  measure: Measure,
  quick: boolean,
): Promise<Result> {
  const outcomes: Outcome[] = [];
  const facts: Verdict[] = [];
  try {
    const prepared = await bench.prepare(around);
    facts.push(...(prepared.facts ?? []));
    for (const contest of prepared.contests) {
      const quickPairs = contest.isLong === true ? 1 : QUICK_PAIRS;
      const pairs = quick ? quickPairs : contest.pairs;
      const warmUps = contest.isLong === true ? 0 : WARM_UPS;
      const length = { pairs, warmUps: quick ? Math.min(warmUps, 1) : warmUps };
      outcomes.push(runContest(contest, length, { measure, random: Math.random }));
    }
    facts.push(...(prepared.after?.() ?? []));
    const { missing } = prepared;
    return { bench: bench.name, outcomes, facts, ...(missing === undefined ? {} : { missing }) };
  } catch (error) {
    // What was measured before stays; the exit status tells.
    process.exitCode = 1;
    return { bench: bench.name, outcomes, facts, missing: String(error) };
  }
}

/** Quick results prove nothing but that the benches run: git ignores them. */
function defaultFile({ date, commit: name, quick }: Header): string {
  const file = `${date.slice(0, 16).replace(":", "")}-${name}.jsonl`;
  return join(import.meta.dir, quick ? "out" : "results", file);
}

const options = readOptions();
requireRoot();
const place = currentPlace();
if (place === undefined) {
  const words = process.argv.slice(2);
  const out = options.out === undefined ? [] : ["--out", resolve(options.out)];
  process.exitCode = await runInPlace(import.meta.path, [...words, ...out]);
} else {
  await runInside(place, options);
}
