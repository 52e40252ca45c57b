import { expect, test } from "bun:test";
import { COMMANDS, findCommand, groupOf } from "./commands.ts";

test("a command is found by its name, and by the name that it has in a group", () => {
  for (const [words, name, rest] of [
    [["images", "-q"], "images", ["-q"]],
    [["image", "ls", "-q"], "images", ["-q"]],
    [["image", "rm", "a"], "rmi", ["a"]],
    [["rm", "image"], "rm", ["image"]],
  ] as const) {
    const found = findCommand(words);
    expect([found?.entry.name, found?.rest]).toEqual([name, [...rest]]);
  }
  expect(findCommand(["image"])).toBeUndefined();
  expect(findCommand(["image", "frobnicate"])).toBeUndefined();
});

test("a group lists its commands by the names that they have there", () => {
  expect(groupOf("image").map(({ name }) => name)).toContain("image ls");
  expect(groupOf("images")).toEqual([]);
});

test("no two commands share a name", () => {
  const names = COMMANDS.flatMap((entry) => [entry.name, ...(entry.aliases ?? [])]);
  expect(new Set(names).size).toBe(names.length);
});
