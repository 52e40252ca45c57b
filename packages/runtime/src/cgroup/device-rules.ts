/**
 * What a list of device rules means, the same on v1 and v2: everything is denied first
 * (GHSA-g54h-m393-cpwq: a list read as a deny-list lets a container open every disk), then the rules
 * count in their order, the last word on a device and an access wins. A request that asks for
 * reading and writing needs both.
 * Source: runtime-spec, config-linux.md, "Allowed Device list"; cgroup-v1/devices.rst.
 */

import { TareError } from "@tare/spec/error.ts";
import type { DeviceRule } from "@tare/spec/oci-runtime.ts";

/** The bits of BPF_DEVCG_ACC_* in linux/bpf.h; v1 has the same three as letters. */
export const ACCESS_MKNOD = 1;
export const ACCESS_READ = 2;
export const ACCESS_WRITE = 4;
export const ACCESS_ALL = ACCESS_MKNOD | ACCESS_READ | ACCESS_WRITE;

/** The wild card of a major or minor number. */
export const ANY = -1;

export type DeviceMatch = {
  readonly allow: boolean;
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
  /** Some of the ACCESS bits, at least one. */
  readonly access: number;
};

export type DevicePolicy = {
  /** What becomes of an access that no rule speaks of. */
  readonly defaultAllow: boolean;
  /** In order; none of them can be left out. */
  readonly rules: readonly DeviceMatch[];
};

const DEVICE_RULES_MAX = 1024;
const DEVICE_NUMBER_MAX = 0xffff_ffff;

/**
 * The policy of a container's rules with `defaults` after them. The defaults say nothing where the
 * container's own rules allow everything but some: they would take back what was denied.
 * @throws TareError `bad_input` for a rule without access, an unknown letter or a bad number.
 */
export function devicePolicy(
  own: readonly DeviceRule[],
  defaults: readonly DeviceMatch[],
): DevicePolicy {
  if (own.length > DEVICE_RULES_MAX) {
    throw badRule(`${own.length} rules`, `the most is ${DEVICE_RULES_MAX}`);
  }
  let defaultAllow = false;
  let rules: DeviceMatch[] = [];
  for (const rule of own) {
    const matches = toMatches(rule);
    if (isEverything(rule, matches)) {
      defaultAllow = rule.allow;
      rules = [];
    } else rules.push(...matches);
  }
  if (!defaultAllow) rules.push(...defaults);
  return { defaultAllow, rules: withoutIdle(rules, defaultAllow) };
}

/** Whether nothing is denied, so that there is nothing to enforce. */
export function allowsEverything(policy: DevicePolicy): boolean {
  return policy.defaultAllow && policy.rules.length === 0;
}

/** A line for devices.allow or devices.deny of v1. */
export type DeviceLine = { readonly file: "devices.allow" | "devices.deny"; readonly line: string };

/**
 * The policy as writes for the v1 devices controller, in the order of the rules. Exceptions of the
 * kernel cannot have holes: it ignores in silence a rule that takes back a part of a wider one.
 * @throws TareError `unsupported` for such a rule, so that nobody trusts it.
 */
export function deviceLines(policy: DevicePolicy): readonly DeviceLine[] {
  const exceptions = exceptionsOf(policy);
  const [first, others] = policy.defaultAllow
    ? (["devices.allow", "devices.deny"] as const)
    : (["devices.deny", "devices.allow"] as const);
  const lines: DeviceLine[] = [{ file: first, line: "a" }];
  for (const [key, { access }] of exceptions) {
    lines.push({ file: others, line: `${key} ${ACCESS_TEXT[access]}` });
  }
  return lines;
}

/**
 * The writes that lead from what devices.list says to a policy. Between two lists of what is allowed
 * only the differences are written, what is new first: nothing that both allow is ever refused.
 * `whole`: everything is denied or allowed for a moment, so that nobody may run meanwhile.
 * @throws TareError as deviceLines.
 */
export function deviceTransition(
  list: string,
  policy: DevicePolicy,
): { readonly lines: readonly DeviceLine[]; readonly whole: boolean } {
  const before = parseList(list);
  if (before === undefined || policy.defaultAllow) {
    return { lines: deviceLines(policy), whole: true };
  }
  const after = new Map([...exceptionsOf(policy)].map(([key, { access }]) => [key, access]));
  const differences = (
    file: DeviceLine["file"],
    from: ReadonlyMap<string, number>,
    less: ReadonlyMap<string, number>,
  ): DeviceLine[] =>
    [...from].flatMap(([key, access]) => {
      const more = access & ~(less.get(key) ?? 0);
      return more === 0 ? [] : [{ file, line: `${key} ${ACCESS_TEXT[more]}` }];
    });
  const added = differences("devices.allow", after, before);
  return { lines: [...added, ...differences("devices.deny", before, after)], whole: false };
}

/** The access of each line of devices.list; undefined where everything is allowed but some. */
function parseList(list: string): ReadonlyMap<string, number> | undefined {
  const found = new Map<string, number>();
  for (const line of list.split("\n").filter((each) => each !== "")) {
    const [type = "", numbers = "", letters = ""] = line.split(" ");
    if (type === "a") return undefined;
    found.set(`${type} ${numbers}`, ACCESS_TEXT.indexOf(letters) & ACCESS_ALL);
  }
  return found;
}

