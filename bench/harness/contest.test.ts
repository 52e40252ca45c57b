import { expect, test } from "bun:test";
import { type Contest, runContest } from "./contest.ts";
import type { Sample } from "./measure.ts";

const CONTEST: Contest = {
  name: "work",
  ours: { label: "ours", words: ["ours"] },
  peer: { label: "peer", words: ["peer"] },
  bars: { wallRatio: 0.5, peakRatio: 0.5, wallAboveMs: -5, peakKiB: 1500 },
  pairs: 0,
};

/** Ours takes 6, 7, 8 ... ms, the peer twice as long; notes who was run. */
function fakeMeasure(order: string[]): (words: readonly string[]) => Sample {
  const runs = { ours: 0, peer: 0 };
  return ([name]) => {
    const who = name as "ours" | "peer";
    order.push(who);
    const wallMs = (6 + runs[who]++) * (who === "ours" ? 1 : 2);
    return { wallMs, cpuMs: wallMs / 2, peakKiB: who === "ours" ? 1000 : 1800 };
  };
}

test("pairs are thrown in both orders, and warm-ups are not counted", () => {
  const order: string[] = [];
  const throws = [0.1, 0.9, 0.6, 0.4];
  const outcome = runContest(
    CONTEST,
    { pairs: 3, warmUps: 1 },
    { measure: fakeMeasure(order), random: () => throws.shift() ?? 1 },
  );
  expect(order.join(" ")).toBe("ours peer peer ours peer ours ours peer");
  expect(outcome.pairs).toBe(3);
  expect(outcome.ours).toEqual({
    label: "ours",
    wallMs: 8,
    wallMsMin: 7,
    cpuMs: 4,
    peakKiB: 1000,
  });
  expect(outcome.wallRatio).toMatchObject({ median: 0.5, low: 0.5, high: 0.5 });
  expect(outcome.wallAboveMs.median).toBe(-8);
});

test("each bar is judged by itself", () => {
  const measure = fakeMeasure([]);
  const world = { measure, random: () => 0 };
  const { verdicts } = runContest(CONTEST, { pairs: 5, warmUps: 0 }, world);
  expect(verdicts.map(({ what, met }) => [what, met])).toEqual([
    ["wall time, ratio", true],
    ["peak memory, ratio", false],
    ["wall time above, ms", true],
    ["peak memory, KiB", true],
  ]);
});

test("what stands between the pairs is done before each, warm-ups too", () => {
  let calls = 0;
  const before = () => {
    calls++;
  };
  const world = { measure: fakeMeasure([]), random: () => 0 };
  runContest({ ...CONTEST, before }, { pairs: 2, warmUps: 3 }, world);
  expect(calls).toBe(5);
});
