/**
 * Which verdict every test of a suite is known to have, and why where it is not "pass"
 * (`expected/SUITE.tsv`: file, test, verdict, reason). A result that differs is a problem either
 * way: a known failure that passes must leave the list, so the list may only shrink.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Result, Verdict } from "./suite.ts";

export type Expectation = {
  readonly file: string;
  readonly test: string;
  /** `unsteady`: passes and fails for no reason of ours, so neither is judged. */
  readonly verdict: Verdict | "unsteady";
  /** Empty for what passes. */
  readonly reason: string;
};

const VERDICTS: readonly string[] = ["pass", "fail", "skip", "unsteady"];

export function readExpectations(suite: string): Expectation[] {
  const path = join(import.meta.dir, "expected", `${suite}.tsv`);
  return existsSync(path) ? parseExpectations(readFileSync(path, "utf8")) : [];
}

/** Lines of four columns; an empty line or one that begins with `#` is none. */
export function parseExpectations(text: string): Expectation[] {
  const seen = new Set<string>();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line) => {
    const [file = "", test = "", verdict = "", reason = ""] = line.split("\t");
    const fail = (why: string): never => {
      throw new Error(`Cannot read the expectation "${line}": ${why}`);
    };
    if (!VERDICTS.includes(verdict)) fail(`the verdict is one of ${VERDICTS.join(", ")}`);
    if ((verdict === "pass") !== (reason === "")) fail("what does not pass has a reason");
    if (seen.has(keyOf({ file, test }))) fail("the test is listed twice");
    seen.add(keyOf({ file, test }));
    return { file, test, verdict: verdict as Expectation["verdict"], reason };
  });
}

/**
 * One sentence for each result that is not as expected.
 * @param files those that were chosen; undefined: the whole suite ran
 */
export function judge(
  results: readonly Result[],
  expectations: readonly Expectation[],
  files?: ReadonlySet<string>,
): string[] {
  const expected = new Map(expectations.map((one) => [keyOf(one), one]));
  const got = new Set(results.map(keyOf));
  const problems = results.flatMap((result) => {
    const problem = differ(result, expected.get(keyOf(result)));
    if (problem === undefined) return [];
    const detail = result.detail.replaceAll("\n", "\n    ");
    return [`${nameOf(result)}: ${problem}${detail && `\n    ${detail}`}`];
  });
  const silent = expectations.filter(
    (one) => files?.has(one.file) !== false && !got.has(keyOf(one)),
  );
  return [...problems, ...silent.map((one) => `${nameOf(one)}: listed, but it gave no result`)];
}

function differ(result: Result, expectation: Expectation | undefined): string | undefined {
  if (expectation === undefined) return `not listed (${result.verdict})`;
  const { verdict } = expectation;
  if (verdict === "unsteady" || verdict === result.verdict) return undefined;
  if (result.verdict === "pass") return `listed as "${verdict}", but it passes: take it off`;
  return `listed as "${verdict}", but the verdict is "${result.verdict}"`;
}

/** Names of tests are unique within their file only. */
export function keyOf({ file, test }: { readonly file: string; readonly test: string }): string {
  return `${file}\t${test}`;
}

function nameOf({ file, test }: { readonly file: string; readonly test: string }): string {
  return `${file}: ${test}`;
}
