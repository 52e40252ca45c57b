import { describe, expect, test } from "bun:test";
import { barProgress, formatPart } from "./bars.ts";
import { jsonProgress } from "./json.ts";
import { plainProgress } from "./plain.ts";

test("without a terminal each change is a line, and bytes are none", () => {
  let out = "";
  const progress = plainProgress((text) => {
    out += text;
  });
  progress.line("1: Pulling from a/b");
  for (const status of ["Pulling fs layer", "Pulling fs layer"]) progress.part({ id: "x", status });
  for (const current of [1, 2])
    progress.part({ id: "x", status: "Downloading", current, total: 2 });
  progress.part({ id: "x", status: "Pull complete" });
  progress.end();
  expect(out).toBe("1: Pulling from a/b\nx: Pulling fs layer\nx: Pull complete\n");
});

test("JSON is an object a line, not too many of them", () => {
  const lines: unknown[] = [];
  let now = 0;
  const progress = jsonProgress(
    (text) => lines.push(JSON.parse(text)),
    () => now,
  );
  for (const [at, current] of [
    [0, 1],
    [50, 2],
    [150, 3],
    [160, 4],
    [170, 5],
  ] as const) {
    now = at;
    progress.part({ id: "x", status: "Downloading", current, total: 5 });
  }
  progress.part({ id: "x", status: "Pull complete" });
  progress.line("Digest: d");
  const moving = (current: number) => ({
    status: "Downloading",
    progressDetail: { current, total: 5 },
    id: "x",
  });
  expect(lines).toEqual([
    ...[1, 3, 5].map(moving),
    { status: "Pull complete", progressDetail: {}, id: "x" },
    { status: "Digest: d" },
  ]);
});

describe("bars", () => {
  test("show how far it is, and fit the screen", () => {
    const part = { id: "x", status: "Downloading", current: 500_000, total: 1_000_000 };
    expect(formatPart(part, 100)).toBe(
      `x: Downloading [${"=".repeat(20)}>${" ".repeat(19)}] 500kB/1MB`,
    );
    expect(formatPart(part, 40)).toBe("x: Downloading 500kB/1MB");
    expect(formatPart(part, 10)).toBe("x: Downloa");
    expect(formatPart({ ...part, current: 1_000_000 }, 100)).toContain(`[${"=".repeat(40)}]`);
    expect(formatPart({ ...part, total: 0 }, 100)).toContain("[>");
  });

  test("are written over in place, and stay when all is over", () => {
    let out = "";
    const timers: (() => void)[] = [];
    const size = () => ({ columns: 80, rows: 24 });
    const write = (text: string) => {
      out += text;
    };
    const progress = barProgress({ write, size }, (run) => {
      timers.push(run);
      return () => {};
    });
    progress.line("1: Pulling from a/b");
    progress.part({ id: "x", status: "Waiting" });
    progress.part({ id: "y", status: "Waiting" });
    progress.part({ id: "x", status: "Downloading", current: 1, total: 2 });
    progress.part({ id: "x", status: "Downloading", current: 2, total: 2 });
    expect(timers).toHaveLength(1);
    timers[0]?.();
    progress.part({ id: "x", status: "Pull complete" });
    progress.part({ id: "y", status: "Pull complete" });
    progress.end();
    progress.line("Digest: d");
    // Two lines up, both anew, what was longer erased.
    const block = "\x1b[2A\rx: Pull complete\x1b[K\n\ry: Pull complete\x1b[K\n";
    expect(out).toEndWith(`${block}Digest: d\n`);
    expect(out).toContain("\rx: Downloading [");
  });

  test("never take more lines than the screen has", () => {
    let widest = 0;
    const write = (text: string) => {
      widest = Math.max(widest, text.split("\n").length - 1);
    };
    const progress = barProgress({ write, size: () => ({ columns: 80, rows: 10 }) }, (run) => {
      run();
      return () => {};
    });
    for (let id = 0; id < 50; id++) progress.part({ id: `${id}`, status: "Waiting" });
    for (let id = 0; id < 50; id++) {
      progress.part({ id: `${id}`, status: "Downloading", current: 1, total: 2 });
    }
    for (let id = 0; id < 50; id++) progress.part({ id: `${id}`, status: "Done" });
    expect(widest).toBeLessThanOrEqual(8);
  });
});
