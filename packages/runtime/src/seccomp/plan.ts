/**
 * Decides what each system call number of each architecture gets. The semantics are those of runc
 * with libseccomp; where they differ on purpose, a comment says so and the oracle test lists it:
 *
 * - A rule whose action is the default's, and a name that no architecture has, are skipped.
 * - A rule without arguments beats every rule with arguments; of two such rules the first counts.
 * - Of several matching rules with arguments the strictest action counts. libseccomp takes the one
 *   that its tree happens to reach first.
 * - Two conditions of one rule on the same argument are two rules, as in runc.
 * - A number above the largest one that the profile names gets ENOSYS unless unlisted calls go
 *   through, so that a C library falls back to an older call.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Seccomp, SeccompArg, SeccompRule } from "@tare/spec/oci-runtime.ts";
import {
  actionValue,
  isPermissive,
  leniency,
  RET_ENOSYS,
  RET_KILL_PROCESS,
  RET_NOTIFY,
} from "./actions.ts";
import { type Architecture, filterArchitectures, X32_BIT } from "./architectures.ts";
import { type Condition, checkArgument, toCondition } from "./conditions.ts";
import { multiplexed } from "./multiplexed.ts";
import { argumentWidth, isSyscallName, type Numbers, syscallNumbers } from "./tables.ts";

/** All conditions must hold; none means always. */
export type ArgumentRule = { readonly action: number; readonly conditions: readonly Condition[] };

/** A filter value, or rules tried in order and the value where none matches. */
export type Outcome =
  | number
  | { readonly rules: readonly ArgumentRule[]; readonly otherwise: number };

/** Numbers from `start` up to the next range's start. */
export type Range = { readonly start: number; readonly outcome: Outcome };

/** Ranges cover all 32-bit numbers, sorted. */
export type Section = { readonly token: number; readonly ranges: readonly Range[] };

export type FilterPlan = { readonly bigEndian: boolean; readonly sections: readonly Section[] };

/** A rule of the profile, checked. */
type Rule = {
  readonly names: readonly string[];
  readonly action: number;
  readonly args: readonly SeccompArg[];
};

/**
 * What the rules say of the calls of one architecture, by slot: a slot is the number less the base,
 * and behind the table's slots are those of ARM's own calls.
 */
type Calls = {
  readonly architecture: Architecture;
  /** Actions of rules without arguments, or UNDECIDED. QuickJS takes 4 ms to fill a Map so. */
  readonly always: Float64Array;
  readonly some: Map<number, ArgumentRule[]>;
};

const UNDECIDED = -1;
/** More than any table has. */
const TABLE_SLOTS = 1024;

/** ARM's own calls begin here, far above the table: <asm/unistd.h>, __ARM_NR_BASE. */
const ARM_PRIVATE_FIRST = 0xf0000;
const ARM_PRIVATE_SLOTS = 7;
/** What a tracer puts there to skip a call. */
const SKIPPED_CALL = 0xffffffff;

/**
 * The plan of a filter that a process of architecture `native` loads.
 * `bad_input` for what the kernel, config-linux.md or runc refuse.
 */
export function planFilter(profile: Seccomp, native: string): FilterPlan {
  const fallback = actionValue(profile.defaultAction, profile.defaultErrnoRet);
  if (fallback === RET_NOTIFY) {
    throw new TareError("bad_input", "SCMP_ACT_NOTIFY cannot be used as default action");
  }
  const rules = profile.syscalls.map(checkRule);
  const architectures = filterArchitectures(native, profile.architectures);
  const tokens = [...new Set(architectures.map((architecture) => architecture.token))];
  const sections = tokens.map((token) =>
    planSection(
      token,
      architectures.filter((architecture) => architecture.token === token),
      rules,
      fallback,
    ),
  );
  return { bigEndian: architectures[0]?.bigEndian === true, sections };
}

/** Names of the profile that no architecture has: runc ignores them, a typing error hides there. */
export function unknownSyscalls(profile: Seccomp): string[] {
  const names = new Set(profile.syscalls.flatMap((rule) => rule.names));
  return [...names].filter((name) => !isSyscallName(name));
}

