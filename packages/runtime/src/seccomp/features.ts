/** What `features` reports under linux.seccomp. Source: runtime-spec 1.3, features-linux.md. */

import { ACTION_NAMES } from "./actions.ts";
import { ARCHITECTURES } from "./architectures.ts";
import { OPERATOR_NAMES } from "./conditions.ts";
import { FLAG_NAMES } from "./flags.ts";

/** The names that a profile may use; no system call is made for it. */
export const SECCOMP_FEATURES = {
  enabled: true,
  actions: ACTION_NAMES,
  operators: OPERATOR_NAMES,
  archs: ARCHITECTURES.map(({ name }) => name).sort() as readonly string[],
  knownFlags: FLAG_NAMES,
  supportedFlags: FLAG_NAMES,
} as const;
