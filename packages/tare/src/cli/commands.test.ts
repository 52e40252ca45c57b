import { describe, expect, test } from "bun:test";
import { COMMANDS, findCommand, groupOf } from "./commands.ts";
import type { Flag } from "./flag.ts";

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

describe("what a command says of itself", () => {
  for (const entry of COMMANDS) {
    test(entry.name, async () => {
      const { summary, flags, interspersed } = await entry.load();
      expect([summary.name, summary.usage]).toEqual([entry.name, entry.usage]);
      const all: readonly Flag[] = Object.values(flags);
      const longs = all.flatMap(({ name, alias }) =>
        alias === undefined ? [name] : [name, alias],
      );
      const shorts = all.flatMap(({ short }) => short ?? []);
      for (const names of [longs, shorts]) expect(new Set(names).size).toBe(names.length);
      expect(longs).not.toContain("help");
      // Where -h is a flag, the parser must not take it for help: `run` alone says so.
      if (interspersed) expect(shorts).not.toContain("h");
      for (const flag of all) {
        expect(flag.name).toMatch(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/);
        expect(flag.short ?? "x").toMatch(/^[a-zA-Z]$/);
        expect(flag.help).toMatch(/^[A-Z0-9].*[^.]$/);
        const takesSwitch = [true, false].every((on) => isParsed(flag, `${on}`, on));
        expect([flag.name, takesSwitch]).toEqual([flag.name, flag.arg === undefined]);
      }
    });
  }
});

function isParsed(flag: Flag, text: string, value: unknown): boolean {
  try {
    return flag.parse(text) === value;
  } catch {
    return false;
  }
}
