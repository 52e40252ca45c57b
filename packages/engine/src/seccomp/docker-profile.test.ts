import { describe, expect, test } from "bun:test";
import { parseDockerProfile } from "./docker-profile.ts";

const FACTS = { architecture: "x86_64", capabilities: ["CAP_SYS_PTRACE"], kernel: "6.1.0" };

function parse(profile: object, more: Partial<typeof FACTS> = {}) {
  return parseDockerProfile(JSON.stringify(profile), { ...FACTS, ...more });
}

function rule(names: string[], more: object = {}) {
  return { names, action: "SCMP_ACT_ALLOW", ...more };
}

function namesOf(rules: object[], more: Partial<typeof FACTS> = {}): string[] {
  const parsed = parse({ defaultAction: "SCMP_ACT_ERRNO", syscalls: rules }, more);
  return (parsed?.syscalls ?? []).flatMap((one) => one.names);
}

describe("includes and excludes", () => {
  const cases: [string, object, boolean][] = [
    ["nothing", {}, true],
    ["empty objects", { includes: {}, excludes: {} }, true],
    ["null", { includes: null, excludes: null }, true],
    ["a capability that is there", { includes: { caps: ["CAP_SYS_PTRACE"] } }, true],
    ["one of two missing", { includes: { caps: ["CAP_SYS_PTRACE", "CAP_BPF"] } }, false],
    ["an excluded capability", { excludes: { caps: ["CAP_BPF", "CAP_SYS_PTRACE"] } }, false],
    ["an excluded one that is not there", { excludes: { caps: ["CAP_BPF"] } }, true],
    ["this machine", { includes: { arches: ["arm64", "amd64"] } }, true],
    ["another machine", { includes: { arches: ["arm64"] } }, false],
    ["this machine excluded", { excludes: { arches: ["amd64"] } }, false],
    ["a kernel old enough", { includes: { minKernel: "4.8" } }, true],
    ["a kernel too new", { includes: { minKernel: "6.2" } }, false],
    ["ten is more than nine", { includes: { minKernel: "5.10" } }, true],
    ["an excluded kernel", { excludes: { minKernel: "4.8" } }, false],
  ];
  test.each(cases)("%s", (_what, conditions, wanted) => {
    expect(namesOf([rule(["a"], conditions), rule(["b"])])).toEqual(wanted ? ["a", "b"] : ["b"]);
  });
});

describe("architectures", () => {
  const archMap = [
    { architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] },
    { architecture: "SCMP_ARCH_RISCV64", subArchitectures: null },
  ];
  const of = (profile: object, architecture: string) =>
    parse({ defaultAction: "SCMP_ACT_ERRNO", ...profile }, { architecture })?.architectures;

  test("come from the map's entry for the machine", () => {
    expect(of({ archMap }, "x86_64")).toEqual(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
    expect(of({ archMap }, "riscv64")).toEqual(["SCMP_ARCH_RISCV64"]);
    expect(of({ archMap }, "aarch64")).toEqual([]);
  });

  test("or from the list, not from both", () => {
    const architectures = ["SCMP_ARCH_X86"];
    expect(of({ architectures }, "x86_64")).toEqual(architectures);
    expect(() => of({ architectures, archMap }, "x86_64")).toThrow("archMap");
  });
});

describe("rules", () => {
  test("keep their arguments, errno and exact 64-bit values", () => {
    const text = `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"syscalls":[
      {"names":["socket"],"action":"SCMP_ACT_ERRNO","errnoRet":22,
       "args":[{"index":0,"value":18446744073709551615,"op":"SCMP_CMP_EQ"}]}]}`;
    expect(parseDockerProfile(text, FACTS)).toEqual({
      defaultAction: "SCMP_ACT_ERRNO",
      defaultErrnoRet: 1,
      architectures: [],
      flags: ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
      syscalls: [
        {
          names: ["socket"],
          action: "SCMP_ACT_ERRNO",
          errnoRet: 22,
          args: [{ index: 0, value: 2n ** 64n - 1n, valueTwo: 0n, op: "SCMP_CMP_EQ" }],
        },
      ],
    });
  });

  test("of older profiles have one name", () => {
    expect(namesOf([{ name: "read", action: "SCMP_ACT_ALLOW" }])).toEqual(["read"]);
    expect(() => namesOf([rule(["read"], { name: "write" })])).toThrow("names");
  });
});

test("a profile that says nothing is none", () => {
  expect(parse({})).toBeUndefined();
});

describe("what is not a profile", () => {
  const cases: [string, string, string][] = [
    ["no JSON", "{", "seccomp profile"],
    ["an array", "[]", "want an object"],
    ["an unknown action", '{"defaultAction":"SCMP_ACT_MAYBE"}', "defaultAction"],
    [
      "no default action",
      '{"syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG"}]}',
      "defaultAction",
    ],
    [
      "a rule without names",
      '{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"action":"SCMP_ACT_LOG"}]}',
      "names",
    ],
    ["a kernel that is a number", '{"syscalls":[{"includes":{"minKernel":4.8}}]}', "minKernel"],
    ["a kernel of three parts", '{"syscalls":[{"includes":{"minKernel":"4.8.1"}}]}', "minKernel"],
    [
      "a NUL in a name",
      '{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a\\u0000"],"action":"SCMP_ACT_LOG"}]}',
      "NUL",
    ],
    ["conditions that are text", '{"syscalls":[{"includes":"amd64"}]}', "includes"],
  ];
  test.each(cases)("%s", (_what, text, message) => {
    expect(() => parseDockerProfile(text, FACTS)).toThrow(message);
  });
});
