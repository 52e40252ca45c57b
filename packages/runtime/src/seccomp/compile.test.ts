import { describe, expect, test } from "bun:test";
import type { Seccomp, SeccompArg, SeccompOperator, SeccompRule } from "@tare/spec/oci-runtime.ts";
import {
  RET_ALLOW,
  RET_ENOSYS,
  RET_ERRNO,
  RET_KILL_PROCESS,
  RET_KILL_THREAD,
  RET_LOG,
  RET_NOTIFY,
  RET_TRACE,
  RET_TRAP,
} from "./actions.ts";
import { findArchitecture, X32_BIT } from "./architectures.ts";
import { INSTRUCTION_BYTES } from "./assembler.ts";
import { compileSeccomp, refuseUnknownSyscalls } from "./compile.ts";
import { checkFilter, runFilter } from "./interpret.ts";
import { unknownSyscalls } from "./plan.ts";
import { syscallTable } from "./tables.ts";

const NATIVE = "SCMP_ARCH_X86_64";
const EPERM = RET_ERRNO | 1;

function arg(index: number, op: SeccompOperator, value: bigint, valueTwo = 0n): SeccompArg {
  return { index, op, value, valueTwo };
}

function rule(names: string, action: SeccompRule["action"], ...args: SeccompArg[]): SeccompRule {
  return { names: names.split(" "), action, args };
}

function allow(names: string, ...args: SeccompArg[]): SeccompRule {
  return rule(names, "SCMP_ACT_ALLOW", ...args);
}

function deny(names: string, ...args: SeccompArg[]): SeccompRule {
  return rule(names, "SCMP_ACT_ERRNO", ...args);
}

/** Unlisted calls get EPERM. */
function strict(...syscalls: SeccompRule[]): Seccomp {
  return { defaultAction: "SCMP_ACT_ERRNO", architectures: [], flags: [], syscalls };
}

/** Unlisted calls go through. */
function open(...syscalls: SeccompRule[]): Seccomp {
  return { defaultAction: "SCMP_ACT_ALLOW", architectures: [], flags: [], syscalls };
}

function withX86(profile: Seccomp): Seccomp {
  return { ...profile, architectures: [NATIVE, "SCMP_ARCH_X86", "SCMP_ARCH_X32"] };
}

/** What the filter says to a call by number. */
function ask(profile: Seccomp, name: string, number: number, args: readonly bigint[] = []): number {
  const filter = checkFilter(compileSeccomp(profile, { native: NATIVE }));
  return runFilter(filter, { number, token: findArchitecture(name).token, args }).value;
}

/** What the filter says to a call by name, on x86_64 unless told. */
function call(profile: Seccomp, name: string, args: readonly bigint[] = [], arch = NATIVE): number {
  return ask(profile, arch, syscallTable(findArchitecture(arch)).get(name) ?? -1, args);
}

const AF_VSOCK = 40n;
const HIGH = 2n ** 32n;

