import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { peakOfAll } from "./memory.ts";

setDefaultTimeout(60_000);

const dir = mkdtempSync(join(tmpdir(), "tare-memory-"));
afterAll(() => rmSync(dir, { recursive: true }));

/** Each holds a text of 16 MiB for three seconds after both have one. */
const HOLD = `
  text=$(head -c 16777216 /dev/zero | tr '\\0' x); : > $0.ready
  until test -e a.ready && test -e b.ready; do sleep 0.05; done; sleep 3; test "$text"`;
const HELD_KIB = 16 * 1024;

test.skipIf(Bun.which("bash") === null)(
  "the memory of processes that run at the same time is added up",
  async () => {
    const script = 'cd "$1"; bash -c "$2" a & bash -c "$2" b; wait';
    const peak = await peakOfAll(["sh", "-c", script, "sh", dir, HOLD]);
    expect(peak).toBeGreaterThan(2 * HELD_KIB);
  },
);

test("a command that fails is an error with what it said", async () => {
  await expect(peakOfAll(["sh", "-c", "echo told >&2; exit 3"])).rejects.toThrow("told");
});