function exceptionsOf(policy: DevicePolicy): Map<string, DeviceMatch> {
  const exceptions = new Map<string, DeviceMatch>();
  for (const rule of policy.rules) {
    if (rule.allow === policy.defaultAllow) takeBack(exceptions, rule);
    else addException(exceptions, rule);
  }
  return exceptions;
}

/** The letters of v1 for each set of ACCESS bits. */
const ACCESS_TEXT = ["", "m", "r", "rm", "w", "wm", "rw", "rwm"];

function addException(exceptions: Map<string, DeviceMatch>, rule: DeviceMatch): void {
  const key = keyOf(rule);
  const before = exceptions.get(key);
  const access = (before?.access ?? 0) | rule.access;
  exceptions.set(key, before === undefined ? rule : { ...rule, access });
}

function takeBack(exceptions: Map<string, DeviceMatch>, rule: DeviceMatch): void {
  for (const [key, exception] of exceptions) {
    if (!overlaps(exception, rule)) continue;
    if (!coversDevices(rule, exception)) {
      throw new TareError(
        "unsupported",
        `Cannot apply linux.resources.devices "${lineOf(rule)}": cgroup v1 cannot take it out of the wider rule "${lineOf(exception)}" before it`,
        { hint: "List the devices one by one, or use cgroup v2" },
      );
    }
    const access = exception.access & ~rule.access;
    if (access === 0) exceptions.delete(key);
    else exceptions.set(key, { ...exception, access });
  }
}

/** Leaves out a rule that changes nothing: it repeats the default, or an earlier rule says as much. */
function withoutIdle(rules: readonly DeviceMatch[], defaultAllow: boolean): DeviceMatch[] {
  const kept: DeviceMatch[] = [];
  for (const rule of rules) {
    if (!isIdle(kept, rule, defaultAllow)) kept.push(rule);
  }
  return kept;
}

function isIdle(kept: readonly DeviceMatch[], rule: DeviceMatch, defaultAllow: boolean): boolean {
  for (let index = kept.length - 1; index >= 0; index--) {
    const earlier = kept[index];
    if (earlier === undefined) break;
    if (earlier.allow !== rule.allow && overlaps(earlier, rule)) return false;
    if (earlier.allow === rule.allow && covers(earlier, rule)) return true;
  }
  return rule.allow === defaultAllow;
}

function overlaps(a: DeviceMatch, b: DeviceMatch): boolean {
  if (a.type !== b.type || (a.access & b.access) === 0) return false;
  return meets(a.major, b.major) && meets(a.minor, b.minor);
}

function meets(a: number, b: number): boolean {
  return a === b || a === ANY || b === ANY;
}

function covers(wide: DeviceMatch, narrow: DeviceMatch): boolean {
  return (narrow.access & ~wide.access) === 0 && coversDevices(wide, narrow);
}

function coversDevices(wide: DeviceMatch, narrow: DeviceMatch): boolean {
  if (wide.type !== narrow.type) return false;
  return holds(wide.major, narrow.major) && holds(wide.minor, narrow.minor);
}

function holds(wide: number, narrow: number): boolean {
  return wide === narrow || wide === ANY;
}

function isEverything(rule: DeviceRule, matches: readonly DeviceMatch[]): boolean {
  const wild = (match: DeviceMatch): boolean =>
    match.major === ANY && match.minor === ANY && match.access === ACCESS_ALL;
  return rule.type === "a" && matches.every(wild);
}

/** Type "a" with numbers or less than all access means both kinds of device, never everything. */
function toMatches(rule: DeviceRule): DeviceMatch[] {
  const major = deviceNumber(rule, "major");
  const minor = deviceNumber(rule, "minor");
  const access = accessBits(rule);
  const types = rule.type === "a" ? (["c", "b"] as const) : [rule.type];
  return types.map((type) => ({ allow: rule.allow, type, major, minor, access }));
}

function deviceNumber(rule: DeviceRule, name: "major" | "minor"): number {
  const number = rule[name] ?? ANY;
  const legal = Number.isInteger(number) && number >= ANY && number <= DEVICE_NUMBER_MAX;
  if (!legal) throw badRule(`${number}`, `a ${name} number is -1 to ${DEVICE_NUMBER_MAX}`);
  return number;
}

function accessBits(rule: DeviceRule): number {
  let bits = 0;
  for (const letter of rule.access) {
    if (letter === "r") bits |= ACCESS_READ;
    else if (letter === "w") bits |= ACCESS_WRITE;
    else if (letter === "m") bits |= ACCESS_MKNOD;
    else throw badRule(rule.access, "access is some of the letters r, w and m");
  }
  if (bits === 0) throw badRule(rule.access, "device access cannot be empty");
  return bits;
}

function keyOf(rule: DeviceMatch): string {
  return `${rule.type} ${numberOf(rule.major)}:${numberOf(rule.minor)}`;
}

function lineOf(rule: DeviceMatch): string {
  return `${keyOf(rule)} ${ACCESS_TEXT[rule.access]}`;
}

function numberOf(number: number): string {
  return number === ANY ? "*" : `${number}`;
}

function badRule(value: string, why: string): TareError {
  return new TareError("bad_input", `Cannot use linux.resources.devices "${value}": ${why}`);
}
