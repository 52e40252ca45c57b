import { describe, expect, test } from "bun:test";
import { median, signInterval } from "./statistics.ts";

test("the median is the middle, or the mean of the two in the middle", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(() => median([])).toThrow();
});

describe("the sign interval", () => {
  // Ranks as tables of the binomial distribution have them, counted from 1.
  const cases: [count: number, rank: number][] = [
    [6, 1],
    [8, 1],
    [9, 2],
    [20, 6],
    [50, 18],
    [100, 40],
  ];
  test.each(cases)("of %d values lies at rank %d", (count, rank) => {
    const values = Array.from({ length: count }, (_, index) => count - index);
    const { low, high, level } = signInterval(values);
    expect([low, high]).toEqual([rank, count + 1 - rank]);
    expect(level).toBeGreaterThanOrEqual(0.95);
  });

  test("of few values is their range, and says how little it is worth", () => {
    expect(signInterval([2, 1, 3])).toEqual({ median: 2, low: 1, high: 3, level: 0.75 });
    expect(signInterval([7])).toEqual({ median: 7, low: 7, high: 7, level: 0 });
  });

  test("does not underflow for many values", () => {
    const values = Array.from({ length: 1000 }, (_, index) => index);
    const { low, high, level } = signInterval(values);
    expect(level).toBeGreaterThanOrEqual(0.95);
    expect(low + high).toBe(999);
    expect(high - low).toBeLessThan(70);
  });
});
