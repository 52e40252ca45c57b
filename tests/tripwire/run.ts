/**
 * `bun tests/tripwire/run.ts [--deaths | --seconds | --rests] [--one-reason] [--every N] [--variant V] [--only TEXT] [SCENARIO...]`:
 * each call fails for each reason (or its process is killed there, or a second one fails after it, of one
 * first failure after the other a second one by chance, or each distinct one);
 * prints each finding and `N tried, N found` last. `--seed N`, another each time, shifts what `--every` takes.
 */
import { parseArgs } from "node:util";
import { Random } from "../fuzz/random.ts";
import type { Variant } from "./bundles.ts";
import { SCENARIOS, type Scenario } from "./scenario.ts";
import { Stage } from "./stage.ts";
import {
  type Baseline,
  baseline,
  type Case,
  casesOf,
  deathsOf,
  describeCase,
  type Finding,
  restsOf,
  secondsOf,
  tryCase,
} from "./sweep.ts";

const LINES_SHOWN_MAX = 8;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    deaths: { type: "boolean" },
    seconds: { type: "boolean" },
    rests: { type: "boolean" },
    variant: { type: "string" },
    only: { type: "string" },
    "one-reason": { type: "boolean" },
    every: { type: "string", default: "1" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});

/** With one reason a call, it is another for each call in turn. */
function firstCases(scenario: Scenario, variant: Variant, before: Baseline): Case[] {
  if (values.deaths) return deathsOf(scenario, variant, before);
  const all = casesOf(scenario, variant, before);
  if (!values["one-reason"]) return all;
  const calls = [...Map.groupBy(all, ({ wires: [wire] }) => `${wire?.process} ${wire?.index}`)];
  return calls.flatMap(([, cases], turn) => cases[turn % cases.length] ?? []);
}

/** Of second failures there are tens of thousands: one for each first, chosen by the seed. */
async function* casesToTry(
  stage: Stage,
  scenario: Scenario,
  variant: Variant,
  before: Baseline,
): AsyncGenerator<Case> {
  if (values.rests) return yield* restsOf(stage, scenario, variant, before);
  const random = new Random(Number(values.seed));
  const every = Number(values.every);
  const all = firstCases(scenario, variant, before);
  for (const [index, one] of all.entries()) {
    if ((index + Number(values.seed)) % every !== 0) continue;
    if (values.only !== undefined && !describeCase(one).includes(values.only)) continue;
    if (!values.seconds) yield one;
    else {
      const seconds = await secondsOf(stage, one);
      if (seconds.length > 0) yield random.pick(seconds);
    }
  }
}

function print({ case: one, faults, stderr }: Finding): void {
  const lines = faults.join("\n  ").split("\n").slice(0, LINES_SHOWN_MAX);
  console.log(`${describeCase(one)}\n  ${lines.join("\n")}\n  | ${stderr.trim()}`);
}

console.log(`--seed ${values.seed}`);
const stage = await Stage.open();
let tried = 0;
let found = 0;
try {
  for (const scenario of SCENARIOS) {
    if (positionals.length > 0 && !positionals.includes(scenario.name)) continue;
    for (const variant of scenario.variants) {
      if (values.variant !== undefined && values.variant !== variant) continue;
      const before = await baseline(stage, scenario, variant);
      const calls = `${scenario.name} ${variant}: ${before.calls.length} calls`;
      const triedBefore = tried;
      for await (const one of casesToTry(stage, scenario, variant, before)) {
        tried++;
        const finding = await tryCase(stage, one, before);
        if (finding === undefined) continue;
        found++;
        print(finding);
      }
      console.log(`${calls}, ${tried - triedBefore} tried`);
    }
  }
} finally {
  await stage.close();
}
console.log(`${tried} tried, ${found} found`);
process.exit(found === 0 && tried > 0 ? 0 : 1);
