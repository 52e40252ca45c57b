import { expect, test } from "bun:test";
import { isPassing, parseRetryAfter, waitMs } from "./back-off.ts";

test("waiting doubles, half of it by chance, and has an end", () => {
  expect([1, 2, 3, 4].map((n) => waitMs(n, 0, undefined))).toEqual([250, 500, 1000, 2000]);
  expect([1, 2, 3, 4].map((n) => waitMs(n, 1, undefined))).toEqual([500, 1000, 2000, 4000]);
  expect(waitMs(1000, 1, undefined)).toBe(30_000);
});

test("what the server wishes comes first, within bounds", () => {
  expect(waitMs(1, 0.5, 7000)).toBe(7000);
  expect(waitMs(1, 0.5, 0)).toBe(0);
  expect(waitMs(1, 0.5, 1e9)).toBe(60_000);
});

const now = Date.parse("2026-01-01T00:00:00Z");
const texts: [text: string | null, want: number | undefined][] = [
  ["3", 3000],
  ["0", 0],
  ["99999999999999999999", 60_000],
  ["Thu, 01 Jan 2026 00:00:10 GMT", 10_000],
  ["Thu, 01 Jan 2025 00:00:10 GMT", 0],
  ["Thu, 01 Jan 2126 00:00:10 GMT", 60_000],
  [null, undefined],
  ["", undefined],
  ["soon", undefined],
  ["9".repeat(100), undefined],
];

test.each(texts)("Retry-After %j", (text, want) => {
  expect(parseRetryAfter(text, now)).toBe(want as number);
});

test("429 and failures of the server may pass, refusals do not", () => {
  expect([408, 429, 500, 502, 503, 504].every(isPassing)).toBe(true);
  expect([200, 206, 307, 400, 401, 403, 404, 416, 501, 505].some(isPassing)).toBe(false);
});
