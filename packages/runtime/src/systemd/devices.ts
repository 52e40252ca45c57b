/**
 * Device rules as properties of a unit. systemd knows lists of what is allowed only; the exact rules are
 * kept by our own program (v2) or writes (v1), so on v2 its list may hold more than they allow, never
 * less. Of v1 systemd writes the same files again at times: there its list may hold less, never more.
 * Pure. Source: systemd.resource-control(5), "DeviceAllow=".
 */

import {
  ACCESS_MKNOD,
  ACCESS_READ,
  ACCESS_WRITE,
  ANY,
  allowsEverything,
  type DeviceMatch,
  type DevicePolicy,
} from "../cgroup/device-rules.ts";
import type { Property } from "./properties.ts";

/** The two properties for a policy. */
export function deviceProperties(policy: DevicePolicy, version: 1 | 2): readonly Property[] {
  const isOpen = allowsEverything(policy) || (policy.defaultAllow && version === 2);
  const allowed = isOpen || policy.defaultAllow ? [] : allowedDevices(policy.rules, version);
  return [
    { name: "DevicePolicy", signature: "s", value: isOpen ? "auto" : "strict" },
    { name: "DeviceAllow", signature: "a(ss)", value: allowed },
  ];
}

function allowedDevices(
  rules: readonly DeviceMatch[],
  version: 1 | 2,
): readonly (readonly [node: string, access: string])[] {
  return rules.flatMap((rule, index): (readonly [string, string])[] => {
    if (!rule.allow) return [];
    const access = accessLeft(rule, rules.slice(index + 1));
    const node = nodeOf(rule, version);
    return access === 0 || node === undefined ? [] : [[node, lettersOf(access)]];
  });
}

/** What later rules do not take back as a whole. */
function accessLeft(rule: DeviceMatch, later: readonly DeviceMatch[]): number {
  let access = rule.access;
  for (const each of later) {
    const isSame = each.type === rule.type && holds(each.major, rule.major);
    if (!each.allow && isSame && holds(each.minor, rule.minor)) access &= ~each.access;
  }
  return access;
}

function holds(wide: number, narrow: number): boolean {
  return wide === narrow || wide === ANY;
}

/** A path that systemd reads the numbers from, whether it exists or not; or a whole kind (v240). */
function nodeOf({ type, major, minor }: DeviceMatch, version: 1 | 2): string | undefined {
  const kind = type === "c" ? "char" : "block";
  if (major === ANY) return minor === ANY || version === 2 ? `${kind}-*` : undefined;
  return minor === ANY ? `${kind}-${major}` : `/dev/${kind}/${major}:${minor}`;
}

function lettersOf(access: number): string {
  const letters = [
    [ACCESS_READ, "r"],
    [ACCESS_WRITE, "w"],
    [ACCESS_MKNOD, "m"],
  ] as const;
  return letters.flatMap(([bit, letter]) => ((access & bit) === 0 ? [] : [letter])).join("");
}
