import { describe, expect, test } from "bun:test";
import type { Seccomp } from "@tare/spec/oci-runtime.ts";
import { EFAULT, EINVAL } from "../sys/abi-errno.ts";
import { scriptedSys } from "../sys/scripted-sys.ts";
import { seccompFeatures } from "./features.ts";
import { filterFlags } from "./flags.ts";

function profile(flags: string[], action: "SCMP_ACT_NOTIFY" | "SCMP_ACT_LOG"): Seccomp {
  return {
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: [],
    flags: flags.map((name) => `SECCOMP_FILTER_FLAG_${name}`),
    syscalls: [{ names: ["mkdir"], action, args: [] }],
  };
}

describe("flags", () => {
  const cases: [string, "SCMP_ACT_NOTIFY" | "SCMP_ACT_LOG", number][] = [
    ["", "SCMP_ACT_LOG", 0],
    ["TSYNC", "SCMP_ACT_LOG", 0],
    ["LOG", "SCMP_ACT_LOG", 2],
    ["LOG LOG SPEC_ALLOW", "SCMP_ACT_LOG", 6],
    ["", "SCMP_ACT_NOTIFY", 8],
    ["SPEC_ALLOW WAIT_KILLABLE_RECV", "SCMP_ACT_NOTIFY", 44],
  ];
  test.each(cases)("%s with %s", (names, action, want) => {
    const flags = names === "" ? [] : names.split(" ");
    expect(filterFlags(profile(flags, action))).toBe(want);
  });

  test.each(["NEW_LISTENER", "toString", ""])("%p is refused", (name) => {
    expect(() => filterFlags(profile([name], "SCMP_ACT_LOG"))).toThrow("it is not known");
  });

  test("WAIT_KILLABLE_RECV needs a listener", () => {
    const alone = profile(["WAIT_KILLABLE_RECV"], "SCMP_ACT_LOG");
    expect(() => filterFlags(alone)).toThrow("no rule has SCMP_ACT_NOTIFY");
  });
});

test("features lists nine actions, seven operators and 18 architectures, sorted", () => {
  const { actions, operators, archs } = seccompFeatures(scriptedSys({}).sys);
  expect([actions.length, operators.length, archs.length]).toEqual([9, 7, 18]);
  for (const names of [actions, operators, archs]) expect([...names].sort()).toEqual([...names]);
});

test("features lists as supported what the kernel takes", () => {
  const asked: number[] = [];
  const { sys } = scriptedSys({
    seccomp_probe_flags: (flags: number) => {
      asked.push(flags);
      return (flags & 32) !== 0 ? -EINVAL : -EFAULT;
    },
  });
  const { knownFlags, supportedFlags } = seccompFeatures(sys);
  expect(asked).toEqual([1, 2, 4, 40]);
  expect(knownFlags).toHaveLength(4);
  expect(supportedFlags).toEqual(knownFlags.slice(0, 3));
});