describe("arguments", () => {
  const cases: [SeccompOperator, bigint, bigint, bigint, boolean][] = [
    ["SCMP_CMP_EQ", 5n, 0n, 5n, true],
    ["SCMP_CMP_EQ", 5n, 0n, HIGH + 5n, false],
    ["SCMP_CMP_EQ", HIGH + 5n, 0n, 5n, false],
    ["SCMP_CMP_NE", 5n, 0n, 5n, false],
    ["SCMP_CMP_NE", 5n, 0n, HIGH + 5n, true],
    ["SCMP_CMP_LT", HIGH, 0n, HIGH - 1n, true],
    ["SCMP_CMP_LT", HIGH, 0n, HIGH, false],
    ["SCMP_CMP_LT", 0n, 0n, 0n, false],
    ["SCMP_CMP_LE", HIGH, 0n, HIGH, true],
    ["SCMP_CMP_LE", HIGH, 0n, HIGH + 1n, false],
    ["SCMP_CMP_LE", 2n ** 64n - 1n, 0n, 2n ** 64n - 1n, true],
    ["SCMP_CMP_GE", HIGH + 7n, 0n, HIGH + 7n, true],
    ["SCMP_CMP_GE", HIGH + 7n, 0n, HIGH + 6n, false],
    ["SCMP_CMP_GE", 0n, 0n, 0n, true],
    ["SCMP_CMP_GT", HIGH + 7n, 0n, 2n * HIGH, true],
    ["SCMP_CMP_GT", HIGH + 7n, 0n, HIGH + 7n, false],
    ["SCMP_CMP_GT", 2n ** 64n - 1n, 0n, 2n ** 64n - 1n, false],
    ["SCMP_CMP_MASKED_EQ", 0xf0n, 0x20n, 0x2fn, true],
    ["SCMP_CMP_MASKED_EQ", 0xf0n, 0x20n, 0x3fn, false],
    ["SCMP_CMP_MASKED_EQ", HIGH, HIGH, HIGH + 1n, true],
    ["SCMP_CMP_MASKED_EQ", HIGH, HIGH, 1n, false],
    ["SCMP_CMP_MASKED_EQ", 0n, 0n, 123n, true],
  ];
  // The second argument of lseek is a loff_t: all 64 bits count.
  test.each(cases)("%s %d %d with %d: %p", (op, value, valueTwo, seen, met) => {
    const profile = strict(allow("lseek", arg(1, op, value, valueTwo)));
    expect(call(profile, "lseek", [0n, seen])).toBe(met ? RET_ALLOW : EPERM);
  });

  test("all conditions of a rule must hold", () => {
    const profile = strict(allow("lseek", arg(0, "SCMP_CMP_EQ", 3n), arg(2, "SCMP_CMP_LE", 2n)));
    expect(call(profile, "lseek", [3n, 0n, 2n])).toBe(RET_ALLOW);
    expect(call(profile, "lseek", [3n, 0n, 3n])).toBe(EPERM);
    expect(call(profile, "lseek", [4n, 0n, 2n])).toBe(EPERM);
  });

  test("two conditions on one argument are two rules", () => {
    const profile = strict(allow("lseek", arg(0, "SCMP_CMP_EQ", 3n), arg(0, "SCMP_CMP_EQ", 4n)));
    for (const fd of [3n, 4n]) expect(call(profile, "lseek", [fd])).toBe(RET_ALLOW);
    expect(call(profile, "lseek", [5n])).toBe(EPERM);
  });

  test("a rule without arguments beats the others", () => {
    const profile = strict(deny("prctl", arg(0, "SCMP_CMP_EQ", 1n)), allow("prctl"));
    expect(call(profile, "prctl", [1n])).toBe(RET_ALLOW);
  });

  test("of two rules without arguments the first counts", () => {
    const profile = strict(rule("prctl", "SCMP_ACT_LOG"), allow("prctl"));
    expect(call(profile, "prctl")).toBe(RET_LOG);
  });

  test("a rule with the default's action is skipped", () => {
    const profile = strict(deny("prctl"), allow("prctl", arg(0, "SCMP_CMP_EQ", 1n)));
    expect(call(profile, "prctl", [1n])).toBe(RET_ALLOW);
    expect(call(profile, "prctl", [2n])).toBe(EPERM);
  });

  test("rules on several arguments, one after the other", () => {
    const profile = strict(
      allow("socket", arg(0, "SCMP_CMP_EQ", 1n)),
      allow("socket", arg(1, "SCMP_CMP_EQ", 2n)),
      allow("socket", arg(1, "SCMP_CMP_EQ", 3n)),
      allow("socket", arg(2, "SCMP_CMP_MASKED_EQ", 0xfn, 4n)),
    );
    const allowed = [[1n], [0n, 2n], [0n, 3n], [0n, 0n, 0x14n]];
    for (const args of allowed) expect(call(profile, "socket", args)).toBe(RET_ALLOW);
    for (const args of [[2n], [3n], [0n, 1n], [0n, 4n, 3n], [4n]]) {
      expect(call(profile, "socket", args)).toBe(EPERM);
    }
  });

  test("the strictest of the rules that match counts", () => {
    const kill = rule("prctl", "SCMP_ACT_KILL_PROCESS", arg(0, "SCMP_CMP_EQ", 22n));
    const profile = strict(allow("prctl", arg(0, "SCMP_CMP_GT", 0n)), kill);
    expect(call(profile, "prctl", [22n])).toBe(RET_KILL_PROCESS);
    expect(call(profile, "prctl", [23n])).toBe(RET_ALLOW);
  });
});

