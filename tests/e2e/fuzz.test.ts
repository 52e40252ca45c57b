/** Configurations changed at random, the same each time, made and deleted for real; `make fuzz` tries 5,000. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { Random } from "../fuzz/random.ts";
import { RealFuzz } from "../fuzz/real.ts";
import { patiently } from "../harness/places.ts";
import { openScene } from "../harness/scene.ts";

setDefaultTimeout(patiently(3_600_000));

const { TARE_FUZZ_REAL = "300", TARE_SEED = "1" } = process.env;
const CASES = Number(TARE_FUZZ_REAL);
const FIRST_SEED = Number(TARE_SEED);
const FOUND_MAX = 10;

test("a changed config.json is taken or refused in one line, and nothing stays", async () => {
  const scene = await openScene();
  const fuzz = await RealFuzz.open(scene);
  const found: string[] = [];
  for (let count = 0; count < CASES && found.length < FOUND_MAX; count++) {
    const seed = FIRST_SEED + count;
    const faults = await fuzz.tryOne(new Random(seed));
    found.push(...faults.map((fault) => `TARE_SEED=${seed}: ${fault}`));
  }
  expect(found).toEqual([]);
});
