/**
 * Looks system calls up by name, and tells how wide the kernel takes an argument. The data is split
 * on first use: a filter that comes from the cache never pays for it.
 */

import type { Architecture } from "./architectures.ts";
import { ARGUMENT_WIDTHS, SYSCALL_NAMES, SYSCALL_NUMBERS } from "./syscall-data.ts";

/** Bits of an argument that the kernel looks at. */
export type Width = 16 | 32 | 64;

const RADIX = 36;
const ARGUMENTS = 6;
const WIDTHS: readonly Width[] = [64, 32, 16];

/** 32-bit architectures whose old owner calls take `old_uid_t`, an unsigned short. */
const UID16_TABLES: ReadonlySet<string> = new Set(["x86", "arm", "s390"]);
const UID16_CALLS: ReadonlySet<string> = new Set(
  "chown fchown lchown setfsgid setfsuid setgid setregid setresgid setresuid setreuid setuid".split(
    " ",
  ),
);

const tables = new Map<string, ReadonlyMap<string, number>>();
let widths: ReadonlyMap<string, number> | undefined;

function readColumn(names: string, cells: string): Map<string, number> {
  const list = cells.split(",");
  const column = new Map<string, number>();
  for (const [index, name] of names.split(" ").entries()) {
    const cell = list[index];
    if (cell) column.set(name, Number.parseInt(cell, RADIX));
  }
  return column;
}

/** Number by name, with the base of the calling convention: x32 numbers have the x32 bit. */
export function syscallTable(architecture: Architecture): ReadonlyMap<string, number> {
  const known = tables.get(architecture.table);
  if (known !== undefined) return known;
  const table = readColumn(SYSCALL_NAMES, SYSCALL_NUMBERS[architecture.table]);
  for (const [name, number] of table) table.set(name, number + architecture.base);
  tables.set(architecture.table, table);
  return table;
}

/** True for a name that some architecture has. */
export function isSyscallName(name: string): boolean {
  return SYSCALL_NAMES.split(" ").includes(name);
}

/**
 * The width of argument `index` (0 to 5) of a call. The kernel cuts an `int` off a 64-bit register,
 * so a filter that compares all 64 bits lets `socket(2^32 + 40)` pass for something other than
 * AF_VSOCK (CVE-2026-123876). libseccomp compares 64 bits.
 */
export function argumentWidth(architecture: Architecture, name: string, index: number): Width {
  widths ??= readColumn(SYSCALL_NAMES, ARGUMENT_WIDTHS);
  if (name === "clone") {
    // kernel/fork.c takes lower_32_bits(clone_flags); CONFIG_CLONE_BACKWARDS2 swaps two arguments.
    const flags = architecture.table.startsWith("s390") ? 1 : 0;
    return index === flags ? 32 : architecture.bits;
  }
  const code = Math.trunc((widths.get(name) ?? 0) / 3 ** index) % 3;
  const width = index < ARGUMENTS ? (WIDTHS[code] ?? 64) : 64;
  if (width === 32 && UID16_CALLS.has(name) && UID16_TABLES.has(architecture.table)) return 16;
  return architecture.bits === 32 && width === 64 ? 32 : width;
}
