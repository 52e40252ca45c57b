/**
 * Documents, records and words that nobody would write, by the tens of thousands, on a made-up machine:
 * each is taken or refused with one line that helps. Runs on Bun and on QuickJS, here with the same
 * seeds each time; `make fuzz` tries many more (TARE_FUZZ_CASES for each test) from TARE_SEED on.
 */
import { describe, expect, test } from "bun:test";
import { parseResources } from "../../packages/spec/src/oci-runtime-parse.ts";
import { parseProcess } from "../../packages/spec/src/oci-runtime-parse-process.ts";
import { tryRecord, tryWords } from "./commands.ts";
import { CONFIGS, PROCESS, RESOURCES } from "./documents.ts";
import { faultsOf, namesField } from "./judge.ts";
import { changed, type Mutant, toText } from "./mutate.ts";
import { planText } from "./plan.ts";
import { Random } from "./random.ts";

type Environment = { readonly TARE_FUZZ_CASES?: string; readonly TARE_SEED?: string };
type Global = { readonly process?: { readonly env: Environment } };
const environment = (globalThis as Global).process?.env;
const USUAL_CASES = environment === undefined ? 300 : 1500;
const CASES = Number(environment?.TARE_FUZZ_CASES ?? USUAL_CASES);
const FIRST_SEED = Number(environment?.TARE_SEED ?? 1);
/** No case may take longer; most take a millisecond. */
const CASE_MS_MAX = 60_000;
const FOUND_MAX = 10;
const TEST_MS = 3_600_000;

/** Tries one seed after another; answers what was found. */
function tryMany(tryOne: (random: Random) => readonly string[]): string[] {
  const found: string[] = [];
  for (let count = 0; count < CASES && found.length < FOUND_MAX; count++) {
    const seed = FIRST_SEED + count;
    const began = performance.now();
    const faults = tryOne(new Random(seed));
    found.push(...faults.map((fault) => `TARE_SEED=${seed}: ${fault}`));
    const tookMs = performance.now() - began;
    if (tookMs > CASE_MS_MAX) found.push(`TARE_SEED=${seed}: it takes ${tookMs} ms`);
  }
  return found;
}

/** What is wrong with how a text is taken; of a single change, whether a refusal names its place. */
function judge({ text, paths }: Mutant, take: (text: string) => void): string[] {
  try {
    take(text);
    return [];
  } catch (error) {
    const faults = faultsOf(error, text);
    const [path] = paths;
    if (
      faults.length === 0 &&
      paths.length === 1 &&
      path !== undefined &&
      !namesField(error, path)
    ) {
      faults.push(`it does not name ${path.join(".")}: ${String(error)}`);
    }
    return faults;
  }
}

test.each(CONFIGS.entries().toArray())("document %i is a good one", (_index, { node, machine }) => {
  expect(judge({ text: toText(node), paths: [[]] }, (text) => planText(text, machine))).toEqual([]);
  planText(toText(node), machine);
});

describe("changed at random", () => {
  test(
    "config.json",
    () => {
      const found = tryMany((random) => {
        const { node, machine } = random.pick(CONFIGS);
        return judge(changed(node, random), (text) => planText(text, machine));
      });
      expect(found).toEqual([]);
    },
    TEST_MS,
  );

  test(
    "process.json and resources.json",
    () => {
      const found = tryMany((random) =>
        random.chance(0.5)
          ? judge(changed(PROCESS, random), (text) => void parseProcess(text))
          : judge(changed(RESOURCES, random), (text) => void parseResources(text)),
      );
      expect(found).toEqual([]);
    },
    TEST_MS,
  );

  test(
    "the record of a container",
    () => {
      expect(tryMany((random) => tryRecord(random))).toEqual([]);
    },
    TEST_MS,
  );

  test(
    "words of a command line",
    () => {
      expect(tryMany((random) => tryWords(random))).toEqual([]);
    },
    TEST_MS,
  );
});
