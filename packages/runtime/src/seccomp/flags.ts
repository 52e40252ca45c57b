/** Flags of a filter in config.json, as the numbers that seccomp(2) takes. */

import { TareError } from "@tare/spec/error.ts";
import type { Seccomp } from "@tare/spec/oci-runtime.ts";

/** A compiled filter and how it is loaded. */
export type Filter = { readonly program: Uint8Array; readonly flags: number };

export const FLAG_LOG = 2;
export const FLAG_SPEC_ALLOW = 4;
export const FLAG_NEW_LISTENER = 8;
export const FLAG_WAIT_KILLABLE_RECV = 32;

/** SECCOMP_FILTER_FLAG_* of <linux/seccomp.h>. TSYNC is 0: the process has one thread, as in runc. */
const FLAGS: ReadonlyMap<string, number> = new Map([
  ["SECCOMP_FILTER_FLAG_TSYNC", 0],
  ["SECCOMP_FILTER_FLAG_LOG", FLAG_LOG],
  ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", FLAG_SPEC_ALLOW],
  ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", FLAG_WAIT_KILLABLE_RECV],
]);

/** What the kernel is asked with for each flag: some are taken only together with another. */
export const PROBES: ReadonlyMap<string, number> = new Map([
  ["SECCOMP_FILTER_FLAG_TSYNC", 1],
  ["SECCOMP_FILTER_FLAG_LOG", FLAG_LOG],
  ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", FLAG_SPEC_ALLOW],
  ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE_RECV],
]);

/** Names of all flags that config.json may list. */
export const FLAG_NAMES: readonly string[] = [...FLAGS.keys()];

/** Who is asked about calls: linux.seccomp.listenerPath, absolute, and listenerMetadata. */
export type Agent = { readonly path: string; readonly metadata?: string };

/**
 * The agent of a profile; undefined where no rule notifies: then listenerPath has no meaning. A
 * relative path starts at the bundle, as in runc.
 */
export function agentOf(profile: Seccomp | undefined, bundle: string): Agent | undefined {
  if (profile === undefined || !usesListener(profile)) return undefined;
  const { listenerPath = "", listenerMetadata } = profile;
  const path = listenerPath.startsWith("/") ? listenerPath : `${bundle}/${listenerPath}`;
  return listenerMetadata === undefined ? { path } : { path, metadata: listenerMetadata };
}

/** Whether a rule hands calls to a listener. */
export function usesListener(profile: Seccomp): boolean {
  return profile.syscalls.some((rule) => rule.action === "SCMP_ACT_NOTIFY");
}

/**
 * The `flags` of SECCOMP_SET_MODE_FILTER; NEW_LISTENER is among them where a rule notifies.
 * `bad_input` for an unknown flag, and for WAIT_KILLABLE_RECV without a listener: the kernel
 * refuses it too.
 */
export function filterFlags(profile: Seccomp): number {
  let flags = usesListener(profile) ? FLAG_NEW_LISTENER : 0;
  for (const name of profile.flags) {
    const flag = FLAGS.get(name);
    if (flag === undefined) {
      throw new TareError("bad_input", `Cannot use seccomp flag "${name}": it is not known`, {
        hint: "`features` lists the known ones under linux.seccomp.knownFlags",
      });
    }
    flags |= flag;
  }
  if ((flags & FLAG_WAIT_KILLABLE_RECV) !== 0 && (flags & FLAG_NEW_LISTENER) === 0) {
    throw new TareError(
      "bad_input",
      'Cannot use seccomp flag "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": no rule has SCMP_ACT_NOTIFY',
    );
  }
  return flags;
}
