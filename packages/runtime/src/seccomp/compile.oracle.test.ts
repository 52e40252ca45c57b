/**
 * Compares our filters with those of the installed libseccomp 2.5: both are interpreted on every
 * number of every architecture and on boundary arguments. What differs on purpose is listed in
 * DIFFERENCES with its reason; anything else fails.
 */

import { dlopen, FFIType, type Pointer, ptr } from "bun:ffi";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Seccomp, SeccompArg, SeccompOperator, SeccompRule } from "@tare/spec/oci-runtime.ts";
import fc from "fast-check";
import {
  actionValue,
  isPermissive,
  leniency,
  RET_ENOSYS,
  RET_KILL_PROCESS,
  RET_KILL_THREAD,
} from "./actions.ts";
import { ARCHITECTURES, type Architecture, filterArchitectures, X32_BIT } from "./architectures.ts";
import { compileSeccomp } from "./compile.ts";
import { type CheckedFilter, checkFilter, runFilter } from "./interpret.ts";
import { multiplexed } from "./multiplexed.ts";
import { argumentWidth, syscallTable } from "./tables.ts";

const library = dlopen("libseccomp.so.2", {
  seccomp_init: { args: [FFIType.u32], returns: FFIType.ptr },
  seccomp_release: { args: [FFIType.ptr], returns: FFIType.void },
  seccomp_arch_add: { args: [FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  seccomp_arch_remove: { args: [FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  seccomp_syscall_resolve_name: { args: [FFIType.cstring], returns: FFIType.i32 },
  seccomp_syscall_resolve_name_arch: {
    args: [FFIType.u32, FFIType.cstring],
    returns: FFIType.i32,
  },
  seccomp_rule_add_array: {
    args: [FFIType.ptr, FFIType.u32, FFIType.i32, FFIType.u32, FFIType.ptr],
    returns: FFIType.i32,
  },
  seccomp_export_bpf: { args: [FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
}).symbols;

/** The architecture that the installed libseccomp is built for. */
const HOST_TOKEN = 0xc000003e;
const RESOLVE_ERROR = -1;
/** libseccomp's own token of x32, which has none in the kernel. */
const X32_TOKEN = 0x4000003e;
const EEXIST = -17;
/** enum scmp_compare of <seccomp.h>. */
const OPERATORS: Record<SeccompOperator, number> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};

function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

function libseccompToken(architecture: Architecture): number {
  return architecture.base === X32_BIT ? X32_TOKEN : architecture.token;
}

function argumentArray(args: readonly SeccompArg[]): DataView {
  const view = new DataView(new ArrayBuffer(Math.max(1, args.length) * 24));
  for (const [index, arg] of args.entries()) {
    view.setUint32(index * 24, arg.index, true);
    view.setUint32(index * 24 + 4, OPERATORS[arg.op], true);
    view.setBigUint64(index * 24 + 8, arg.value, true);
    view.setBigUint64(index * 24 + 16, arg.valueTwo, true);
  }
  return view;
}

/** Does what runc's matchCall does; a name that 2.5 does not know is skipped. */
function addRule(context: Pointer, name: string, rule: SeccompRule, fallback: number): void {
  const action = actionValue(rule.action, rule.errnoRet);
  const number = library.seccomp_syscall_resolve_name(cString(name));
  if (action === fallback || number === RESOLVE_ERROR) return;
  const apart = new Set(rule.args.map((arg) => arg.index)).size < rule.args.length;
  for (const args of apart ? rule.args.map((arg) => [arg]) : [rule.args]) {
    const array = argumentArray(args);
    const answer = library.seccomp_rule_add_array(
      context,
      action,
      number,
      args.length,
      ptr(array.buffer),
    );
    if (answer !== 0 && answer !== EEXIST) throw new Error(`${name}: rule_add says ${answer}`);
  }
}

const scratch = mkdtempSync(join(tmpdir(), "seccomp-oracle-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

/** The filter that runc would hand to the kernel, but for the ENOSYS stub that it puts in front. */
function libseccompFilter(profile: Seccomp, native: string): CheckedFilter {
  const fallback = actionValue(profile.defaultAction, profile.defaultErrnoRet);
  const context = library.seccomp_init(fallback) as Pointer | null;
  if (context === null) throw new Error("seccomp_init failed");
  // The host's own architecture goes first: libseccomp refuses to mix byte orders.
  library.seccomp_arch_remove(context, HOST_TOKEN);
  const architectures = filterArchitectures(native, profile.architectures);
  for (const architecture of architectures) {
    const answer = library.seccomp_arch_add(context, libseccompToken(architecture));
    if (answer !== 0) throw new Error(`arch_add ${architecture.name} says ${answer}`);
  }
  for (const rule of profile.syscalls) {
    for (const name of rule.names) addRule(context, name, rule, fallback);
  }
  const file = join(scratch, "filter");
  const fd = openSync(file, "w+");
  const answer = library.seccomp_export_bpf(context, fd);
  closeSync(fd);
  library.seccomp_release(context);
  if (answer !== 0) throw new Error(`export_bpf says ${answer}`);
  return checkFilter(readFileSync(file), architectures[0]?.bigEndian);
}

/** A profile with what the tests need of it again and again. */
type Context = {
  readonly profile: Seccomp;
  readonly native: string;
  readonly fallback: number;
  readonly architectures: readonly Architecture[];
  /** The largest number that the profile names, by architecture. */
  readonly limits: ReadonlyMap<Architecture, number>;
  /** Rules that count, by name. */
  readonly rules: ReadonlyMap<string, readonly SeccompRule[]>;
};

type Call = { readonly token: number; readonly number: number; readonly args: readonly bigint[] };

/** A call as both filters see it. */
type Probe = Call & {
  readonly context: Context;
  /** Undefined where the profile does not list it. */
  readonly architecture: Architecture | undefined;
  readonly names: readonly string[];
  readonly rules: readonly SeccompRule[];
};

const ARM_PRIVATE = 0xf0000;
const SKIPPED_CALL = 0xffffffff;

function toContext(profile: Seccomp, native: string): Context {
  const architectures = filterArchitectures(native, profile.architectures);
  const named = profile.syscalls.flatMap((rule) => rule.names);
  const limits = new Map<Architecture, number>();
  for (const architecture of architectures) {
    const table = syscallTable(architecture);
    const arm = architecture.table === "arm";
    const numbers = named.map((name) => table.get(name) ?? 0);
    limits.set(architecture, Math.max(0, ...numbers.filter((n) => !arm || n < ARM_PRIVATE)));
  }
  const fallback = actionValue(profile.defaultAction, profile.defaultErrnoRet);
  const rules = new Map<string, SeccompRule[]>();
  for (const rule of profile.syscalls) {
    if (actionValue(rule.action, rule.errnoRet) === fallback) continue;
    for (const name of rule.names) rules.set(name, [...(rules.get(name) ?? []), rule]);
  }
  return { profile, native, fallback, architectures, limits, rules };
}

const nameIndexes = new Map<string, ReadonlyMap<number, readonly string[]>>();

function nameIndex(architecture: Architecture): ReadonlyMap<number, readonly string[]> {
  const known = nameIndexes.get(architecture.name);
  if (known !== undefined) return known;
  const index = new Map<number, string[]>();
  for (const [name, number] of syscallTable(architecture)) {
    index.set(number, [...(index.get(number) ?? []), name]);
  }
  nameIndexes.set(architecture.name, index);
  return index;
}

function toProbe(context: Context, call: Call): Probe {
  const { token, number } = call;
  const listed = context.architectures.filter((one) => one.token === token);
  const x32 = token === HOST_TOKEN && number >= X32_BIT;
  const skipped = token === HOST_TOKEN && number === SKIPPED_CALL;
  const found = listed.find((one) => (one.base === X32_BIT) === x32);
  const architecture = found ?? (skipped ? listed[0] : undefined);
  const names = architecture === undefined ? [] : (nameIndex(architecture).get(number) ?? []);
  const rules = new Set(names.flatMap((name) => context.rules.get(name) ?? []));
  // In the order of the profile, also where two names have one number.
  const sorted =
    names.length < 2 ? [...rules] : context.profile.syscalls.filter((r) => rules.has(r));
  return { ...call, context, architecture, names, rules: sorted };
}

/** What the semantics say, written without a look at the compiler: one rule after the other. */
function expected(probe: Probe): number {
  const { context, architecture, rules, names, args } = probe;
  if (architecture === undefined) return RET_KILL_PROCESS;
  if (isBeyondProfile(probe, architecture)) return RET_ENOSYS;
  const plain = rules.find((rule) => rule.args.length === 0);
  if (plain !== undefined) return actionValue(plain.action, plain.errnoRet);
  const actions = rules
    .filter((rule) => matches(rule, architecture, names[0] ?? "", args))
    .map((rule) => actionValue(rule.action, rule.errnoRet));
  actions.push(...innerCallActions(probe, architecture));
  return actions.sort((a, b) => leniency(a) - leniency(b))[0] ?? context.fallback;
}

function isBeyondProfile(probe: Probe, architecture: Architecture): boolean {
  const { number, token, context } = probe;
  if (isPermissive(context.fallback)) return false;
  const limit = context.limits.get(architecture) ?? 0;
  if (architecture.table.startsWith("s390") && number === 0) return true;
  if (limit === 0) return false;
  if (architecture.table === "arm" && number >= ARM_PRIVATE && number <= 0xf0006) return false;
  if (number === SKIPPED_CALL && token === HOST_TOKEN) return architecture.base === X32_BIT;
  return number > limit;
}

function matches(
  rule: SeccompRule,
  architecture: Architecture,
  name: string,
  args: readonly bigint[],
): boolean {
  const met = rule.args.map((arg) => {
    const width = argumentWidth(architecture, name, arg.index);
    return compare(arg, (args[arg.index] ?? 0n) & (2n ** BigInt(width) - 1n), width);
  });
  const apart = new Set(rule.args.map((arg) => arg.index)).size < rule.args.length;
  return apart ? met.includes(true) : !met.includes(false);
}

function compare(arg: SeccompArg, seen: bigint, width: number): boolean {
  const full = 2n ** BigInt(width) - 1n;
  const cut = arg.value & full;
  const ordered = arg.value >= 2n ** 64n - 2n ** BigInt(width - 1) ? cut : arg.value;
  switch (arg.op) {
    case "SCMP_CMP_EQ":
      return seen === cut;
    case "SCMP_CMP_NE":
      return seen !== cut;
    case "SCMP_CMP_LT":
      return seen < ordered;
    case "SCMP_CMP_LE":
      return seen <= ordered;
    case "SCMP_CMP_GT":
      return seen > ordered;
    case "SCMP_CMP_GE":
      return seen >= ordered;
    case "SCMP_CMP_MASKED_EQ":
      return (seen & cut) === (arg.valueTwo & cut);
    default:
      throw new Error(arg.op);
  }
}

/** socketcall(2) and ipc(2): what rules for the call inside say. */
function innerCallActions(probe: Probe, architecture: Architecture): number[] {
  const outer = outerCall(probe);
  if (outer === undefined) return [];
  const { context, args } = probe;
  const width = argumentWidth(architecture, outer, 0);
  const selector = (args[0] ?? 0n) & (2n ** BigInt(width) - 1n);
  const inner = [...context.rules.keys()].filter((name) => {
    const found = multiplexed(name);
    return found?.call === outer && compare(found.selects, selector, width);
  });
  return inner
    .flatMap((name) => context.rules.get(name) ?? [])
    .map((rule) => ({ rule, action: actionValue(rule.action, rule.errnoRet) }))
    .filter(
      ({ rule, action }) => rule.args.length === 0 || leniency(action) < leniency(context.fallback),
    )
    .map(({ action }) => action);
}

function outerCall(probe: Probe): string | undefined {
  return probe.names.find((name) => name === "socketcall" || name === "ipc");
}

type Difference = {
  readonly name: string;
  readonly why: string;
  readonly explains: (probe: Probe, ours: number, theirs: number) => boolean;
};

function isMet({ architecture, names, args }: Probe, rule: SeccompRule): boolean {
  return architecture !== undefined && matches(rule, architecture, names[0] ?? "", args);
}

function isNarrowed(probe: Probe, arg: SeccompArg): boolean {
  const { architecture, names } = probe;
  if (architecture === undefined) return false;
  const width = BigInt(argumentWidth(architecture, names[0] ?? "", arg.index));
  const seen = probe.args[arg.index] ?? 0n;
  return [seen, arg.value, arg.valueTwo].some((value) => value >> width !== 0n);
}

function isKnown(probe: Probe, name: string): boolean {
  if (probe.architecture === undefined) return false;
  const text = cString(name);
  return (
    library.seccomp_syscall_resolve_name(text) !== RESOLVE_ERROR &&
    library.seccomp_syscall_resolve_name_arch(libseccompToken(probe.architecture), text) >= 0
  );
}

/** libseccomp 2.5 forgets to swap some return values for a byte order that is not the host's. */
function sameValue(ours: number, theirs: number, bigEndian: boolean): boolean {
  if (ours === theirs || !bigEndian) return ours === theirs;
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, theirs, true);
  return ours === view.getUint32(0, false);
}

const DIFFERENCES: readonly Difference[] = [
  {
    name: "unlisted architecture",
    why: "a thread that dies alone leaves a program half alive: we kill the process",
    explains: (probe, ours, theirs) =>
      probe.architecture === undefined && ours === RET_KILL_PROCESS && theirs === RET_KILL_THREAD,
  },
  {
    name: "newer than the profile",
    why: "runc puts its ENOSYS stub in front of libseccomp's filter; ours has it inside",
    explains: (probe, ours) =>
      ours === RET_ENOSYS &&
      probe.architecture !== undefined &&
      isBeyondProfile(probe, probe.architecture),
  },
  {
    name: "name newer than libseccomp 2.5",
    why: "our tables go on to Linux 7.0, and have LoongArch",
    explains: (probe) =>
      probe.names.some((name) => probe.context.rules.has(name) && !isKnown(probe, name)),
  },
  {
    name: "rules that overlap",
    why: "libseccomp takes whichever rule its tree reaches first; we take the strictest",
    explains: (probe) =>
      new Set(probe.rules.filter((rule) => isMet(probe, rule)).map((rule) => rule.action)).size > 1,
  },
  {
    name: "orderings of one 64-bit argument",
    why: "libseccomp before 2.6.1 merges them wrongly: GHSA-4q85-33p6-j5g6",
    explains: ({ architecture, rules }) => {
      const ordered = rules
        .flatMap((rule) => rule.args)
        .filter((arg) => /_[GL][ET]$/.test(arg.op))
        .map((arg) => arg.index);
      return architecture?.bits === 64 && new Set(ordered).size < ordered.length;
    },
  },
  {
    name: "argument narrower than 64 bits",
    why: "the kernel cuts the argument before it looks: comparing all bits is a bypass",
    explains: (probe) =>
      probe.rules.some((rule) => rule.args.some((arg) => isNarrowed(probe, arg))),
  },
  {
    name: "multiplexer",
    why:
      "libseccomp drops conditions on the first argument of the inner call, 2.5 knows x86 and s390 " +
      "only, and it compares the version in ipc's upper bits too",
    explains: (probe) =>
      [...probe.context.rules.keys()].some(
        (name) => multiplexed(name)?.call === (outerCall(probe) ?? "none"),
      ),
  },
];

const used = new Map<string, number>();
let compared = 0;

function compareFilters(profile: Seccomp, native: string, calls: Iterable<Call>): void {
  const context = toContext(profile, native);
  const bigEndian = context.architectures[0]?.bigEndian === true;
  const ours = checkFilter(compileSeccomp(profile, { native }), bigEndian);
  const theirs = libseccompFilter(profile, native);
  for (const call of calls) {
    const probe = toProbe(context, call);
    const mine = runFilter(ours, call, bigEndian).value;
    const other = runFilter(theirs, call, bigEndian).value;
    const want = expected(probe);
    compared++;
    if (mine !== want) throw new Error(describeCase("not what the rules say", probe, mine, want));
    if (sameValue(mine, other, bigEndian)) continue;
    const difference = DIFFERENCES.find((one) => one.explains(probe, mine, other));
    if (difference === undefined) {
      throw new Error(describeCase("not what libseccomp does", probe, mine, other));
    }
    used.set(difference.name, (used.get(difference.name) ?? 0) + 1);
  }
}

function describeCase(what: string, probe: Probe, ours: number, want: number): string {
  const hex = (value: number | bigint) => `0x${value.toString(16)}`;
  const call = `${probe.architecture?.name ?? hex(probe.token)} ${probe.number} (${probe.names})`;
  const shown = JSON.stringify(probe.rules, (key, value) =>
    key === "names" ? undefined : typeof value === "bigint" ? hex(value) : value,
  );
  return `${what}: ${call} args ${probe.args.map(hex)}: ours ${hex(ours)}, want ${hex(want)}; ${shown}`;
}

const UNKNOWN_TOKENS = [0, 0x40000009, 0xc0000032, 0xffffffff];
const EDGES = [
  512,
  547,
  548,
  600,
  4095,
  0xeffff,
  0xf0000,
  0xf0001,
  0xf0006,
  0xf0007,
  0x3fffffff,
  X32_BIT - 1,
  0x7fffffff,
  0x80000000,
  0xfffffffe,
  SKIPPED_CALL,
];

/** Every number of every architecture's table, gaps and surroundings too, all arguments 0. */
function* everyNumber(): Generator<Call> {
  const args = [0n, 0n, 0n, 0n, 0n, 0n];
  const bases = new Map<number, Set<number>>();
  for (const { token, base } of ARCHITECTURES) {
    bases.set(token, (bases.get(token) ?? new Set()).add(base).add(0).add(X32_BIT));
  }
  for (const token of UNKNOWN_TOKENS) bases.set(token, new Set([0]));
  for (const [token, starts] of bases) {
    for (const start of starts) {
      for (let index = 0; index < 480; index++) yield { token, number: start + index, args };
    }
    for (const number of EDGES) yield { token, number, args };
  }
}

/** The calls that rules with arguments are about, and their multiplexers, on values around theirs. */
function* boundaryCalls(context: Context): Generator<Call> {
  for (const architecture of context.architectures) {
    const table = syscallTable(architecture);
    for (const [name, rules] of context.rules) {
      const number = table.get(name);
      const outer = table.get(multiplexed(name)?.call ?? "");
      const selector = multiplexed(name)?.selects.value ?? 0n;
      const calls = [...boundaryArguments(rules)];
      yield* callsOf(architecture, number, calls);
      yield* callsOf(architecture, outer, calls);
      yield* callsOf(
        architecture,
        outer,
        calls.map((args) => args.with(0, selector)),
      );
    }
  }
}

function callsOf(
  { token }: Architecture,
  number: number | undefined,
  calls: readonly (readonly bigint[])[],
): Call[] {
  return number === undefined ? [] : calls.map((args) => ({ token, number, args }));
}

const HIGH = 0xffffffff00000000n;

function around({ value, valueTwo }: SeccompArg): bigint[] {
  const near = [value - 1n, value, value + 1n, valueTwo, value & 0xffffffffn];
  const far = [value | (1n << 32n), value | HIGH, valueTwo | HIGH, value ^ (1n << 16n), 0n];
  return [...new Set([...near, ...far].map((one) => BigInt.asUintN(64, one)))];
}

/** Each rule's own arguments in all combinations, then each value of one rule at another's index. */
function* boundaryArguments(rules: readonly SeccompRule[]): Generator<bigint[]> {
  const zero = [0n, 0n, 0n, 0n, 0n, 0n];
  for (const { args } of rules) {
    let calls = [zero];
    for (const arg of args) {
      calls = calls.flatMap((call) => around(arg).map((value) => call.with(arg.index, value)));
    }
    yield* calls;
  }
  const all = rules.flatMap((rule) => rule.args);
  for (const { index } of all) {
    for (const arg of all) {
      for (const value of around(arg)) yield zero.with(index, value);
    }
  }
}

const NATIVES: Record<string, readonly string[]> = {
  SCMP_ARCH_X86_64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  SCMP_ARCH_AARCH64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
  SCMP_ARCH_S390X: ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
  SCMP_ARCH_PPC64LE: [],
  SCMP_ARCH_RISCV64: ["SCMP_ARCH_RISCV64"],
  SCMP_ARCH_MIPSEL64: ["SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64N32"],
  SCMP_ARCH_MIPS64: ["SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64N32"],
};

/** These two share libseccomp's stand-in number for calls that the host lacks, and get mixed up. */
const CLASHING = new Set(["switch_endian", "sys_debug_setcontext"]);
const NAMES = [...new Set(ARCHITECTURES.flatMap((one) => [...syscallTable(one).keys()]))]
  .filter((name) => !CLASHING.has(name))
  .sort();
/** Names that get arguments in random profiles: few, so that rules meet. */
const BUSY = [
  "socket",
  "clone",
  "personality",
  "ioctl",
  "prctl",
  "mmap",
  "lseek",
  "shmget",
  "chmod",
];
const VALUES = [
  0n,
  1n,
  2n,
  8n,
  38n,
  40n,
  0xffffn,
  0x10000n,
  0x20000n,
  0x7e020000n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  2n ** 32n,
  2n ** 32n + 40n,
  2n ** 40n,
  2n ** 63n,
  HIGH,
  HIGH + 40n,
  2n ** 64n - 1n,
];

const argumentOf = fc.record<SeccompArg>({
  index: fc.integer({ min: 0, max: 5 }),
  value: fc.constantFrom(...VALUES),
  valueTwo: fc.constantFrom(...VALUES),
  op: fc.constantFrom(...(Object.keys(OPERATORS) as SeccompOperator[])),
});
const ACTIONS = [
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_LOG",
  "SCMP_ACT_TRACE",
] as const;
const plainRule = fc.record({
  names: fc.subarray(NAMES, { minLength: 1, maxLength: 120 }),
  action: fc.constantFrom(...ACTIONS),
  args: fc.constant([]),
});
const ruleWithArguments = fc.record({
  names: fc.subarray(BUSY, { minLength: 1, maxLength: 2 }),
  action: fc.constantFrom("SCMP_ACT_ALLOW" as const, "SCMP_ACT_ERRNO" as const),
  args: fc.array(argumentOf, { minLength: 1, maxLength: 3 }),
});

function randomProfile(native: string): fc.Arbitrary<Seccomp> {
  const listed: readonly string[] = NATIVES[native] ?? [];
  return fc.record({
    defaultAction: fc.constantFrom(...ACTIONS),
    architectures: fc.subarray([...listed]),
    flags: fc.constant([]),
    syscalls: fc
      .tuple(fc.array(ruleWithArguments, { maxLength: 5 }), fc.array(plainRule, { maxLength: 4 }))
      .map(([some, plain]) => [...plain, ...some]),
  });
}

/** containers-common's profile as the runtime gets it, with every condition taken as met. */
function installedProfile(architectures: readonly string[]): Seccomp {
  const text = readFileSync("/usr/share/containers/seccomp.json", "utf8");
  const json = JSON.parse(text) as {
    defaultErrnoRet: number;
    syscalls: {
      names: string[];
      action: SeccompRule["action"];
      errnoRet?: number;
      args: { index: number; value: number; valueTwo: number; op: SeccompOperator }[] | null;
    }[];
  };
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: json.defaultErrnoRet,
    architectures,
    flags: [],
    syscalls: json.syscalls.map(({ names, action, errnoRet, args }) => ({
      names,
      action,
      ...(errnoRet === undefined ? {} : { errnoRet }),
      args: (args ?? []).map((arg) => ({
        ...arg,
        value: BigInt(arg.value),
        valueTwo: BigInt(arg.valueTwo),
      })),
    })),
  };
}

/** Both filters run some 100,000 calls a test: seconds on a busy machine. */
setDefaultTimeout(120_000);

describe("against libseccomp", () => {
  for (const [native, listed] of Object.entries(NATIVES)) {
    test(`the profile of containers-common on ${native}`, () => {
      const profile = installedProfile(listed);
      const calls = [...everyNumber(), ...boundaryCalls(toContext(profile, native))];
      compareFilters(profile, native, calls);
      expect(compared).toBeGreaterThan(10_000);
    });

    test(`random profiles on ${native}`, () => {
      const property = fc.property(randomProfile(native), (profile) => {
        const context = toContext(profile, native);
        const tokens = context.architectures.map((one) => one.token);
        const numbers = [...everyNumber()].filter(
          ({ token, number }) => tokens.includes(token) || number === 0,
        );
        compareFilters(profile, native, [...numbers, ...boundaryCalls(context)]);
      });
      fc.assert(property, { numRuns: 15, seed: 1, endOnFailure: true, includeErrorInReport: true });
    });
  }

  test.each(DIFFERENCES.map((one) => [one.name]))("the listed difference is one: %s", (name) => {
    expect(used.get(name) ?? 0).toBeGreaterThan(0);
  });
});
