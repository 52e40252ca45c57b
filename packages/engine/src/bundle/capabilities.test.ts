import { describe, expect, test } from "bun:test";
import {
  ALL_CAPABILITIES,
  type CapabilityRequest,
  capabilitiesInMask,
  chooseCapabilities,
  DEFAULT_CAPABILITIES,
} from "./capabilities.ts";

const base: CapabilityRequest = {
  add: [],
  drop: [],
  privileged: false,
  available: ALL_CAPABILITIES,
};

describe("chooseCapabilities", () => {
  test("numbers of the table are the kernel's", () => {
    expect(ALL_CAPABILITIES.indexOf("CAP_SYS_ADMIN")).toBe(21);
    expect(ALL_CAPABILITIES.indexOf("CAP_CHECKPOINT_RESTORE")).toBe(40);
  });

  const cases: [string, Partial<CapabilityRequest>, string[]][] = [
    ["adds by short name in any case", { add: ["net_admin"], drop: ["all"] }, ["CAP_NET_ADMIN"]],
    ["adds by full name", { add: ["CAP_SYS_TIME"], drop: ["ALL"] }, ["CAP_SYS_TIME"]],
    ["drops everything", { drop: ["ALL"] }, []],
    [
      "drops from all",
      { add: ["ALL"], drop: ["MKNOD"] },
      ALL_CAPABILITIES.filter((name) => name !== "CAP_MKNOD"),
    ],
    [
      "gives a privileged one everything",
      { privileged: true, drop: ["ALL"] },
      [...ALL_CAPABILITIES],
    ],
    [
      "leaves out what is not to be had",
      { privileged: true, available: ALL_CAPABILITIES.slice(0, 2) },
      ["CAP_CHOWN", "CAP_DAC_OVERRIDE"],
    ],
  ];
  test.each(cases)("%s", (_name, change, want) => {
    expect(chooseCapabilities({ ...base, ...change })).toEqual(want);
  });

  test("reads a mask of the kernel's", () => {
    expect(capabilitiesInMask(0b101n)).toEqual(["CAP_CHOWN", "CAP_DAC_READ_SEARCH"]);
    expect(capabilitiesInMask(2n ** 64n - 1n)).toEqual([...ALL_CAPABILITIES]);
  });

  test("the default is fourteen, in the kernel's order", () => {
    const chosen = chooseCapabilities(base);
    expect(chosen).toHaveLength(14);
    expect([...chosen].sort()).toEqual([...DEFAULT_CAPABILITIES].sort());
  });

  test.each(["", "CAP_", "NET ADMIN", "__proto__", "SYS_ADMIN\0"])("refuses %j", (name) => {
    expect(() => chooseCapabilities({ ...base, add: [name] })).toThrow(/--cap-add/);
  });
});
