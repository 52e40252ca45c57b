/**
 * Makes this process run from a file that nobody can write, before it comes near a container: the
 * first process is a copy of this one, and `/proc/PID/exe` is a way to its file (CVE-2019-5736: an
 * entry point `#!/proc/self/exe`, or a process that looks on, opened the runtime and wrote to it).
 *
 * The file is a read-only mount of our own program, attached nowhere; without the right to mount, a
 * sealed copy in memory. Executing it costs about a millisecond.
 */

import { TareError } from "@tare/spec/error.ts";
import { EPERM, EROFS } from "../sys/abi-errno.ts";
import { AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, NO_FD, O_RDONLY } from "../sys/abi-file.ts";
import { MOUNT_ATTR_RDONLY, OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE } from "../sys/abi-mount.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt, retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { statAt } from "../sys/stat.ts";
import type { Sys } from "../sys/types.ts";

const SELF = "/proc/self/exe";
const W_OK = 2;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
/** F_SEAL_SEAL, SHRINK, GROW and WRITE: nothing can be changed, not even the seals (fcntl(2)). */
const ALL_SEALS = 0xf;

/** Executes this very program again from a file that cannot be written; returns where it is one. */
export function sealSelf(sys: Sys): void {
  if (isSealed(sys)) return;
  using file = openSealed(sys);
  const ret = sys.execveat(file.fd, "", sys.argv(), sys.environ(), AT_EMPTY_PATH);
  check(ret, "execveat", SELF);
}

/** On a read-only mount of its own the kernel answers EROFS; on a sealed file in memory, all seals. */
function isSealed(sys: Sys): boolean {
  const writable = sys.faccessat2(AT_FDCWD, SELF, W_OK, AT_EACCESS);
  if (errnoOf(writable) === EROFS && statAt(sys, AT_FDCWD, SELF, 0).isMountRoot) return true;
  using self = new OwnedFd(sys, check(openAt(sys, AT_FDCWD, SELF, O_RDONLY, 0), "openat2", SELF));
  const seals = sys.fcntl(self.fd, F_GET_SEALS, 0);
  return errnoOf(seals) === 0 && (check(seals, "fcntl") & ALL_SEALS) === ALL_SEALS;
}

function openSealed(sys: Sys): OwnedFd {
  const tree = sys.open_tree(AT_FDCWD, SELF, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (errnoOf(tree) === EPERM) return copyIntoMemory(sys);
  const mount = new OwnedFd(sys, check(tree, "open_tree", SELF));
  const set = sys.mount_setattr(mount.fd, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY, 0, 0, NO_FD);
  check(set, "mount_setattr", SELF);
  return mount;
}

function copyIntoMemory(sys: Sys): OwnedFd {
  using self = new OwnedFd(sys, check(openAt(sys, AT_FDCWD, SELF, O_RDONLY, 0), "openat2", SELF));
  const { size } = statAt(sys, self.fd, "", AT_EMPTY_PATH);
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const copy = new OwnedFd(sys, check(sys.memfd_create("tare", flags), "memfd_create"));
  const buffer = new Uint8Array(Number(size));
  let length = 0;
  for (;;) {
    const count = check(
      retried(() => sys.read(self.fd, buffer.subarray(length))),
      "read",
      SELF,
    );
    if (count === 0) break;
    length += count;
  }
  for (let at = 0; at < length; ) {
    at += check(
      retried(() => sys.write(copy.fd, buffer.subarray(at, length))),
      "write",
      SELF,
    );
  }
  if (BigInt(length) !== size) throw new TareError("system", `Cannot copy "${SELF}": it changed`);
  check(sys.fcntl(copy.fd, F_ADD_SEALS, ALL_SEALS), "fcntl F_ADD_SEALS");
  return copy;
}
