/** What `features` reports under linux.seccomp. Source: runtime-spec 1.3, features-linux.md. */

import { EFAULT } from "../sys/abi-errno.ts";
import { errnoOf } from "../sys/check.ts";
import type { Sys } from "../sys/types.ts";
import { ACTION_NAMES } from "./actions.ts";
import { ARCHITECTURES } from "./architectures.ts";
import { OPERATOR_NAMES } from "./conditions.ts";
import { FLAG_NAMES, PROBES } from "./flags.ts";

export type SeccompFeatures = {
  readonly enabled: boolean;
  readonly actions: readonly string[];
  readonly operators: readonly string[];
  readonly archs: readonly string[];
  readonly knownFlags: readonly string[];
  readonly supportedFlags: readonly string[];
};

/** The names that a profile may use, and which of the flags this kernel takes: it is asked. */
export function seccompFeatures(sys: Sys): SeccompFeatures {
  return {
    enabled: true,
    actions: ACTION_NAMES,
    operators: OPERATOR_NAMES,
    archs: ARCHITECTURES.map(({ name }) => name).sort(),
    knownFlags: FLAG_NAMES,
    supportedFlags: FLAG_NAMES.filter((name) => isSupported(sys, name)),
  };
}

/** A null pointer for a filter is EFAULT where all of the flags are known, which come first. */
function isSupported(sys: Sys, name: string): boolean {
  return errnoOf(sys.seccomp_probe_flags(PROBES.get(name) ?? 0)) === EFAULT;
}
