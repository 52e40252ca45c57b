/**
 * Looks system calls up by name, and tells how wide the kernel takes an argument. The data is split
 * on first use: a filter that comes from the cache never pays for it. Loops are by index: iterators
 * are slow on QuickJS, and a profile asks some 1300 times.
 */

import type { Architecture } from "./architectures.ts";
import { ARGUMENT_WIDTHS, SYSCALL_NAMES, SYSCALL_NUMBERS } from "./syscall-data.ts";

/** Bits of an argument that the kernel looks at. */
export type Width = 16 | 32 | 64;

/** The number of a call, with the base of the calling convention: x32 numbers have the x32 bit. */
export type Numbers = (name: string) => number | undefined;

const RADIX = 36;
const ARGUMENTS = 6;
const WIDTHS: readonly Width[] = [64, 32, 16];

/** 32-bit architectures whose old owner calls take `old_uid_t`, an unsigned short. */
const UID16_TABLES: ReadonlySet<string> = new Set(["x86", "arm", "s390"]);
const UID16_CALLS =
  " chown fchown lchown setfsgid setfsuid setgid setregid setresgid setresuid setreuid setuid ";

let columns: ReadonlyMap<string, number> | undefined;
let widths: readonly string[] | undefined;

/** The column of each name in the data. */
function columnsByName(): ReadonlyMap<string, number> {
  if (columns !== undefined) return columns;
  const names = SYSCALL_NAMES.split(" ");
  const map = new Map<string, number>();
  for (let column = 0; column < names.length; column++) map.set(names[column] as string, column);
  columns = map;
  return map;
}

/** The numbers of an architecture; undefined is answered for a name that it lacks. */
export function syscallNumbers(architecture: Architecture): Numbers {
  const columnOf = columnsByName();
  const cells = SYSCALL_NUMBERS[architecture.table].split(",");
  return (name) => {
    const cell = cells[columnOf.get(name) ?? -1];
    return cell ? Number.parseInt(cell, RADIX) + architecture.base : undefined;
  };
}

/** Number by name of all calls of an architecture. */
export function syscallTable(architecture: Architecture): ReadonlyMap<string, number> {
  const numbers = syscallNumbers(architecture);
  const table = new Map<string, number>();
  for (const name of columnsByName().keys()) {
    const number = numbers(name);
    if (number !== undefined) table.set(name, number);
  }
  return table;
}

/** True for a name that some architecture has. */
export function isSyscallName(name: string): boolean {
  return columnsByName().has(name);
}

/**
 * The width of argument `index` (0 to 5) of a call. The kernel cuts an `int` off a 64-bit register,
 * so a filter that compares all 64 bits lets `socket(2^32 + 40)` pass for something other than
 * AF_VSOCK (CVE-2026-123876). libseccomp compares 64 bits.
 */
export function argumentWidth(architecture: Architecture, name: string, index: number): Width {
  if (name === "clone") {
    // kernel/fork.c takes lower_32_bits(clone_flags); CONFIG_CLONE_BACKWARDS2 swaps two arguments.
    const flags = architecture.table.startsWith("s390") ? 1 : 0;
    return index === flags ? 32 : architecture.bits;
  }
  widths ??= ARGUMENT_WIDTHS.split(",");
  const cell = widths[columnsByName().get(name) ?? -1];
  const digits = cell ? Number.parseInt(cell, RADIX) : 0;
  const code = index < ARGUMENTS ? Math.trunc(digits / 3 ** index) % 3 : 0;
  const width = WIDTHS[code] ?? 64;
  const isUid16 = UID16_TABLES.has(architecture.table) && UID16_CALLS.includes(` ${name} `);
  if (width === 32 && isUid16) return 16;
  return architecture.bits === 32 && width === 64 ? 32 : width;
}
