import { describe, expect, test } from "bun:test";
import { parseDescriptors } from "./descriptors.ts";
import { firstError, parseVersion } from "./program.ts";

describe("criu's version", () => {
  test.each<[string, readonly [number, number] | undefined]>([
    ["Version: 3.17.1\nGitID: v3.17.1\n", [3, 17]],
    ["Version: 4.0\n", [4, 0]],
    ["Warn: something\nVersion: 3.16\n", [3, 16]],
    ["", undefined],
    ["Version: x.y\n", undefined],
    ["Version: 4\n", undefined],
  ])("in %j", (text, version) => expect(parseVersion(text)).toEqual(version));
});

describe("the reason in a log", () => {
  test("is its first error, without the time", () => {
    const log = "(0.1) Error (a.c:1): one\n(0.2) Error (b.c:2): two\n(0.3) done\n";
    expect(firstError(log)).toBe("Error (a.c:1): one");
    expect(firstError("(0.1) fine\n")).toBeUndefined();
    expect(firstError("fine\ncriu: unrecognized option\n")).toBe("criu: unrecognized option");
  });

  test("is what criu could not do without", () => {
    const reason = "Error (a.c:1): no iptables";
    const limit = "Error (u.c:9): rlimit: Can't setup RLIMIT_NOFILE for self";
    const log = `(0.0) ${limit}\n(0.1) ${reason}\n(0.2) Error (u.c:2): exited, status=1\n(0.3) Error (c.c:3): Dumping FAILED.\n`;
    expect(firstError(log)).toBe(reason);
    expect(firstError("(0.3) Error (c.c:3): Dumping FAILED.\n")).toBe(
      "Error (c.c:3): Dumping FAILED.",
    );
  });

  test("moves no cursor and has an end", () => {
    expect(firstError("Error (a.c:1): \x1b[2J\r\x7f")).toBe("Error (a.c:1): ?[2J??");
    expect(firstError(`Error (${"x".repeat(9000)}`)).toHaveLength(400);
  });
});

describe("the file of descriptors", () => {
  test("is an array of at most three texts", () => {
    expect(parseDescriptors('["pipe:[1]","",""]', "f")).toEqual(["pipe:[1]", "", ""]);
    for (const bad of ["", "{}", "null", "[1]", '["a","b","c","d"]', '["a\\u0000"]']) {
      expect(() => parseDescriptors(bad, "f")).toThrow('Cannot read "f"');
    }
  });
});