describe("what the kernel cuts off", () => {
  test.each([AF_VSOCK, HIGH + AF_VSOCK, 0xffffffff00000000n + AF_VSOCK])(
    "socket(%d) is AF_VSOCK",
    (family) => {
      const allowList = strict(allow("socket", arg(0, "SCMP_CMP_LT", AF_VSOCK)));
      expect(call(allowList, "socket", [family])).toBe(EPERM);
      const denyList = open(deny("socket", arg(0, "SCMP_CMP_EQ", AF_VSOCK)));
      expect(call(denyList, "socket", [family])).toBe(EPERM);
    },
  );

  test("an allowed family stays allowed with high bits: the kernel sees it", () => {
    const profile = strict(allow("socket", arg(0, "SCMP_CMP_EQ", 2n)));
    expect(call(profile, "socket", [HIGH + 2n])).toBe(RET_ALLOW);
  });

  test("a rule that says the value with high bits means the same", () => {
    const profile = open(deny("socket", arg(0, "SCMP_CMP_EQ", HIGH + AF_VSOCK)));
    expect(call(profile, "socket", [AF_VSOCK])).toBe(EPERM);
  });

  test("-1 may be written as 32 or as 64 bits", () => {
    for (const value of [0xffffffffn, 2n ** 64n - 1n]) {
      const profile = strict(allow("personality", arg(0, "SCMP_CMP_EQ", value)));
      expect(call(profile, "personality", [0xffffffffn])).toBe(RET_ALLOW);
      expect(call(profile, "personality", [2n ** 64n - 1n])).toBe(RET_ALLOW);
    }
  });

  test("an ordering against a value above every int", () => {
    const below = strict(allow("socket", arg(0, "SCMP_CMP_LT", HIGH + 5n)));
    expect(call(below, "socket", [7n])).toBe(RET_ALLOW);
    const above = strict(allow("socket", arg(0, "SCMP_CMP_GT", HIGH + 5n)));
    expect(call(above, "socket", [2n * HIGH + 7n])).toBe(EPERM);
  });

  test("a mode has 16 bits", () => {
    const profile = open(deny("chmod", arg(1, "SCMP_CMP_EQ", 0o4755n)));
    expect(call(profile, "chmod", [0n, 0x10000n + 0o4755n])).toBe(EPERM);
  });

  test("clone flags have 32 bits, and are the second argument on s390", () => {
    const NEWUSER = 0x10000000n;
    const x86 = open(deny("clone", arg(0, "SCMP_CMP_EQ", NEWUSER)));
    expect(call(x86, "clone", [HIGH + NEWUSER])).toBe(EPERM);
    const s390 = open(deny("clone", arg(1, "SCMP_CMP_EQ", NEWUSER)));
    const program = compileSeccomp(s390, { native: "SCMP_ARCH_S390X" });
    const data = { number: 120, token: 0x80000016, args: [0n, HIGH + NEWUSER] };
    expect(runFilter(checkFilter(program, true), data, true).value).toBe(EPERM);
  });

  test("a pointer has 64 bits", () => {
    const profile = strict(allow("mmap", arg(0, "SCMP_CMP_EQ", 0n)));
    expect(call(profile, "mmap", [HIGH])).toBe(EPERM);
  });
});

describe("architectures", () => {
  const profile = strict(allow("read"), deny("write"));

  test("the native one is always there", () => {
    expect(call({ ...profile, architectures: ["SCMP_ARCH_X86"] }, "read")).toBe(RET_ALLOW);
  });

  test("one that is not listed kills", () => {
    expect(ask(profile, "SCMP_ARCH_X86", 3)).toBe(RET_KILL_PROCESS);
    expect(ask(profile, "SCMP_ARCH_AARCH64", 63)).toBe(RET_KILL_PROCESS);
  });

  test("an x32 number cannot dodge the filter", () => {
    expect(ask(profile, NATIVE, X32_BIT)).toBe(RET_KILL_PROCESS);
    expect(ask(open(deny("mount")), NATIVE, X32_BIT + 165)).toBe(RET_KILL_PROCESS);
    expect(ask(withX86(open(deny("mount"))), NATIVE, X32_BIT + 165)).toBe(EPERM);
  });

  test("a call that a tracer skips gets the default", () => {
    expect(ask(profile, NATIVE, 0xffffffff)).toBe(EPERM);
  });

  test("each has its own numbers", () => {
    expect(call(withX86(profile), "read", [], "SCMP_ARCH_X86")).toBe(RET_ALLOW);
    expect(ask(withX86(profile), "SCMP_ARCH_X86", 0)).toBe(EPERM);
    expect(call(withX86(profile), "read", [], "SCMP_ARCH_X32")).toBe(RET_ALLOW);
  });

  test("another byte order is refused", () => {
    const mixed = { ...profile, architectures: ["SCMP_ARCH_S390X"] };
    expect(() => compileSeccomp(mixed, { native: NATIVE })).toThrow("byte order");
  });

  test("an unknown name is refused", () => {
    const odd = { ...profile, architectures: ["SCMP_ARCH_VAX"] };
    expect(() => compileSeccomp(odd, { native: NATIVE })).toThrow("SCMP_ARCH_VAX");
  });
});

