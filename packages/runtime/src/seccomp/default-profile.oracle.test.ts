/**
 * The engine's default profile, compiled as the runtime compiles it, and asked about the calls that
 * attacks are made of. Only this test joins the two packages: the profile travels in config.json.
 */

import { describe, expect, test } from "bun:test";
import { DEFAULT_CAPABILITIES } from "../../../engine/src/bundle/capabilities.ts";
import { defaultProfile } from "../../../engine/src/seccomp/default-profile.ts";
import { RET_ALLOW, RET_ENOSYS, RET_ERRNO, RET_KILL_PROCESS } from "./actions.ts";
import { findArchitecture, X32_BIT } from "./architectures.ts";
import { INSTRUCTION_BYTES } from "./assembler.ts";
import { compileSeccomp } from "./compile.ts";
import { type CheckedFilter, checkFilter, runFilter } from "./interpret.ts";
import { unknownSyscalls } from "./plan.ts";
import { syscallTable } from "./tables.ts";

const NATIVE = "SCMP_ARCH_X86_64";
const EPERM = RET_ERRNO | 1;
const FACTS = { architecture: "x86_64", capabilities: DEFAULT_CAPABILITIES, kernel: "6.1.0" };

function compile(more: Partial<typeof FACTS> = {}): CheckedFilter {
  return checkFilter(compileSeccomp(defaultProfile({ ...FACTS, ...more }), { native: NATIVE }));
}

const byDefault = compile();
const asAdmin = compile({ capabilities: [...DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"] });

function ask(filter: CheckedFilter, arch: string, name: string, args: readonly bigint[]): number {
  const architecture = findArchitecture(`SCMP_ARCH_${arch}`);
  const number = syscallTable(architecture).get(name) ?? -1;
  return runFilter(filter, { number, token: architecture.token, args }).value;
}

const HIGH = 2n ** 32n;
const SIGNED = 0xffffffff00000000n;
const ALG = 38n;
const VSOCK = 40n;
const NEWUSER = 0x10000000n;
const NEWNS = 0x20000n;
const NEWNET = 0x40000000n;
const SIGCHLD = 17n;

describe("denied to a container by default", () => {
  const cases: [string, string, bigint[]][] = [
    ["mount", "X86_64", []],
    ["umount2", "X86_64", []],
    ["reboot", "X86_64", [0xfee1dead00000000n]],
    ["keyctl", "X86_64", []],
    ["add_key", "X86_64", []],
    ["io_uring_setup", "X86_64", []],
    ["bpf", "X86_64", []],
    ["setns", "X86_64", []],
    ["userfaultfd", "X86_64", []],
    ["unshare", "X86_64", [NEWUSER]],
    ["unshare", "X86_64", [NEWNS]],
    ["open_by_handle_at", "X86_64", []],
    ["clone", "X86_64", [NEWUSER | SIGCHLD]],
    ["clone", "X86_64", [HIGH | NEWUSER | SIGCHLD]],
    ["clone", "X86_64", [SIGNED | NEWNET]],
    ["clone", "X32", [NEWUSER]],
    ["clone", "X86", [NEWNS]],
    ["mount", "X86", []],
    ["mount", "X32", []],
    ...["X86_64", "X32", "X86"].flatMap((arch): [string, string, bigint[]][] =>
      [ALG, VSOCK, HIGH + ALG, HIGH + VSOCK, SIGNED + ALG, SIGNED + VSOCK].map((family) => [
        "socket",
        arch,
        [family],
      ]),
    ),
    ["socketcall", "X86", [1n]],
    ["socketcall", "X86", [HIGH + 1n]],
    ["personality", "X86_64", [0x0040000n]],
    ["personality", "X86_64", [HIGH + 0x0040000n]],
  ];
  test.each(cases)("%s on %s with %p", (name, arch, args) => {
    expect(ask(byDefault, arch, name, args)).toBe(EPERM);
  });

  test("clone3 and calls newer than the profile are not there", () => {
    for (const name of ["clone3", "open_tree_attr", "file_setattr", "listns", "rseq_slice_yield"]) {
      expect(ask(byDefault, "X86_64", name, [])).toBe(RET_ENOSYS);
    }
  });

  test("another architecture's call kills", () => {
    const { token } = findArchitecture("SCMP_ARCH_AARCH64");
    expect(runFilter(byDefault, { number: 63, token, args: [] }).value).toBe(RET_KILL_PROCESS);
  });

  test("an x32 number is no way round", () => {
    const token = 0xc000003e;
    for (const number of [165, 41, 250, 321].map((native) => X32_BIT + native)) {
      expect(runFilter(byDefault, { number, token, args: [ALG] }).value).toBe(EPERM);
    }
  });
});

describe("what ordinary images need", () => {
  const cases: [string, string, bigint[]][] = [
    ["read", "X86_64", []],
    ["execve", "X86_64", []],
    ["clone", "X86_64", [SIGCHLD]],
    // Flags of pthread_create of glibc.
    ["clone", "X86_64", [0x3d0f00n]],
    ["socket", "X86_64", [1n]],
    ["socket", "X86_64", [2n]],
    ["socket", "X86_64", [10n]],
    ["socket", "X86_64", [16n]],
    ["socket", "X86", [2n]],
    ["socketcall", "X86", [2n]],
    ["socketcall", "X86", [15n]],
    ["ipc", "X86", [21n]],
    ["personality", "X86_64", [0n]],
    ["personality", "X86_64", [0xffffffffn]],
    ["personality", "X86_64", [2n ** 64n - 1n]],
    ["ptrace", "X86_64", []],
    ["read", "X86", []],
    ["read", "X32", []],
  ];
  test.each(cases)("%s on %s with %p", (name, arch, args) => {
    expect(ask(byDefault, arch, name, args)).toBe(RET_ALLOW);
  });

  test("SYS_ADMIN opens mounts and namespaces", () => {
    for (const name of ["mount", "unshare", "setns", "clone3", "bpf"]) {
      expect(ask(asAdmin, "X86_64", name, [])).toBe(RET_ALLOW);
    }
    expect(ask(asAdmin, "X86_64", "clone", [NEWUSER])).toBe(RET_ALLOW);
    expect(ask(asAdmin, "X86_64", "socket", [ALG])).toBe(EPERM);
  });
});

describe("the profile itself", () => {
  test("names no call that does not exist", () => {
    expect(unknownSyscalls(defaultProfile(FACTS))).toEqual([]);
  });

  test("is a small program, and read is cheap in it", () => {
    const program = compileSeccomp(defaultProfile(FACTS), { native: NATIVE });
    expect(program.length / INSTRUCTION_BYTES).toBeLessThan(300);
    const read = { number: 0, token: 0xc000003e, args: [] };
    expect(runFilter(byDefault, read).instructions).toBeLessThan(14);
  });

  test.each(["aarch64", "riscv64", "s390x", "ppc64le", "loongarch64"])(
    "compiles on %s",
    (machine) => {
      const profile = defaultProfile({ ...FACTS, architecture: machine });
      const native = `SCMP_ARCH_${machine.toUpperCase()}`;
      expect(compileSeccomp(profile, { native }).length).toBeGreaterThan(0);
    },
  );
});
