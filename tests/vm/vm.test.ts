/** The harness of the virtual machine: boots it twice. About half a minute, longer the first time. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { readOutcome, runInVm } from "./run.ts";

const file = (name: string) => join(import.meta.dir, name);

test("the machine is as the tests expect, and success comes out", async () => {
  let output = "";
  const outcome = await runInVm({
    files: [file("machine.check.ts")],
    onOutput: (text) => {
      output += text;
    },
  });
  if (outcome.code !== 0) throw new Error(output);
  expect(outcome).toMatchObject({ passed: 6, failed: 0, skipped: 0, code: 0 });
}, 600_000);

test("failure comes out too", async () => {
  const outcome = await runInVm({ files: [file("failing.check.ts")] });
  expect(outcome).toMatchObject({ passed: 0, failed: 1, skipped: 1, code: 1 });
}, 600_000);

test("a machine that never ends is killed and counts as broken", async () => {
  const outcome = await runInVm({ files: [file("machine.check.ts")], timeLimitMs: 1_000 });
  expect(outcome).toMatchObject({ passed: 0, code: null });
}, 60_000);

test("the summary is read from the last lines", () => {
  const text = " 3 pass\n 1 skip\n 2 fail\n 9 expect() calls\n\ntare-vm-exit 1\n";
  expect(readOutcome(text)).toEqual({ passed: 3, failed: 2, skipped: 1, code: 1 });
  expect(readOutcome("Kernel panic").code).toBeNull();
});