function checkRule({ names, action, errnoRet, args }: SeccompRule): Rule {
  if (names.includes("")) {
    throw new TareError("bad_input", "Cannot use linux.seccomp.syscalls: names has an empty one");
  }
  const value = actionValue(action, errnoRet);
  if (value === RET_NOTIFY && names.includes("write")) {
    // listener.ts could do it; runc refuses, and a profile should mean the same everywhere.
    throw new TareError("bad_input", "SCMP_ACT_NOTIFY cannot be used for the write syscall");
  }
  for (const arg of args) checkArgument(arg, names.join(" "));
  return { names, action: value, args };
}

function planSection(
  token: number,
  architectures: readonly Architecture[],
  rules: readonly Rule[],
  fallback: number,
): Section {
  const ranges: Range[] = [];
  if (architectures.every(({ base }) => base === X32_BIT)) {
    ranges.push({ start: 0, outcome: RET_KILL_PROCESS });
  }
  // x32 comes behind: its numbers are above those of x86_64.
  for (const architecture of architectures.toSorted((a, b) => a.base - b.base)) {
    addRanges(ranges, architecture, rules, fallback);
  }
  if (architectures.length === 1 && architectures[0]?.table === "x86_64") {
    addRange(ranges, X32_BIT, RET_KILL_PROCESS);
    addRange(ranges, SKIPPED_CALL, fallback);
  }
  return { token, ranges };
}

function addRange(ranges: Range[], start: number, outcome: Outcome): void {
  const before = ranges.at(-1);
  if (before?.outcome === outcome) return;
  if (before?.start === start) ranges.pop();
  ranges.push({ start, outcome });
}

/** All numbers from where those of the architecture begin. */
function addRanges(
  ranges: Range[],
  architecture: Architecture,
  rules: readonly Rule[],
  fallback: number,
): void {
  const always = new Float64Array(TABLE_SLOTS + ARM_PRIVATE_SLOTS).fill(UNDECIDED);
  const calls: Calls = { architecture, always, some: new Map() };
  const last = collectCalls(calls, rules, fallback);
  const beyond = isPermissive(fallback) || last === 0 ? fallback : RET_ENOSYS;
  addRange(ranges, architecture.base === X32_BIT ? X32_BIT : 0, fallback);
  // What lies beyond the profile gets ENOSYS even where a rule for an inner call binds it.
  const to = beyond === fallback ? TABLE_SLOTS : last - architecture.base + 1;
  addSlots(ranges, calls, { first: architecture.base, from: 0, to }, fallback);
  addRange(ranges, architecture.base + to, beyond);
  if (architecture.table !== "arm") return;
  const window = { first: ARM_PRIVATE_FIRST, from: TABLE_SLOTS, to: always.length };
  addRange(ranges, ARM_PRIVATE_FIRST, fallback);
  addSlots(ranges, calls, window, fallback);
  addRange(ranges, ARM_PRIVATE_FIRST + ARM_PRIVATE_SLOTS, beyond);
}

/** Numbers from `first` on have the slots from `from` up to `to`. */
type Window = { readonly first: number; readonly from: number; readonly to: number };

/** Slots that no rule decides get `fallback`. */
function addSlots(ranges: Range[], calls: Calls, window: Window, fallback: number): void {
  const { always, some } = calls;
  let current: Outcome = fallback;
  for (let slot = window.from; slot < window.to; slot++) {
    const rules = some.get(slot);
    let outcome: Outcome = always[slot] ?? UNDECIDED;
    if (outcome === UNDECIDED) outcome = toOutcome(rules ?? [], fallback);
    if (outcome === current) continue;
    addRange(ranges, window.first + slot - window.from, outcome);
    current = outcome;
  }
}

