import { describe, expect, test } from "bun:test";
import { ARCHITECTURES, findArchitecture, nativeArchitecture } from "./architectures.ts";
import { ARGUMENT_WIDTHS, SYSCALL_NAMES, SYSCALL_NUMBERS } from "./syscall-data.ts";
import { argumentWidth, syscallTable } from "./tables.ts";

describe("tables", () => {
  // From <asm/unistd.h> of each architecture.
  const known: [string, string, number | undefined][] = [
    ["X86_64", "read", 0],
    ["X86_64", "openat2", 437],
    ["X86_64", "rseq_slice_yield", 471],
    ["X86_64", "socketcall", undefined],
    ["X86", "socketcall", 102],
    ["X86", "umount", 22],
    ["X32", "read", 0x40000000],
    ["X32", "execve", 0x40000000 + 520],
    ["ARM", "set_tls", 0xf0005],
    ["ARM", "breakpoint", 0xf0001],
    ["AARCH64", "newfstatat", 79],
    ["AARCH64", "open", undefined],
    ["RISCV64", "riscv_flush_icache", 259],
    ["LOONGARCH64", "read", 63],
    ["LOONGARCH64", "newfstatat", 79],
    ["MIPS", "read", 4003],
    ["MIPSEL", "clone3", 4435],
    ["MIPS64", "read", 5000],
    ["MIPSEL64N32", "read", 6000],
    ["PPC", "read", 3],
    ["PPC64LE", "openat2", 437],
    ["S390", "read", 3],
    ["S390X", "clone", 120],
  ];
  test.each(known)("%s %s is %p", (architecture, name, number) => {
    expect(syscallTable(findArchitecture(`SCMP_ARCH_${architecture}`)).get(name)).toBe(number);
  });

  test("columns are as many as names, and names are sorted and unique", () => {
    const names = SYSCALL_NAMES.split(" ");
    expect([...new Set(names)].sort()).toEqual(names);
    for (const column of [ARGUMENT_WIDTHS, ...Object.values(SYSCALL_NUMBERS)]) {
      expect(column.split(",").length).toBe(names.length);
    }
  });

  test("newer calls have one number everywhere", () => {
    for (const architecture of ARCHITECTURES) {
      const number = syscallTable(architecture).get("cachestat") ?? 0;
      expect(number - architecture.base).toBe(451);
    }
  });
});

describe("argument widths", () => {
  const cases: [string, string, number, number][] = [
    ["X86_64", "socket", 0, 32],
    ["X86_64", "ioctl", 1, 32],
    ["X86_64", "ioctl", 2, 64],
    ["X86_64", "prctl", 0, 32],
    ["X86_64", "prctl", 1, 64],
    ["X86_64", "personality", 0, 32],
    ["X86_64", "clone", 0, 32],
    ["X86_64", "clone", 1, 64],
    ["X86_64", "setns", 1, 32],
    ["X86_64", "unshare", 0, 64],
    ["X86_64", "chmod", 1, 16],
    ["X86_64", "fchmodat2", 3, 32],
    ["X86_64", "fanotify_mark", 2, 64],
    ["X86_64", "arch_prctl", 0, 32],
    ["X86_64", "read", 5, 64],
    ["X86_64", "read", 6, 64],
    ["X86", "mmap2", 0, 32],
    ["X86", "setuid", 0, 16],
    ["X86", "setuid32", 0, 32],
    ["X86", "ipc", 0, 16],
    ["S390X", "clone", 0, 64],
    ["S390X", "clone", 1, 32],
    ["X32", "lseek", 1, 32],
  ];
  test.each(cases)("%s %s argument %d has %d bits", (architecture, name, index, width) => {
    expect(argumentWidth(findArchitecture(`SCMP_ARCH_${architecture}`), name, index)).toBe(
      width as 16 | 32 | 64,
    );
  });
});

describe("the kernel's own architecture", () => {
  const cases: [string, boolean, string][] = [
    ["x86_64", true, "X86_64"],
    ["i686", true, "X86_64"],
    ["aarch64", true, "AARCH64"],
    ["armv7l", true, "ARM"],
    ["mips64", true, "MIPSEL64"],
    ["mips64", false, "MIPS64"],
    ["ppc64le", true, "PPC64LE"],
    ["s390x", false, "S390X"],
    ["riscv64", true, "RISCV64"],
    ["loongarch64", true, "LOONGARCH64"],
  ];
  test.each(cases)("%s, little endian %p", (machine, littleEndian, want) => {
    expect(nativeArchitecture(machine, littleEndian)).toBe(`SCMP_ARCH_${want}`);
  });

  test("another machine is an error", () => {
    expect(() => nativeArchitecture("vax", true)).toThrow('machine "vax"');
  });
});
