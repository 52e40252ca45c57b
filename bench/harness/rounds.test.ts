import { expect, test } from "bun:test";
import type { Sample } from "./measure.ts";
import { type Rounds, runRounds } from "./rounds.ts";

const ROUNDS: Rounds = {
  name: "work",
  ours: { label: "ours", words: ["ours"] },
  rivals: [
    { name: "a", label: "a", words: ["a"], bars: { wallRatio: 0.5 } },
    { name: "b", label: "b", words: ["b"], bars: {}, syncedBars: { wallRatio: 0.2 } },
  ],
  budgetMs: 100,
};

const WALL_MS: Readonly<Record<string, number>> = { ours: 10, a: 20, b: 5 };

/** Time passes only where something is measured; writing back takes b 95 ms, the others 2. */
function fakeWorld(order: string[]) {
  let now = 0;
  const measure = ([name = "", ...rest]: readonly string[]): Sample => {
    order.push(name);
    const lap = { wallMs: WALL_MS[name] ?? Number.NaN, cpuMs: 1 };
    const synced = rest.length === 0 ? 0 : name === "b" ? 95 : 2;
    const wallMs = lap.wallMs + synced;
    now += wallMs;
    return { wallMs, cpuMs: 3, peakKiB: 1, ...(rest.length === 0 ? {} : { lap }) };
  };
  return { measure, random: () => 0.99, now: () => now };
}

test("each rival has a row of as many pairs as fit into the time", async () => {
  const order: string[] = [];
  const outcomes = await runRounds(ROUNDS, 10, fakeWorld(order));
  expect(outcomes.map(({ name, pairs }) => [name, pairs])).toEqual([
    ["work, a", 2],
    ["work, b", 2],
  ]);
  expect(order.slice(0, 3)).toEqual(["b", "a", "ours"]);
  expect(outcomes[0]?.verdicts).toMatchObject([{ value: 0.5, met: true }]);
  expect(outcomes[1]?.wallRatio.median).toBe(2);
});

test("the time bounds the rounds, but two there are; fewer only where that is asked for", async () => {
  const count = async (budgetMs: number, most: number) =>
    (await runRounds({ ...ROUNDS, budgetMs }, most, fakeWorld([])))[0]?.pairs;
  expect(await count(35 * 4, 10)).toBe(4);
  expect(await count(35 * 4 - 1, 10)).toBe(3);
  expect(await count(0, 10)).toBe(2);
  expect(await count(35 * 4, 1)).toBe(1);
});

test("what is written back is a row of its own, of the same runs", async () => {
  const outcomes = await runRounds({ ...ROUNDS, sync: "/dir" }, 1, fakeWorld([]));
  expect(outcomes.map(({ name, ours, peer }) => [name, ours.wallMs, peer.wallMs])).toEqual([
    ["work, a", 10, 20],
    ["work, a, written back", 12, 22],
    ["work, b", 10, 5],
    ["work, b, written back", 12, 100],
  ]);
  expect(outcomes[3]?.verdicts).toMatchObject([{ value: 0.12, atMost: 0.2, met: true }]);
  expect(outcomes[2]?.ours.cpuMs).toBe(1);
  expect(outcomes[3]?.ours.cpuMs).toBe(3);
});

test("a daemon's processor time counts, and everybody begins anew", async () => {
  let [spent, begun] = [0, 0];
  const rival = { ...ROUNDS.rivals[0], elsewhereCpuMs: () => (spent += 50) };
  const before = async () => {
    begun++;
  };
  const rounds = { ...ROUNDS, rivals: [rival as (typeof ROUNDS.rivals)[number]], before };
  const [outcome] = await runRounds(rounds, 3, fakeWorld([]));
  expect(outcome?.peer.cpuMs).toBe(53);
  expect(outcome?.ours.cpuMs).toBe(3);
  expect(begun).toBe(6);
});
