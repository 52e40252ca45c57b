import { expect, test } from "bun:test";
import { parseFilterWord, parseMoment, toFilter } from "./filter-syntax.ts";

const NOW = Date.parse("2026-01-02T00:00:00Z");

test("labels with and without a value, wanted or not, and a time", () => {
  const words = ["label=a", "label!=b=c=d", "until=24h"].map(parseFilterWord);
  expect(toFilter(words, NOW)).toEqual({
    labels: [
      { key: "a", value: undefined, wanted: true },
      { key: "b", value: "c=d", wanted: false },
    ],
    beforeMs: Date.parse("2026-01-01T00:00:00Z"),
  });
});

test.each([
  ["1h30m", NOW - 5_400_000],
  ["1.5s", NOW - 1500],
  ["1767225600", Date.parse("2026-01-01T00:00:00Z")],
  ["2026-01-01T00:00:00+01:00", Date.parse("2025-12-31T23:00:00Z")],
])("the moment %s", (text, moment) => expect(parseMoment(text, NOW)).toBe(moment));

test.each(["", "h", "1x", "yesterday"])("no moment: %j", (text) => {
  expect(() => parseMoment(text, NOW)).toThrow(/want a duration/);
});

test("unknown filters and words without a value are refused", () => {
  expect(() => parseFilterWord("label")).toThrow(/KEY=VALUE/);
  expect(() => toFilter([parseFilterWord("color=red")], NOW)).toThrow(
    /"color": there is no such filter/,
  );
  expect(toFilter([parseFilterWord("dangling=true")], NOW, ["dangling"]).labels).toEqual([]);
});
