/**
 * Every error path, in slices: system calls fail, are cut short, or are the last of their process, on
 * the development host. The same of them each time; `make tripwire` tries all, TARE_SEED others.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Random } from "../fuzz/random.ts";
import { patiently, requireRoot, runtimeProgram } from "../harness/places.ts";
import { SCENARIOS } from "../tripwire/scenario.ts";
import { DEVELOPMENT_HOST, Stage } from "../tripwire/stage.ts";
import {
  type Baseline,
  baseline,
  type Case,
  casesOf,
  deathsOf,
  describeCase,
  secondsOf,
  tryCase,
} from "../tripwire/sweep.ts";

setDefaultTimeout(patiently(180_000));

/** Of each command. */
const CASES = 18;
const { TARE_SEED = "1" } = process.env;
const seed = Number(TARE_SEED);

type Choice = (stage: Stage, expected: Baseline) => Promise<Case | undefined>;

/** A failure, a death, or a failure with a second one after it. */
function chooser(random: Random, fails: readonly Case[], deaths: readonly Case[]): Choice {
  return async (stage) => {
    if (random.chance(0.3)) return random.pick(deaths);
    const first = random.pick(fails);
    if (random.chance(0.7)) return first;
    const seconds = await secondsOf(stage, first);
    return seconds.length === 0 ? undefined : random.pick(seconds);
  };
}

test.each(SCENARIOS)("$name: what fails in it leaves nothing", async (scenario) => {
  requireRoot();
  const random = new Random(seed);
  const variant = random.pick(scenario.variants);
  const stage = await Stage.open();
  try {
    const expected = await baseline(stage, scenario, variant);
    const fails = casesOf(scenario, variant, expected);
    const choose = chooser(random, fails, deathsOf(scenario, variant, expected));
    for (let count = 0; count < CASES; count++) {
      const one = await choose(stage, expected);
      const finding = one === undefined ? undefined : await tryCase(stage, one, expected);
      expect(
        finding === undefined
          ? []
          : [describeCase(finding.case), ...finding.faults, finding.stderr],
      ).toEqual([]);
    }
  } finally {
    await stage.close();
  }
});

test("what ships cannot be made to fail", () => {
  const shipped = readFileSync(runtimeProgram()).toString("latin1");
  const names = ["TARE_TRIPWIRE", "SYS_openat2"];
  expect(names.filter((name) => shipped.includes(name))).toEqual([]);
  const development = readFileSync(DEVELOPMENT_HOST).toString("latin1");
  expect(names.filter((name) => development.includes(name))).toEqual(names);
});
