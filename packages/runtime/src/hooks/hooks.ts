/** The hooks of a container, for those who have any: most have none, and read nothing for them. */

import type { Hook, HookName, State } from "@tare/spec/oci-runtime.ts";
import { loadPart } from "../sys/part.ts";
import type { Sys } from "../sys/types.ts";

/** Runs all hooks of one kind; the first that fails ends it with an error that names it. */
export function runHooks(sys: Sys, name: HookName, hooks: readonly Hook[], state: State): void {
  if (hooks.length > 0) loadPart(sys, "tare-runtime~hooks").runHooks(sys, name, hooks, state);
}

/** Runs all poststop hooks: one that fails is told and does not stop the others. */
export function runPoststopHooks(sys: Sys, hooks: readonly Hook[], state: State): void {
  if (hooks.length > 0) loadPart(sys, "tare-runtime~hooks").runPoststopHooks(sys, hooks, state);
}
