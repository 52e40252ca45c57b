/**
 * Prints packages/runtime/src/seccomp/syscall-data.ts: the number of each system call on each
 * architecture, and the width of each argument.
 *
 *   bun tools/gen-syscalls.ts --xsys DIR --header FILE > packages/runtime/src/seccomp/syscall-data.ts
 *   biome check --write packages/runtime/src/seccomp/syscall-data.ts
 *
 * Sources, all from package registries:
 * - numbers up to Linux 5.17: the installed libseccomp (libseccomp.so.2), every architecture it has;
 * - newer numbers, and LoongArch: golang.org/x/sys v0.49.0 (Linux 7.0); DIR is what
 *   `go mod download -json golang.org/x/sys@v0.49.0` names, with `/unix` behind it;
 * - arguments: FILE is include/linux/syscalls.h of Debian's linux-headers-6.12.*-common.
 */
import { CString, dlopen, FFIType, type Pointer } from "bun:ffi";
import { parseArgs } from "node:util";

/** Since Linux 5.0 a new call has one number everywhere, counted from the base of the architecture. */
const UNIFORM_FROM = 403;
const NUMBER_MAX = 600;

type Source = {
  /** libseccomp's token of the architecture; absent where Debian 12's does not know it. */
  readonly token?: number;
  /** The file of x/sys, for numbers that libseccomp lacks. */
  readonly xsys: string;
  /** Added to each number by the calling convention. */
  readonly base: number;
  /** Only uniform numbers are taken from `xsys`: it is of a sister architecture. */
  readonly borrowed?: true;
  readonly xsysBase?: number;
};

const X32_BIT = 0x40000000;
const ARM_TOKEN = 0x40000028;
const SOURCES: Record<string, Source> = {
  x86: { token: 0x40000003, xsys: "386", base: 0 },
  x86_64: { token: 0xc000003e, xsys: "amd64", base: 0 },
  x32: { token: 0x4000003e, xsys: "amd64", base: X32_BIT, borrowed: true, xsysBase: 0 },
  arm: { token: ARM_TOKEN, xsys: "arm", base: 0 },
  aarch64: { token: 0xc00000b7, xsys: "arm64", base: 0 },
  riscv64: { token: 0xc00000f3, xsys: "riscv64", base: 0 },
  loongarch64: { xsys: "loong64", base: 0 },
  mips: { token: 0x40000008, xsys: "mipsle", base: 4000 },
  mips64: { token: 0xc0000008, xsys: "mips64le", base: 5000 },
  mips64n32: { token: 0xe0000008, xsys: "mips64le", base: 6000, borrowed: true, xsysBase: 5000 },
  ppc: { token: 0x14, xsys: "ppc", base: 0 },
  ppc64: { token: 0xc0000015, xsys: "ppc64le", base: 0 },
  s390: { token: 0x16, xsys: "s390x", base: 0, borrowed: true },
  s390x: { token: 0x80000016, xsys: "s390x", base: 0 },
};

/** x/sys names what the C library calls it; the kernel's table has the other name. */
const XSYS_RENAMES = new Map([["fstatat", "newfstatat"]]);
/** Place holders in <asm/unistd.h>, not calls. */
const NOT_CALLS = /^(arch_specific_syscall|syscall_mask|reserved\d+|unused\d+)$/;
/** ARM's own calls (__ARM_NR_BASE + 1..6), outside of the table; libseccomp has them by name only. */
const ARM_PRIVATE = ["breakpoint", "cacheflush", "usr26", "usr32", "set_tls", "get_tls"];
const ARM_PRIVATE_BASE = 0x0f0000;

/** Calls that linux/syscalls.h declares under another name. */
const DECLARED_AS = new Map([
  ["_llseek", "llseek"],
  ["_newselect", "select"],
  ["chown32", "chown"],
  ["fstat", "newfstat"],
  ["lstat", "newlstat"],
  ["stat", "newstat"],
  ["uname", "newuname"],
  ["umount2", "umount"],
  ["umount", "oldumount"],
  ["sendfile", "sendfile64"],
  ["arm_sync_file_range", "sync_file_range2"],
]);