describe("multiplexers", () => {
  const SYS_SOCKET = 1n;
  const SYS_BIND = 2n;
  const I386 = "SCMP_ARCH_X86";

  test("a rule for the call inside binds the multiplexer too", () => {
    const profile = withX86(open(deny("bind shmat")));
    expect(call(profile, "socketcall", [SYS_BIND], I386)).toBe(EPERM);
    expect(call(profile, "socketcall", [SYS_SOCKET], I386)).toBe(RET_ALLOW);
    expect(call(profile, "ipc", [21n], I386)).toBe(EPERM);
    expect(call(profile, "ipc", [22n], I386)).toBe(RET_ALLOW);
  });

  test("ipc's version does not hide the call", () => {
    expect(call(withX86(open(deny("shmat"))), "ipc", [(1n << 16n) + 21n], I386)).toBe(EPERM);
  });

  test("an allowed family does not allow the multiplexer for every family", () => {
    const profile = withX86(strict(allow("socket", arg(0, "SCMP_CMP_LT", 38n))));
    expect(call(profile, "socket", [2n], I386)).toBe(RET_ALLOW);
    expect(call(profile, "socketcall", [SYS_SOCKET], I386)).toBe(EPERM);
  });

  test("a denied family denies the call inside for every family", () => {
    const profile = withX86(open(deny("socket", arg(0, "SCMP_CMP_EQ", 38n))));
    expect(call(profile, "socketcall", [SYS_SOCKET], I386)).toBe(EPERM);
    expect(call(profile, "socketcall", [SYS_BIND], I386)).toBe(RET_ALLOW);
  });

  test("the multiplexer by name wins", () => {
    const profile = withX86(strict(allow("socketcall"), allow("bind")));
    expect(call(profile, "socketcall", [SYS_SOCKET], I386)).toBe(RET_ALLOW);
  });
});

describe("calls newer than the profile", () => {
  test("get ENOSYS, gaps get the default", () => {
    const profile = strict(allow("read openat2"));
    expect(call(profile, "openat2")).toBe(RET_ALLOW);
    expect(call(profile, "pidfd_getfd")).toBe(RET_ENOSYS);
    expect(call(profile, "clone3")).toBe(EPERM);
    expect(ask(profile, NATIVE, 100_000)).toBe(RET_ENOSYS);
  });

  test("a rule that is skipped still says how new the profile is", () => {
    const profile = strict(allow("read"), deny("listns"));
    expect(call(profile, "statmount")).toBe(EPERM);
    expect(call(profile, "rseq_slice_yield")).toBe(RET_ENOSYS);
  });

  test.each(["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"] as const)(
    "go on under default action %s",
    (defaultAction) => {
      const profile = { ...strict(deny("mount")), defaultAction };
      expect(ask(profile, NATIVE, 100_000)).not.toBe(RET_ENOSYS);
    },
  );

  test("ARM's own calls do not count", () => {
    const program = compileSeccomp(strict(allow("read cacheflush set_tls")), {
      native: "SCMP_ARCH_ARM",
    });
    const on = (number: number) =>
      runFilter(checkFilter(program), { number, token: 0x40000028, args: [] }).value;
    expect(on(3)).toBe(RET_ALLOW);
    expect(on(0xf0002)).toBe(RET_ALLOW);
    expect(on(0xf0001)).toBe(EPERM);
    expect(on(471)).toBe(RET_ENOSYS);
  });
});

