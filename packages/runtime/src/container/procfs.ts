/**
 * A procfs of our own, mounted nowhere: what the runtime writes for a container goes through it, so
 * that nothing the image or a volume put over /proc can catch the write (CVE-2019-16884,
 * CVE-2025-52881).
 */

import { RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV } from "../sys/abi-file.ts";
import { FSCONFIG_CMD_CREATE, FSMOUNT_CLOEXEC, FSOPEN_CLOEXEC } from "../sys/abi-mount.ts";
import { check } from "../sys/check.ts";
import { writeTextAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";

const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS;

/** A descriptor of the top of a new, detached procfs of this pid namespace. */
export function openProcfs(sys: Sys): Fd {
  using context = new OwnedFd(sys, check(sys.fsopen("proc", FSOPEN_CLOEXEC), "fsopen", "proc"));
  const made = sys.fsconfig(context.fd, FSCONFIG_CMD_CREATE, null, null, 0);
  check(made, "fsconfig", "proc");
  return check(sys.fsmount(context.fd, FSMOUNT_CLOEXEC, 0), "fsmount", "proc");
}

/** Writes one kernel file below it; no link leads out, no other mount is crossed. */
export function writeProcfs(sys: Sys, procfs: Fd, file: string, value: string): void {
  writeTextAt(sys, procfs, file, value, RESOLVE);
}