/** Calls that linux/syscalls.h leaves out or that came after it; from the kernel's SYSCALL_DEFINE. */
const DECLARED_HERE = `
arch_prctl(int option, unsigned long arg2)
arm_fadvise64_64(int fd, int advice, loff_t offset, loff_t len)
cacheflush(unsigned long start, unsigned long end, int flags)
file_getattr(int dfd, const char *name, struct file_attr *ufattr, size_t usize, unsigned int flags)
file_setattr(int dfd, const char *name, struct file_attr *ufattr, size_t usize, unsigned int flags)
getxattrat(int dfd, const char *path, unsigned int at_flags, const char *name, struct x *args, size_t usize)
iopl(unsigned int level)
ipc(umode_t call, int first, unsigned long second, unsigned long third, void *ptr, long fifth)
listns(const struct ns_id_req *req, u64 *ns_ids, size_t nr_ns_ids, unsigned int flags)
listxattrat(int dfd, const char *path, unsigned int at_flags, char *list, size_t size)
modify_ldt(int func, void *ptr, unsigned long bytecount)
open_tree_attr(int dfd, const char *path, unsigned int flags, struct mount_attr *uattr, size_t usize)
removexattrat(int dfd, const char *path, unsigned int at_flags, const char *name)
riscv_hwprobe(struct riscv_hwprobe *pairs, size_t pair_count, size_t cpusetsize, unsigned long *cpus, unsigned int flags)
s390_guarded_storage(int command, struct gs_cb *gs_cb)
s390_runtime_instr(int command, int signum)
setxattrat(int dfd, const char *path, unsigned int at_flags, const char *name, const struct x *args, size_t usize)
`;

const WIDE_TYPES = new Set([
  "unsigned long",
  "long",
  "size_t",
  "loff_t",
  "off_t",
  "u64",
  "aio_context_t",
  "old_sigset_t",
  "cap_user_header_t",
  "cap_user_data_t",
  "__sighandler_t",
  "long long",
]);
const INT_TYPES = new Set([
  "int",
  "unsigned int",
  "unsigned",
  "pid_t",
  "uid_t",
  "gid_t",
  "mqd_t",
  "clockid_t",
  "timer_t",
  "key_t",
  "key_serial_t",
  "qid_t",
  "rwf_t",
  "u32",
  "__u32",
  "__s32",
  "uint32_t",
  "enum landlock_rule_type",
]);
/** `unsigned short`: the kernel drops the upper half of the word too. */
const SHORT_TYPES = new Set(["umode_t", "old_uid_t", "old_gid_t"]);

function libseccompNames(): (token: number, number: number) => string | undefined {
  const library = dlopen("libseccomp.so.2", {
    seccomp_syscall_resolve_num_arch: { args: [FFIType.u32, FFIType.i32], returns: FFIType.ptr },
  });
  return (token, number) => {
    const name = library.symbols.seccomp_syscall_resolve_num_arch(token, number);
    return name === null ? undefined : new CString(name as Pointer).toString();
  };
}

async function xsysNumbers(directory: string, file: string): Promise<Map<number, string>> {
  const text = await Bun.file(`${directory}/zsysnum_linux_${file}.go`).text();
  const found = new Map<number, string>();
  for (const [, constant, number] of text.matchAll(/^\tSYS_(\w+) += (\d+)$/gm)) {
    const name = (constant ?? "").toLowerCase();
    if (!NOT_CALLS.test(name)) found.set(Number(number), XSYS_RENAMES.get(name) ?? name);
  }
  if (found.size < 300) throw new Error(`${file}: only ${found.size} calls in x/sys`);
  return found;
}

type Resolve = ReturnType<typeof libseccompNames>;

/** Fills `table` from libseccomp; the answer is the set of numbers that it named. */
function addKnown(table: Map<string, number>, source: Source, resolve: Resolve): Set<number> {
  const named = new Set<number>();
  const { token } = source;
  if (token === undefined) return named;
  const offset = source.base === X32_BIT ? 0 : source.base;
  for (let index = 0; index < NUMBER_MAX; index++) {
    const call = resolve(token, offset + index);
    if (call === undefined) continue;
    table.set(call, index);
    named.add(index);
  }
  return named;
}

/** Adds what x/sys has and libseccomp lacks; two numbers for one name are an error. */
function addNewer(
  table: Map<string, number>,
  named: Set<number>,
  source: Source,
  numbers: Map<number, string>,
): void {
  const lowest = source.borrowed ? UNIFORM_FROM : 0;
  for (const [number, call] of numbers) {
    const index = number - (source.xsysBase ?? source.base);
    if (index < lowest || index > NUMBER_MAX || named.has(index)) continue;
    const known = table.get(call);
    if (known !== undefined) throw new Error(`${source.xsys}: ${call} is ${known} and ${index}`);
    table.set(call, index);
  }
}

