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
import type { Seccomp, SeccompArg } from "@tare/spec/oci-runtime.ts";
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
import { argumentWidth, isSyscallName, syscallTable } from "./tables.ts";

/** All conditions must hold; none means always. */
export type ArgumentRule = { readonly action: number; readonly conditions: readonly Condition[] };

/** A filter value, or rules tried in order and the value where none matches. */
export type Outcome =
  | number
  | { readonly rules: readonly ArgumentRule[]; readonly otherwise: number };

/** Numbers from `start` up to the next range's start. */
export type Range = { readonly start: number; readonly outcome: Outcome };

/** Ranges cover all 32-bit numbers, sorted; neighbours differ. */
export type Section = { readonly token: number; readonly ranges: readonly Range[] };

export type FilterPlan = { readonly bigEndian: boolean; readonly sections: readonly Section[] };

type NamedRule = {
  readonly name: string;
  readonly action: number;
  readonly args: readonly SeccompArg[];
};

/** What the rules say of one number. */
type Call = { always?: number; readonly some: ArgumentRule[] };

/** ARM's own calls lie here, far above the table: <asm/unistd.h>, __ARM_NR_BASE. */
const ARM_PRIVATE_FIRST = 0xf0000;
const ARM_PRIVATE_LAST = 0xf0006;
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
  const rules = nameRules(profile);
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

function nameRules(profile: Seccomp): NamedRule[] {
  const named: NamedRule[] = [];
  for (const rule of profile.syscalls) {
    const action = actionValue(rule.action, rule.errnoRet);
    for (const name of rule.names) {
      if (name === "") throw new TareError("bad_input", "Cannot use an empty system call name");
      if (action === RET_NOTIFY && name === "write") {
        // The listener is handed over by a write of the process that the filter already binds.
        throw new TareError("bad_input", "SCMP_ACT_NOTIFY cannot be used for the write syscall");
      }
      for (const arg of rule.args) checkArgument(arg, name);
      named.push({ name, action, args: rule.args });
    }
  }
  return named;
}

function planSection(
  token: number,
  architectures: readonly Architecture[],
  rules: readonly NamedRule[],
  fallback: number,
): Section {
  const calls = new Map<number, Call>();
  for (const architecture of architectures) collectCalls(calls, architecture, rules, fallback);
  const singles = new Map<number, Outcome>();
  for (const [number, call] of calls) singles.set(number, toOutcome(call, fallback));
  const background = planBackground(architectures, rules, fallback);
  const s390 = architectures.some(({ table }) => table.startsWith("s390"));
  // Numbers that s390 does not know arrive as 0, setup(2), which nothing calls any more.
  if (s390 && !isPermissive(fallback)) singles.set(0, RET_ENOSYS);
  return { token, ranges: overlay(background, singles) };
}

function collectCalls(
  calls: Map<number, Call>,
  architecture: Architecture,
  rules: readonly NamedRule[],
  fallback: number,
): void {
  const table = syscallTable(architecture);
  const callOf = (number: number): Call => {
    const known = calls.get(number);
    if (known !== undefined) return known;
    const call: Call = { some: [] };
    calls.set(number, call);
    return call;
  };
  for (const rule of rules) {
    if (rule.action === fallback) continue;
    const number = table.get(rule.name);
    if (number !== undefined) addRule(callOf(number), architecture, rule);
    const inner = multiplexed(rule.name);
    const outer = inner === undefined ? undefined : table.get(inner.call);
    if (inner === undefined || outer === undefined) continue;
    // The other arguments lie in memory that a filter cannot read. A stricter rule then binds the
    // whole inner call, and a laxer one does not bind it: libseccomp drops the condition on the
    // first argument and would allow socketcall(SYS_SOCKET) for every family (CVE-2026-31431).
    if (rule.args.length > 0 && leniency(rule.action) >= leniency(fallback)) continue;
    addRule(callOf(outer), architecture, { ...rule, name: inner.call, args: [inner.selects] });
  }
}

function addRule(call: Call, architecture: Architecture, rule: NamedRule): void {
  if (rule.args.length === 0) {
    call.always ??= rule.action;
    return;
  }
  const indexes = new Set(rule.args.map((arg) => arg.index));
  const apart = indexes.size < rule.args.length;
  for (const args of apart ? rule.args.map((arg) => [arg]) : [rule.args]) {
    const conditions = args.map((arg) =>
      toCondition(arg, argumentWidth(architecture, rule.name, arg.index)),
    );
    if (conditions.includes(false)) continue;
    call.some.push({
      action: rule.action,
      conditions: conditions.filter((condition) => typeof condition !== "boolean"),
    });
  }
}

function toOutcome(call: Call, fallback: number): Outcome {
  if (call.always !== undefined) return call.always;
  const sorted = call.some.toSorted((a, b) => leniency(a.action) - leniency(b.action));
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

/** What numbers get that no rule names, as ranges sorted by their start. */
function planBackground(
  architectures: readonly Architecture[],
  rules: readonly NamedRule[],
  fallback: number,
): Range[] {
  const ranges: Range[] = [];
  const x32 = architectures.find(({ base }) => base === X32_BIT);
  const plain = architectures.find(({ base }) => base !== X32_BIT);
  if (plain === undefined) ranges.push({ start: 0, outcome: RET_KILL_PROCESS });
  else ranges.push(...planNumbers(0, plain, rules, fallback));
  if (x32 !== undefined) {
    ranges.push(...planNumbers(X32_BIT, x32, rules, fallback));
  } else if (plain?.table === "x86_64") {
    ranges.push({ start: X32_BIT, outcome: RET_KILL_PROCESS });
    ranges.push({ start: SKIPPED_CALL, outcome: fallback });
  }
  return ranges;
}

function planNumbers(
  start: number,
  architecture: Architecture,
  rules: readonly NamedRule[],
  fallback: number,
): Range[] {
  const ranges: Range[] = [{ start, outcome: fallback }];
  if (isPermissive(fallback)) return ranges;
  const table = syscallTable(architecture);
  const arm = architecture.table === "arm";
  let last = 0;
  for (const { name } of rules) {
    const number = table.get(name) ?? 0;
    // ARM's own calls would lift the bound over everything; libcontainer lets them.
    if (number > last && !(arm && number >= ARM_PRIVATE_FIRST)) last = number;
  }
  if (last === 0) return ranges;
  ranges.push({ start: last + 1, outcome: RET_ENOSYS });
  if (arm) {
    ranges.push({ start: ARM_PRIVATE_FIRST, outcome: fallback });
    ranges.push({ start: ARM_PRIVATE_LAST + 1, outcome: RET_ENOSYS });
  }
  return ranges;
}

function overlay(background: readonly Range[], singles: ReadonlyMap<number, Outcome>): Range[] {
  const starts = new Set(background.map(({ start }) => start));
  for (const number of singles.keys()) {
    starts.add(number);
    if (number < SKIPPED_CALL) starts.add(number + 1);
  }
  const ranges: Range[] = [];
  let under = 0;
  let last: string | undefined;
  for (const start of [...starts].sort((a, b) => a - b)) {
    while ((background[under + 1]?.start ?? Number.POSITIVE_INFINITY) <= start) under++;
    const outcome = singles.get(start) ?? background[under]?.outcome ?? RET_KILL_PROCESS;
    const key = outcomeKey(outcome);
    if (key !== last) ranges.push({ start, outcome });
    last = key;
  }
  return ranges;
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
