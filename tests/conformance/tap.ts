/**
 * Reads the Test Anything Protocol, versions 12 and 13, as bats, Go's tap and crun's tests write it
 * to a terminal. Non-goal: sub-tests and bail-outs, which none of them writes.
 */
import type { Result, Verdict } from "./suite.ts";

export type Point = {
  readonly name: string;
  readonly verdict: Verdict;
  /** Why it was skipped; empty otherwise. */
  readonly reason: string;
  /** Lines that are no points, since the point before, and until the next one. */
  readonly before: readonly string[];
  readonly after: readonly string[];
};

const POINT = /^(not )?ok\b(?: +\d+)?(?: +-)? *(.*)$/;
const SKIP = /#\s*skip\S*\s*(.*)$/i;
/** What bats and crun put behind the name: how long it took. */
const TOOK = /\s*(?:#\s*(?:timeout after )?[\d.]+s|\bin \d+ ?(?:ms|sec))\s*$/;
const DETAIL_LINES_MAX = 8;

export function parseTap(text: string): Point[] {
  const points: { -readonly [Key in keyof Point]: Point[Key] }[] = [];
  let between: string[] = [];
  for (const line of text.replaceAll("\r", "").split("\n")) {
    const [, not, rest] = POINT.exec(line) ?? [];
    if (rest === undefined) {
      between.push(line);
      continue;
    }
    const last = points.at(-1);
    if (last !== undefined) last.after = between;
    const words = rest.replace(TOOK, "");
    const reason = SKIP.exec(words)?.[1];
    const name = words.replace(SKIP, "").replace(TOOK, "").trim();
    const verdict = not !== undefined ? "fail" : reason !== undefined ? "skip" : "pass";
    points.push({ name, verdict, reason: reason?.trim() ?? "", before: between, after: [] });
    between = [];
  }
  const last = points.at(-1);
  if (last !== undefined) last.after = between;
  return points;
}

/** The number of points that the plan line (`1..N`) promises; undefined without one. */
export function plannedPoints(text: string): number | undefined {
  const [, count] = /^1\.\.(\d+)/m.exec(text) ?? [];
  return count === undefined ? undefined : Number(count);
}

/**
 * A result for each point.
 * @param notes where this suite writes why: in front of the point or behind it
 */
export function pointResults(file: string, text: string, notes: "before" | "after"): Result[] {
  return parseTap(text).map((point) => ({
    file,
    test: point.name,
    verdict: point.verdict,
    detail: point.verdict === "fail" ? tail(point[notes]) : point.reason,
  }));
}

function tail(lines: readonly string[]): string {
  const said = lines.map((line) => line.trim()).filter((line) => !/^(?:#|1\.\.\d+.*)?$/.test(line));
  return said.slice(-DETAIL_LINES_MAX).join("\n");
}