function addArmPrivate(table: Map<string, number>, resolve: Resolve): void {
  for (const [index, call] of ARM_PRIVATE.entries()) table.set(call, ARM_PRIVATE_BASE + 1 + index);
  if (resolve(ARM_TOKEN, table.get("set_tls") ?? 0) !== "set_tls") {
    throw new Error("arm: libseccomp has another number for set_tls");
  }
}

function readPrototypes(header: string): Map<string, string[]> {
  const prototypes = new Map<string, string[]>();
  const add = (name: string, list: string, first: boolean) => {
    const types = list.replace(/\s+/g, " ").split(",");
    if (!first || !prototypes.has(name)) prototypes.set(name, types);
  };
  for (const [, name, list] of header.matchAll(/asmlinkage long sys_(\w+)\(([^)]*)\);/g)) {
    // The second of two fanotify_mark is that of 64-bit kernels.
    add(name ?? "", list ?? "", name !== "fanotify_mark");
  }
  for (const [, name, list] of DECLARED_HERE.matchAll(/^(\w+)\((.*)\)$/gm)) {
    add(name ?? "", list ?? "", false);
  }
  return prototypes;
}

/** 0 for 64 bits, 1 for 32, 2 for 16. */
function width(parameter: string, call: string): number {
  if (parameter.includes("*")) return 0;
  const words = parameter
    .replace(/\b(__user|const|struct)\b/g, "")
    .trim()
    .split(" ");
  const whole = words.filter((word) => word !== "").join(" ");
  const type = words
    .filter((word) => word !== "")
    .slice(0, -1)
    .join(" ");
  for (const candidate of [whole, type]) {
    if (WIDE_TYPES.has(candidate)) return 0;
    if (INT_TYPES.has(candidate)) return 1;
    if (SHORT_TYPES.has(candidate)) return 2;
  }
  throw new Error(`${call}: what is "${parameter}"?`);
}

/** Base 3, the first argument lowest. `clone` is left to the compiler: its order differs. */
function widthCode(call: string, prototypes: Map<string, string[]>): number {
  const parameters =
    prototypes.get(DECLARED_AS.get(call) ?? call) ??
    prototypes.get(call.replace(/_time64$/, "")) ??
    prototypes.get(call.replace(/64$|32$/, ""));
  if (parameters === undefined || call === "clone" || parameters[0]?.trim() === "void") return 0;
  return parameters
    .slice(0, 6)
    .reduceRight((code, parameter) => code * 3 + width(parameter, call), 0);
}

function render(tables: Map<string, Map<string, number>>, prototypes: Map<string, string[]>) {
  const names = [...new Set([...tables.values()].flatMap((table) => [...table.keys()]))].sort();
  const cell = (value: number | undefined) => (value === undefined ? "" : value.toString(36));
  const rows = [...tables].map(
    ([name, table]) => `  ${name}: "${names.map((call) => cell(table.get(call))).join(",")}",`,
  );
  const widths = names.map((call) => widthCode(call, prototypes));
  return `/**
 * System call numbers and argument widths, written by tools/gen-syscalls.ts. Do not edit.
 * Column n of each list belongs to name n; cells are base 36, an empty one means "none".
 */

/** Every name, sorted, separated by a blank. */
export const SYSCALL_NAMES =
  "${names.join(" ")}";

/** Numbers above the base of the architecture's calling convention. */
export const SYSCALL_NUMBERS = {
${rows.join("\n")}
} as const;

/** Six base-3 digits, the first argument lowest: 0 for 64 bits, 1 for 32, 2 for 16. */
export const ARGUMENT_WIDTHS =
  "${widths.map((code) => (code === 0 ? "" : code.toString(36))).join(",")}";
`;
}

const { values } = parseArgs({ options: { xsys: { type: "string" }, header: { type: "string" } } });
if (values.xsys === undefined || values.header === undefined) {
  throw new Error("usage: bun tools/gen-syscalls.ts --xsys DIR --header FILE");
}
const resolve = libseccompNames();
const tables = new Map<string, Map<string, number>>();
for (const [name, source] of Object.entries(SOURCES)) {
  const table = new Map<string, number>();
  const named = addKnown(table, source, resolve);
  addNewer(table, named, source, await xsysNumbers(values.xsys, source.xsys));
  if (name === "arm") addArmPrivate(table, resolve);
  tables.set(name, table);
}
const header = await Bun.file(values.header).text();
process.stdout.write(render(tables, readPrototypes(header)));
