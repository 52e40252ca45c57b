import { expect, test } from "bun:test";
import { parseFilterWord } from "./filter-syntax.ts";
import { printFound, toSearchFilter } from "./search.ts";

const FOUND = [
  {
    name: "alpine",
    description: "A minimal image\nof \u001b[2J five megabytes",
    stars: 10,
    official: true,
  },
  { name: "me/alpine", description: "x".repeat(60), stars: 2, official: false },
];

const print = (format?: string, noTrunc = true) =>
  printFound(FOUND.slice(0, 1), { noTrunc, format });

test("found repositories have docker's columns, and a stranger's words no lines of their own", async () => {
  const [heads, first, end] = (await print()).split("\n");
  expect(heads?.split(/ {2,}/)).toEqual(["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]);
  expect(first).toMatch(
    /^alpine +A minimal image\\u000aof \\u001b\[2J five megabytes +10 +\[OK\]$/,
  );
  expect(end).toBe("");
  expect(await printFound(FOUND, { noTrunc: false, format: "{{.Description}}" })).toContain(
    `\n${"x".repeat(44)}…\n`,
  );
});

test("templates say [OK] and JSON says true, as docker's", async () => {
  expect(await print("{{.Name}} {{.StarCount}} {{.IsOfficial}}{{.IsAutomated}}")).toBe(
    "alpine 10 [OK]\n",
  );
  expect(JSON.parse(await print("json"))).toMatchObject({
    IsOfficial: "true",
    IsAutomated: "false",
  });
  expect(await print("table {{.StarCount}}")).toBe("STARS\n10\n");
});

test.each([
  ["stars=3", ["alpine"]],
  ["stars=2", ["alpine", "me/alpine"]],
  ["is-official=true", ["alpine"]],
  ["is-official=0", ["me/alpine"]],
  ["is-automated=true", []],
] as const)("--filter %s", (word, names) => {
  const fits = toSearchFilter([parseFilterWord(word)]);
  expect(FOUND.filter(fits).map(({ name }) => name)).toEqual([...names]);
});

test.each(["stars=many", "is-official=perhaps", "colour=red", "stars!=3"])("refuses %s", (word) => {
  expect(() => toSearchFilter([parseFilterWord(word)])).toThrow("Cannot use --filter");
});
