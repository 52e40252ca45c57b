/** The hooks of a container, for those who have any: most have none, and read nothing for them. */

import type { Hook, HookName, State } from "@tare/spec/oci-runtime.ts";
import { loadPart } from "../sys/part.ts";
import type { Sys } from "../sys/types.ts";

/** How a hook runs that is a program of the container's tree: no freer than the container's own. */
export type Confinement = {
  /** Called in the hook's process before it executes. */
  readonly enter: () => void;
  /** Its environment, where the hook names none. */
  readonly env: readonly string[];
};

/** Runs all hooks of one kind; the first that fails ends it with an error that names it. */
export function runHooks(
  sys: Sys,
  name: HookName,
  hooks: readonly Hook[],
  state: State,
  confinement?: Confinement,
): void {
  if (hooks.length === 0) return;
  loadPart(sys, "tare-runtime~hooks").runHooks(sys, name, hooks, state, confinement);
}

/** Runs all poststop hooks: one that fails is told and does not stop the others. */
export function runPoststopHooks(sys: Sys, hooks: readonly Hook[], state: State): void {
  if (hooks.length > 0) loadPart(sys, "tare-runtime~hooks").runPoststopHooks(sys, hooks, state);
}
