/** The session keyring of a container, which `exec` joins by its name. Source: keyrings(7). */

import { ENOSYS } from "../sys/abi-errno.ts";
import { check, errnoOf } from "../sys/check.ts";
import type { Sys } from "../sys/types.ts";

/** keyutils.h: all for who possesses it; view, read, search and link for its owner. */
const PERMISSIONS = 0x3f1b0000;

export function keyringName(id: string): string {
  return `_ses.${id}`;
}

/**
 * Makes the keyring, or joins that of this name. Without the owner's right to search nobody finds it
 * by its name later. Kernels without keyrings have nothing to hide.
 */
export function joinKeyring(sys: Sys, name: string): void {
  const ret = sys.join_session_keyring(name);
  if (errnoOf(ret) === ENOSYS) return;
  const key = check(ret, "keyctl KEYCTL_JOIN_SESSION_KEYRING", name);
  sys.keyctl_setperm(key, PERMISSIONS);
}
