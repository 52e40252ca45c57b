import { describe, expect, test } from "bun:test";
import { ago, humanSize, printTable } from "./table.ts";

describe("tables", () => {
  test("columns are as wide as their widest cell, in cells of a terminal", () => {
    const rows = [
      ["NAME", "ID"],
      ["日本", "x"],
      ["a", "y"],
    ];
    expect(printTable(rows)).toBe("NAME   ID\n日本   x\na      y\n");
  });

  const sizes: [number, string][] = [
    [0, "0B"],
    [999, "999B"],
    [1000, "1kB"],
    [4_862_000, "4.86MB"],
    [123_456_789, "123MB"],
    [2 ** 53, "9.01PB"],
  ];
  test.each(sizes)("%d bytes", (bytes, want) => expect(humanSize(bytes)).toBe(want));

  const now = Date.parse("2026-01-31T00:00:00Z");
  const times: [string, string][] = [
    ["2026-01-30T23:59:59.5Z", "Less than a second ago"],
    ["2026-01-30T23:59:58Z", "2 seconds ago"],
    ["2026-01-30T23:59:00Z", "1 minute ago"],
    ["2026-01-30T01:00:00Z", "23 hours ago"],
    ["2026-01-21T00:00:00Z", "10 days ago"],
    ["2026-01-01T00:00:00Z", "4 weeks ago"],
    ["2025-06-01T00:00:00Z", "8 months ago"],
    ["1970-01-01T00:00:00Z", "56 years ago"],
    ["2030-01-01T00:00:00Z", "Less than a second ago"],
    ["", "N/A"],
  ];
  test.each(times)("%s", (time, want) => expect(ago(time, now)).toBe(want));
});