/** Fills `calls` from the rules; the answer is the largest number that they name. */
function collectCalls(calls: Calls, rules: readonly Rule[], fallback: number): number {
  const { architecture } = calls;
  const numberOf = syscallNumbers(architecture);
  const hasOuter = numberOf("socketcall") !== undefined || numberOf("ipc") !== undefined;
  let last = 0;
  for (const rule of rules) {
    const numbers = rule.names.map(numberOf);
    last = largest(numbers, last, architecture.base + TABLE_SLOTS);
    if (rule.action === fallback) continue;
    for (let index = 0; index < numbers.length; index++) {
      const number = numbers[index];
      const name = rule.names[index] as string;
      if (number !== undefined) addRule(calls, number, name, rule);
      if (hasOuter) addInner(calls, numberOf, name, rule, fallback);
    }
  }
  // Numbers that s390 does not know arrive as 0, setup(2), which nothing calls any more.
  const hasSetup = architecture.table.startsWith("s390") && !isPermissive(fallback);
  if (hasSetup) calls.always[0] = RET_ENOSYS;
  return last;
}

/** ARM's own calls are above `limit`: they would lift the bound over everything; libcontainer lets them. */
function largest(numbers: readonly (number | undefined)[], least: number, limit: number): number {
  let last = least;
  for (let index = 0; index < numbers.length; index++) {
    const number = numbers[index] ?? 0;
    if (number > last && number < limit) last = number;
  }
  return last;
}

/** Binds a call also where it is reached through socketcall or ipc. */
function addInner(
  calls: Calls,
  numberOf: Numbers,
  name: string,
  rule: Rule,
  fallback: number,
): void {
  const inner = multiplexed(name);
  const outer = inner === undefined ? undefined : numberOf(inner.call);
  if (inner === undefined || outer === undefined) return;
  // The other arguments lie in memory that a filter cannot read. A stricter rule then binds the
  // whole inner call, and a laxer one does not bind it: libseccomp drops the condition on the
  // first argument and would allow socketcall(SYS_SOCKET) for every family (CVE-2026-31431).
  if (rule.args.length > 0 && leniency(rule.action) >= leniency(fallback)) return;
  addRule(calls, outer, inner.call, { ...rule, args: [inner.selects] });
}

function addRule(calls: Calls, number: number, name: string, { action, args }: Rule): void {
  const { architecture, always } = calls;
  const offset = number - architecture.base;
  const slot = offset < TABLE_SLOTS ? offset : number - ARM_PRIVATE_FIRST + TABLE_SLOTS;
  if (args.length === 0) {
    if (always[slot] === UNDECIDED) always[slot] = action;
    return;
  }
  const some = calls.some.get(slot) ?? [];
  calls.some.set(slot, some);
  const apart = new Set(args.map((arg) => arg.index)).size < args.length;
  for (const list of apart ? args.map((arg) => [arg]) : [args]) {
    const conditions = list.map((arg) =>
      toCondition(arg, argumentWidth(architecture, name, arg.index)),
    );
    if (conditions.includes(false)) continue;
    some.push({
      action,
      conditions: conditions.filter((condition) => typeof condition !== "boolean"),
    });
  }
}

function toOutcome(some: readonly ArgumentRule[], fallback: number): Outcome {
  if (some.length === 0) return fallback;
  const sorted = some.toSorted((a, b) => leniency(a.action) - leniency(b.action));
  const rules: ArgumentRule[] = [];
  const seen = new Set<string>();
  for (const rule of sorted) {
    const key = ruleKey(rule);
    if (seen.has(key)) continue;
    seen.add(key);
    rules.push(rule);
    if (rule.conditions.length === 0) break; // It always matches.
  }
  const first = rules[0];
  if (first === undefined) return fallback;
  return first.conditions.length === 0 ? first.action : { rules, otherwise: fallback };
}

/** Equal for outcomes that are the same. */
export function outcomeKey(outcome: Outcome): string {
  if (typeof outcome === "number") return `${outcome}`;
  return `${outcome.rules.map(ruleKey).join("|")}|${outcome.otherwise}`;
}

function ruleKey(rule: ArgumentRule): string {
  const conditions = rule.conditions.map(
    ({ index, width, test, negated, mask, value }) =>
      `${index} ${width} ${test} ${negated} ${mask} ${value}`,
  );
  return `${conditions.join("&")}>${rule.action}`;
}
