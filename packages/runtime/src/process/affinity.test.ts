import { expect, test } from "bun:test";
import type { Process } from "@tare/spec/oci-runtime.ts";
import { ALL_PROCESSORS, planAffinity, printMask } from "./affinity.ts";

function affinity(execCPUAffinity?: Process["execCPUAffinity"]) {
  return planAffinity({ execCPUAffinity } as Process);
}

test("without a wish the process may run wherever its cgroup may", () => {
  for (const wish of [undefined, {}, { initial: "", final: "" }]) {
    expect(affinity(wish)).toEqual({ initial: undefined, final: ALL_PROCESSORS });
  }
});

test("lists become masks", () => {
  const { initial, final } = affinity({ initial: "0-1", final: "3,9" });
  expect([initial, final].map((mask) => printMask(mask ?? ALL_PROCESSORS))).toEqual([
    "0x3",
    "0x208",
  ]);
});

test.each(["x", "1-", ",", "99999"])("%j is refused", (text) => {
  expect(() => affinity({ final: text })).toThrow("execCPUAffinity.final");
});
