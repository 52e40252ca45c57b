/** What the conformance runner makes of a suite's words, and of verdicts that are not as listed. */
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { REPO } from "../harness/places.ts";
import { judge, parseExpectations } from "./expected.ts";
import { parseResults, printResults, scoreOf, withColumn } from "./results.ts";
import { SUITES } from "./run.ts";
import { verdictOf } from "./runtime-tools.ts";
import type { Result, Verdict } from "./suite.ts";
import { table } from "./table.ts";
import { plannedPoints, pointResults } from "./tap.ts";

const result = (test: string, verdict: Verdict): Result => ({
  file: "f",
  test,
  verdict,
  detail: "",
});

describe("points", () => {
  test("of bats: the reason stands behind them", () => {
    const text =
      "1..3\r\nok 1 one in 20ms\r\nnot ok 2 two in 1sec\n# (in file x)\n#   why\nok 3 three # skip no v2\n";
    expect(plannedPoints(text)).toBe(3);
    expect(pointResults("f", text, "after")).toEqual([
      result("one", "pass"),
      { ...result("two", "fail"), detail: "# (in file x)\n#   why" },
      { ...result("three", "skip"), detail: "no v2" },
    ]);
  });

  test("of bats: one that ran out of time has its own name", () => {
    const text =
      "1..2\nnot ok 1 one # timeout after 75s\nnot ok 2 two in 75sec # timeout after 75s\n";
    const names = pointResults("f", text, "after").map(({ test }) => test);
    expect(names).toEqual(["one", "two"]);
  });

  test("of crun: the reason stands before them", () => {
    const text = "1..2\n# why\nnot ok 1 - a-b # 0.013s\nok 2 - c #SKIP no need # 0.001s\n";
    expect(pointResults("f", text, "before")).toEqual([
      { ...result("a-b", "fail"), detail: "# why" },
      { ...result("c", "skip"), detail: "no need" },
    ]);
  });

  test("of runtime-tools: one bad point, or a bad end, makes the program fail", () => {
    expect(verdictOf("x", "ok 1 - a\nok 2 - b\n", 0).verdict).toBe("pass");
    expect(verdictOf("x", "", 0).verdict).toBe("pass");
    expect(verdictOf("x", "ok 1 - a\nnot ok 2 - b\n", 0)).toMatchObject({
      verdict: "fail",
      detail: "b",
    });
    expect(verdictOf("x", "ok 1 - a\n", 1).verdict).toBe("fail");
    expect(verdictOf("x", "ok 1 - a\n", null).verdict).toBe("fail");
    expect(verdictOf("x", "ok 1 # SKIP no\n", 0).verdict).toBe("skip");
  });
});

describe("a list of verdicts", () => {
  const list = parseExpectations(
    "# words\nf\tgood\tpass\nf\tbad\tfail\tno disk\nf\tbadly\tunsteady\ta race\nf\tnot\tskip\tv2\n",
  );

  test("holds what is as listed", () => {
    const rest = [result("bad", "fail"), result("not", "skip")];
    for (const badly of ["pass", "fail"] as const) {
      expect(judge([result("good", "pass"), ...rest, result("badly", badly)], list)).toEqual([]);
    }
  });

  test("finds each way to differ", () => {
    const results = [result("good", "fail"), result("bad", "pass"), result("new", "fail")];
    expect(judge(results, list)).toEqual([
      'f: good: listed as "pass", but the verdict is "fail"',
      'f: bad: listed as "fail", but it passes: take it off',
      "f: new: not listed (fail)",
      "f: badly: listed, but it gave no result",
      "f: not: listed, but it gave no result",
    ]);
    expect(judge([], list, new Set(["g"]))).toEqual([]);
  });

  test("has a reason for all that does not pass, and each test once", () => {
    for (const text of [
      "f\ta\tfail",
      "f\ta\tpass\twhy",
      "f\ta\tmaybe\twhy",
      "f\ta\tpass\nf\ta\tpass",
    ]) {
      expect(() => parseExpectations(text)).toThrow("Cannot read the expectation");
    }
  });

  test("is readable for each suite", async () => {
    const home = join(import.meta.dir, "expected");
    for (const name of readdirSync(home)) {
      expect(parseExpectations(await Bun.file(join(home, name)).text()).length).toBeGreaterThan(0);
    }
  });
});

describe("results", () => {
  const text =
    "file\ttest\ttare\ttrue\nf\ta\tpass\tfail\nf\tb\tpass\tpass\nf\tc\tskip\t-\nf\td\tfail\tfail\n";

  test("are printed as they are read, and a column is made anew", () => {
    expect(printResults(parseResults(text))).toBe(text);
    const again = withColumn(parseResults(text), "tare", [result("a", "fail")]);
    expect(again.verdicts.get("f\ta")?.get("tare")).toBe("fail");
    expect(again.verdicts.get("f\tb")?.has("tare")).toBe(false);
  });

  test("count where neither a control passes nor everyone skips", () => {
    const { judging, passed } = scoreOf(parseResults(text));
    expect(judging).toBe(2);
    expect(passed).toEqual(new Map([["tare", 1]]));
  });
});

test("docs/conformance.md has the table of the results", async () => {
  const text = await Bun.file(join(REPO, "docs/conformance.md")).text();
  expect(text).toContain(`<!-- results -->\n\n${table(SUITES)}\n\n<!-- end of results -->`);
});
