/**
 * A procfs of our own, mounted nowhere: what the runtime writes for a container goes through it, so
 * that nothing the image or a volume put over /proc can catch the write (CVE-2019-16884,
 * CVE-2025-52881).
 */

import { TareError } from "@tare/spec/error.ts";
import { EPERM } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  PROC_SUPER_MAGIC,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from "../sys/abi-file.ts";
import { FSCONFIG_CMD_CREATE, FSMOUNT_CLOEXEC, FSOPEN_CLOEXEC } from "../sys/abi-mount.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt, writeTextAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";

const ROOT_INODE = 1n;
const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS;

/** A descriptor of the top of a new, detached procfs of this pid namespace. */
export function openProcfs(sys: Sys): Fd {
  using context = new OwnedFd(sys, check(sys.fsopen("proc", FSOPEN_CLOEXEC), "fsopen", "proc"));
  const made = sys.fsconfig(context.fd, FSCONFIG_CMD_CREATE, null, null, 0);
  // A user namespace may not mount the procfs of a pid namespace that is not its own.
  if (errnoOf(made) === EPERM) return openHostProcfs(sys);
  check(made, "fsconfig", "proc");
  return check(sys.fsmount(context.fd, FSMOUNT_CLOEXEC, 0), "fsmount", "proc");
}

/** The host's own, as long as its tree is there: proven by its magic number and its first inode. */
export function openHostProcfs(sys: Sys): Fd {
  const flags = O_PATH | O_DIRECTORY | O_NOFOLLOW;
  const fd = check(openAt(sys, AT_FDCWD, "/proc", flags, RESOLVE_NO_SYMLINKS), "openat2", "/proc");
  const magic = check(sys.fstatfs_type(fd), "fstatfs", "/proc");
  if (magic === PROC_SUPER_MAGIC && statAt(sys, fd, "", AT_EMPTY_PATH).ino === ROOT_INODE)
    return fd;
  sys.close(fd);
  throw new TareError("system", 'Cannot use "/proc" of the host: it is no procfs');
}

/** Writes one kernel file below it; no link leads out, no other mount is crossed. */
export function writeProcfs(sys: Sys, procfs: Fd, file: string, value: string): void {
  writeTextAt(sys, procfs, file, value, RESOLVE);
}
