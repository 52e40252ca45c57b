import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LAP, openMeasure, SETTLE, THEN } from "./measure.ts";

setDefaultTimeout(60_000);

const dir = mkdtempSync(join(tmpdir(), "tare-measure-"));
afterAll(() => rmSync(dir, { recursive: true }));

describe.skipIf(Bun.which("gcc") === null)("measuring", async () => {
  const measure = Bun.which("gcc") === null ? () => null as never : await openMeasure(dir);

  test("counts what children use that outlive the command", () => {
    const busy = "i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); done";
    const quick = measure(["sh", "-c", "exit 0"]);
    const orphan = measure(["sh", "-c", `(sleep 0.05; ${busy}) & exit 0`]);
    expect(orphan.cpuMs).toBeGreaterThan(quick.cpuMs);
  });

  test("counts several commands as one, and waits in between only where it is told to", () => {
    const mark = join(dir, "mark");
    const slow = ["sh", "-c", `(sleep 1; : > ${mark}) & exit 0`];
    expect(() => measure([...slow, THEN, "test", "-e", mark])).toThrow();
    rmSync(mark);
    expect(measure([...slow, SETTLE, "test", "-e", mark]).wallMs).toBeGreaterThan(1000);
    expect(measure(["sleep", "0.02", THEN, "sleep", "0.02"]).wallMs).toBeGreaterThan(40);
  });

  test("tells the time until a lap from the whole", () => {
    const { wallMs, lap } = measure(["true", LAP, "sleep", "0.2"]);
    expect(lap?.wallMs).toBeLessThan(wallMs - 190);
    expect(measure(["true", THEN, "true"]).lap).toBeUndefined();
  });

  test("sees peak memory, and not that of who measures", () => {
    const sample = measure(["true"]);
    expect(sample.peakKiB).toBeGreaterThan(100);
    expect(sample.peakKiB).toBeLessThan(8_000);
    expect(
      measure(["dd", "if=/dev/zero", "of=/dev/null", "bs=20M", "count=1"]).peakKiB,
    ).toBeGreaterThan(20_000);
  });

  test("a command that fails is an error with what it said", () => {
    expect(() => measure(["sh", "-c", "echo told >&2; exit 3"])).toThrow(/3: told/);
    expect(() => measure(["/nonexistent"])).toThrow("127");
    expect(() => measure(["false", THEN, "true"])).toThrow(/: 1:/);
  });
});
