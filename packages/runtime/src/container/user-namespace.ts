/**
 * A user namespace that only carries id maps, for id-mapped mounts and overlays. Making one takes a
 * process, which ends as soon as the descriptor is ours: none stays in it.
 */

import { waitFor } from "../process/wait.ts";
import { AT_FDCWD, NO_FD, O_CLOEXEC, O_RDONLY } from "../sys/abi-file.ts";
import { CLONE_NEWUSER, SIGCHLD } from "../sys/abi-process.ts";
import { check } from "../sys/check.ts";
import { openAt, retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { type Maps, writeIdMaps } from "./id-maps.ts";

/** A new user namespace with these maps, held by the descriptor alone. */
export function openUserNamespace(sys: Sys, maps: Maps): OwnedFd {
  const pipe = new Int32Array(2);
  check(sys.pipe2(pipe, O_CLOEXEC), "pipe2");
  using reading = new OwnedFd(sys, pipe[0] as Fd);
  using writing = new OwnedFd(sys, pipe[1] as Fd);
  const pid = check(sys.clone3(CLONE_NEWUSER, SIGCHLD, NO_FD), "clone3 CLONE_NEWUSER");
  if (pid === 0) {
    writing.close();
    retried(() => sys.read(reading.fd, new Uint8Array(1)));
    sys.exit_group(0);
  }
  try {
    writeIdMaps(sys, maps, pid);
    const path = `/proc/${pid}/ns/user`;
    return new OwnedFd(sys, check(openAt(sys, AT_FDCWD, path, O_RDONLY, 0), "openat2", path));
  } finally {
    writing.close();
    waitFor(sys, pid);
  }
}