describe("actions", () => {
  const cases: [SeccompRule["action"], number | undefined, number][] = [
    ["SCMP_ACT_KILL", undefined, RET_KILL_THREAD],
    ["SCMP_ACT_KILL_THREAD", undefined, RET_KILL_THREAD],
    ["SCMP_ACT_KILL_PROCESS", undefined, RET_KILL_PROCESS],
    ["SCMP_ACT_TRAP", undefined, RET_TRAP],
    ["SCMP_ACT_ERRNO", undefined, EPERM],
    ["SCMP_ACT_ERRNO", 0, RET_ERRNO],
    ["SCMP_ACT_ERRNO", 38, RET_ENOSYS],
    ["SCMP_ACT_TRACE", undefined, RET_TRACE + 1],
    ["SCMP_ACT_TRACE", 7, RET_TRACE + 7],
    ["SCMP_ACT_NOTIFY", undefined, RET_NOTIFY],
    ["SCMP_ACT_LOG", undefined, RET_LOG],
  ];
  test.each(cases)("%s with errnoRet %p", (action, errnoRet, want) => {
    const only = {
      names: ["mount"],
      action,
      args: [],
      ...(errnoRet === undefined ? {} : { errnoRet }),
    };
    expect(call(open(only), "mount")).toBe(want);
  });

  test("defaultErrnoRet", () => {
    const profile = { ...strict(allow("read"), allow("listns")), defaultErrnoRet: 6 };
    expect(call(profile, "mount")).toBe(RET_ERRNO | 6);
  });

  test.each([-1, 1.5, 4096, 70_000])("errnoRet %d is refused", (errnoRet) => {
    const profile = { ...strict(), defaultErrnoRet: errnoRet };
    expect(() => compileSeccomp(profile, { native: NATIVE })).toThrow("errnoRet");
  });

  test("an errno for an action that returns none is refused", () => {
    const profile = open({ names: ["mount"], action: "SCMP_ACT_KILL", args: [], errnoRet: 1 });
    expect(() => compileSeccomp(profile, { native: NATIVE })).toThrow("returns no errno");
  });

  test("NOTIFY by default, or for write, is refused", () => {
    const byDefault = { ...open(), defaultAction: "SCMP_ACT_NOTIFY" as const };
    expect(() => compileSeccomp(byDefault, { native: NATIVE })).toThrow("default action");
    const write = open(rule("write", "SCMP_ACT_NOTIFY"));
    expect(() => compileSeccomp(write, { native: NATIVE })).toThrow("write syscall");
  });
});

describe("names", () => {
  test("one that no kernel has is skipped and reported", () => {
    const profile = strict(allow("read raed"), allow("arm_fadvise64_64"));
    expect(call(profile, "read")).toBe(RET_ALLOW);
    expect(unknownSyscalls(profile)).toEqual(["raed"]);
    expect(() => refuseUnknownSyscalls(profile)).toThrow('"raed"');
    expect(() => refuseUnknownSyscalls(strict(allow("read")))).not.toThrow();
  });

  test.each(["", "__proto__", "constructor", "read write", "read\0"])("%p is none", (name) => {
    expect(unknownSyscalls(open({ names: [name], action: "SCMP_ACT_ERRNO", args: [] }))).toEqual([
      name,
    ]);
  });
});

describe("limits", () => {
  const bad: [string, SeccompArg][] = [
    ["index", arg(6, "SCMP_CMP_EQ", 0n)],
    ["value below 0", arg(0, "SCMP_CMP_EQ", -1n)],
    ["value of 65 bits", arg(0, "SCMP_CMP_EQ", 2n ** 64n)],
    ["valueTwo of 65 bits", arg(0, "SCMP_CMP_MASKED_EQ", 1n, 2n ** 64n)],
    ["operator", arg(0, "SCMP_CMP_ODD" as SeccompOperator, 0n)],
  ];
  test.each(bad)("a wrong %s is refused", (_what, wrong) => {
    expect(() => compileSeccomp(open(deny("read", wrong)), { native: NATIVE })).toThrow("read");
  });

  test("jumps over more than 255 instructions work", () => {
    const values = Array.from({ length: 400 }, (_, index) => BigInt(index) * HIGH);
    const rules = values.map((value) => allow("lseek mmap", arg(1, "SCMP_CMP_EQ", value)));
    const profile = strict(...rules, allow("read write close"), deny("listns"));
    const program = compileSeccomp(profile, { native: NATIVE });
    expect(program.length / INSTRUCTION_BYTES).toBeGreaterThan(1000);
    expect(call(profile, "lseek", [0n, 399n * HIGH])).toBe(RET_ALLOW);
    expect(call(profile, "lseek", [0n, 400n * HIGH])).toBe(EPERM);
    expect(call(profile, "close")).toBe(RET_ALLOW);
    expect(call(profile, "mount")).toBe(EPERM);
  });

  test("a program too long for the kernel is an error", () => {
    const rules = Array.from({ length: 2000 }, (_, index) =>
      allow("lseek", arg(1, "SCMP_CMP_EQ", BigInt(index) * HIGH)),
    );
    expect(() => compileSeccomp(strict(...rules), { native: NATIVE })).toThrow("4096");
  });

  test("a common call costs few instructions", () => {
    const names = [...syscallTable(findArchitecture(NATIVE)).keys()];
    const some = names.filter((_, index) => index % 7 !== 0).join(" ");
    const filter = checkFilter(compileSeccomp(withX86(strict(allow(some))), { native: NATIVE }));
    for (let number = 0; number < 460; number++) {
      const run = runFilter(filter, { number, token: 0xc000003e, args: [] });
      expect(run.instructions).toBeLessThan(16);
    }
  });
});
