import { expect, test } from "bun:test";
import { type Header, isWhole, type Result, toJsonLine, toTable } from "./report.ts";

const INTERVAL = { median: 0.5, low: 0.45678, high: 0.6, level: 0.96 };
const FIGURES = { wallMs: 5, wallMsMin: 4, cpuMs: 3, peakKiB: 2000 };
const RESULT: Result = {
  bench: "run",
  outcomes: [
    {
      name: "run, crun",
      pairs: 7,
      ours: { label: "tare-runtime", ...FIGURES },
      peer: { label: "crun", ...FIGURES, wallMs: 10 },
      wallRatio: INTERVAL,
      cpuRatio: INTERVAL,
      wallAboveMs: INTERVAL,
      verdicts: [{ what: "wall time, ratio", value: 0.5, atMost: 0.6, met: true }],
    },
  ],
  facts: [{ what: "file size, bytes", value: 9, atMost: 5, met: false }],
};
const HEADER: Header = {
  date: "2020-01-02T03:04:05.000Z",
  commit: "abc",
  quick: true,
  machine: { kernel: "6.1", cpuCount: 2, cpuModel: "x", load: "0 0 0 1/2", versions: {} },
};

test("the table names both sides, the ratio with its interval, and each bar", () => {
  const lines = toTable(RESULT).split("\n");
  expect(lines).toContain("run, crun (7 pairs)");
  const ours = lines.find((line) => line.startsWith("  tare-runtime"));
  expect(ours).toContain("0.500 (0.457-0.600)");
  expect(lines.find((line) => line.startsWith("  crun"))).toContain("10.00");
  expect(lines).toContain("  run, crun: wall time, ratio 0.500, at most 0.6: met");
  expect(lines).toContain("  file size, bytes 9, at most 5: NOT MET");
});

test("what was not measured says why", () => {
  const text = toTable({ bench: "image", outcomes: [], facts: [], missing: "podman is not here" });
  expect(text).toBe("== image\n  not measured: podman is not here\n");
});

test("each line is JSON by itself, with few decimals", () => {
  const [outcome] = RESULT.outcomes;
  if (outcome === undefined) throw new Error("no outcome");
  const contest = toJsonLine({ kind: "contest", bench: "run", ...outcome });
  expect(contest).toEndWith("}\n");
  expect(contest.trimEnd()).not.toContain("\n");
  expect(JSON.parse(contest)).toMatchObject({ kind: "contest", wallRatio: { low: 0.4568 } });
});

test("a file without its last line is of a run that was stopped", () => {
  const text = toJsonLine({ kind: "run", ...HEADER });
  expect(isWhole("")).toBe(false);
  expect(isWhole(text)).toBe(false);
  expect(isWhole(text + toJsonLine({ kind: "stopped", why: "asked to" }))).toBe(false);
  expect(isWhole(text + toJsonLine({ kind: "end", seconds: 3 }))).toBe(true);
});
