import { describe, expect, test } from "bun:test";
import { parseSubCgroups } from "./sub.ts";

describe("--cgroup", () => {
  const good: [string[], [string, string][]][] = [
    [[], []],
    [["a/b"], [["", "a/b"]]],
    [["/"], [["", ""]]],
    [["/a//./b/"], [["", "a/b"]]],
    [["cpu:a"], [["cpu", "a"]]],
    [
      ["cpu,cpuacct:a", "memory:b/c"],
      [
        ["cpu", "a"],
        ["cpuacct", "a"],
        ["memory", "b/c"],
      ],
    ],
  ];
  test.each(good)("%j", (texts, paths) => {
    expect([...parseSubCgroups(texts)]).toEqual(paths);
  });

  test.each([
    [[".."], "bad sub cgroup path"],
    [["a/../../b"], "bad sub cgroup path"],
    [["cpu:a/.."], "bad sub cgroup path"],
    [["a\nb"], "newline"],
    [["a\0b"], "NUL"],
    [[":a"], "empty <controller> prefix"],
    [["cpu,:a"], "empty <controller> prefix"],
    [["cpu:a", "cpu:b"], "comes twice"],
    [["a", "b"], "missing <controller>: prefix"],
  ])("%j is refused", (texts, why) => {
    expect(() => parseSubCgroups(texts)).toThrow(why);
  });
});
