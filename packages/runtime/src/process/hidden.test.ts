import { describe, expect, test } from "bun:test";
import { scriptedSys } from "../sys/scripted-sys.ts";
import { becomeNamespaceRoot, hide, keepHidden, show } from "./hidden.ts";

const GET_DUMPABLE = 3;
const SET_DUMPABLE = 4;

/** A process on a machine with fs.suid_dumpable = 1: any change of ids makes it visible. */
function visibleAfterChange(dumpable: 0 | 1) {
  let now = dumpable as number;
  const changed = (): number => {
    now = 1;
    return 0;
  };
  const { sys } = scriptedSys({
    prctl: (option: number, value: number) => {
      if (option === GET_DUMPABLE) return now;
      if (option === SET_DUMPABLE) now = value;
      return 0;
    },
    setresgid: changed,
    setresuid: changed,
  });
  return { sys, dumpable: () => now };
}

describe("a change of ids", () => {
  test("leaves a hidden process hidden, whatever fs.suid_dumpable says", () => {
    const process = visibleAfterChange(0);
    becomeNamespaceRoot(process.sys);
    expect(process.dumpable()).toBe(0);
  });

  test("hides none that was not hidden: its files of /proc/self must stay its own", () => {
    const process = visibleAfterChange(1);
    keepHidden(process.sys, () => undefined);
    expect(process.dumpable()).toBe(1);
  });
});

test("hide and show", () => {
  const process = visibleAfterChange(1);
  hide(process.sys);
  expect(process.dumpable()).toBe(0);
  show(process.sys);
  expect(process.dumpable()).toBe(1);
});
