/**
 * The architectures that a filter can name: their audit token, byte order and where their system
 * call numbers begin. Names are those of config-linux.md, "seccomp"; tokens are AUDIT_ARCH_* of
 * <linux/audit.h>.
 */

import { TareError } from "@tare/spec/error.ts";
import type { SYSCALL_NUMBERS } from "./syscall-data.ts";

/** Set in each number of an x32 call: <asm/unistd.h>, __X32_SYSCALL_BIT. */
export const X32_BIT = 0x40000000;

export type Architecture = {
  readonly name: string;
  /** What `seccomp_data.arch` holds; x32 has that of x86_64. */
  readonly token: number;
  readonly bigEndian: boolean;
  /** What user space means by `long`. Only the low half of an argument counts where it is 32. */
  readonly bits: 32 | 64;
  readonly table: keyof typeof SYSCALL_NUMBERS;
  /** Added to the numbers of the table. */
  readonly base: number;
};

const LITTLE = 0x40000000;
const WIDE = 0x80000000;
const N32 = 0x20000000;

function row(
  name: string,
  machine: number,
  flags: number,
  table: Architecture["table"],
  base = 0,
): Architecture {
  const wide = (flags & WIDE) !== 0 && (flags & N32) === 0;
  return {
    name: `SCMP_ARCH_${name}`,
    token: (machine | flags) >>> 0,
    bigEndian: (flags & LITTLE) === 0,
    bits: wide && base !== X32_BIT ? 64 : 32,
    table,
    base,
  };
}

/** Machine numbers are EM_* of <linux/elf-em.h>. */
export const ARCHITECTURES: readonly Architecture[] = [
  row("X86", 3, LITTLE, "x86"),
  row("X86_64", 62, WIDE | LITTLE, "x86_64"),
  row("X32", 62, WIDE | LITTLE, "x32", X32_BIT),
  row("ARM", 40, LITTLE, "arm"),
  row("AARCH64", 183, WIDE | LITTLE, "aarch64"),
  row("LOONGARCH64", 258, WIDE | LITTLE, "loongarch64"),
  row("MIPS", 8, 0, "mips", 4000),
  row("MIPSEL", 8, LITTLE, "mips", 4000),
  row("MIPS64", 8, WIDE, "mips64", 5000),
  row("MIPSEL64", 8, WIDE | LITTLE, "mips64", 5000),
  row("MIPS64N32", 8, WIDE | N32, "mips64n32", 6000),
  row("MIPSEL64N32", 8, WIDE | N32 | LITTLE, "mips64n32", 6000),
  row("PPC", 20, 0, "ppc"),
  row("PPC64", 21, WIDE, "ppc64"),
  row("PPC64LE", 21, WIDE | LITTLE, "ppc64"),
  row("RISCV64", 243, WIDE | LITTLE, "riscv64"),
  row("S390", 22, 0, "s390"),
  row("S390X", 22, WIDE, "s390x"),
];

/** The architecture of that name; `bad_input` where there is none. */
export function findArchitecture(name: string): Architecture {
  const found = ARCHITECTURES.find((architecture) => architecture.name === name);
  if (found !== undefined) return found;
  throw new TareError("bad_input", `Cannot use seccomp architecture "${name}": it is not known`, {
    hint: "`features` lists the known ones under linux.seccomp.archs",
  });
}

/**
 * The architectures of one filter, the runtime's own first and always there, as libseccomp and
 * runc have it: Docker leaves it out on ppc64le.
 */
export function filterArchitectures(native: string, listed: readonly string[]): Architecture[] {
  const own = findArchitecture(native);
  const chosen = new Set([own, ...listed.map(findArchitecture)]);
  for (const architecture of chosen) {
    if (architecture.bigEndian === own.bigEndian) continue;
    throw new TareError(
      "bad_input",
      `Cannot use seccomp architecture "${architecture.name}": its byte order is not that of ${own.name}`,
    );
  }
  return [...chosen];
}

/** By `machine` of uname(2), for machines whose name is not that of the architecture. */
const MACHINES: ReadonlyMap<string, string> = new Map([
  // What a 64-bit kernel says under personality(PER_LINUX32).
  ["i386", "X86_64"],
  ["i486", "X86_64"],
  ["i586", "X86_64"],
  ["i686", "X86_64"],
  ["armv8l", "AARCH64"],
  ["armv7l", "ARM"],
  ["armv6l", "ARM"],
]);

/** The architecture of the kernel by `machine` of uname(2); `unsupported` where we have none. */
export function nativeArchitecture(machine: string, littleEndian: boolean): string {
  const swapped =
    littleEndian && machine.startsWith("mips") ? machine.replace("mips", "mipsel") : machine;
  const name = `SCMP_ARCH_${MACHINES.get(machine) ?? swapped.toUpperCase()}`;
  if (ARCHITECTURES.some((architecture) => architecture.name === name)) return name;
  throw new TareError("unsupported", `Cannot compile seccomp filters for machine "${machine}"`);
}
