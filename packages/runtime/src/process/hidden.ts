/**
 * Hiding from who shares our pid namespace: a process that is not dumpable cannot be traced, nor its
 * descriptors looked at, without CAP_SYS_PTRACE on the host (CVE-2016-9962). execve(2) undoes it.
 * Source: PR_SET_DUMPABLE(2const).
 */

import { PR_GET_DUMPABLE, PR_SET_DUMPABLE } from "../sys/abi-process.ts";
import { check } from "../sys/check.ts";
import type { Sys } from "../sys/types.ts";

export function hide(sys: Sys): void {
  setDumpable(sys, 0);
}

/** As `hide` undone: for what the kernel lets only a visible process do. */
export function show(sys: Sys): void {
  setDumpable(sys, 1);
}

function setDumpable(sys: Sys, value: 0 | 1): void {
  check(sys.prctl(PR_SET_DUMPABLE, value, 0, 0, 0), "prctl PR_SET_DUMPABLE");
}

/**
 * Does what changes ids, after which a hidden process is hidden again: the kernel has put in place what
 * fs.suid_dumpable says, and 1 there would show it with all that it still may and holds.
 */
export function keepHidden(sys: Sys, change: () => void): void {
  const wasHidden = check(sys.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), "prctl PR_GET_DUMPABLE") === 0;
  change();
  if (wasHidden) hide(sys);
}

/** Becomes root of the user namespace that was made or joined: the owner of the namespaces with it. */
export function becomeNamespaceRoot(sys: Sys): void {
  keepHidden(sys, () => {
    check(sys.setresgid(0, 0, 0), "setresgid");
    check(sys.setresuid(0, 0, 0), "setresuid");
  });
}
