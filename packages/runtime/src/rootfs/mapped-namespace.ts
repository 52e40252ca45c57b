/**
 * A user namespace that holds only an id map: what an ID-mapped mount wants to be told with.
 * A namespace needs a process to be made, which ends as soon as its descriptor is ours.
 */

import { AT_FDCWD, NO_FD, O_RDONLY } from "../sys/abi-file.ts";
import { CLONE_NEWUSER, SIGCHLD, SIGKILL } from "../sys/abi-process.ts";
import { AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM } from "../sys/abi-socket.ts";
import { check } from "../sys/check.ts";
import { openAt, retried, writeTextAt } from "../sys/file.ts";
import type { Fd, Sys } from "../sys/types.ts";

/** Ids from 0 inside are ids from `first` outside. */
export type IdRange = { readonly first: number; readonly size: number };

/** A descriptor of the namespace; the caller closes it. */
export function makeMappedNamespace(sys: Sys, uid: IdRange, gid: IdRange): Fd {
  const ends = new Int32Array(2);
  check(sys.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
  const [ours, theirs] = [ends[0] as unknown as Fd, ends[1] as unknown as Fd];
  const pid = check(sys.clone3(CLONE_NEWUSER, SIGCHLD, NO_FD), "clone3", "user namespace");
  if (pid === 0) {
    // Waits until the parent is done with us, or gone.
    sys.close(ours);
    sys.read(theirs, new Uint8Array(1));
    sys.exit_group(0);
  }
  try {
    writeTextAt(sys, AT_FDCWD, `/proc/${pid}/uid_map`, `0 ${uid.first} ${uid.size}\n`, 0);
    writeTextAt(sys, AT_FDCWD, `/proc/${pid}/gid_map`, `0 ${gid.first} ${gid.size}\n`, 0);
    return check(openAt(sys, AT_FDCWD, `/proc/${pid}/ns/user`, O_RDONLY, 0), "openat2", "ns/user");
  } finally {
    sys.kill(pid, SIGKILL);
    retried(() => sys.wait4(pid, new Int32Array(1), 0));
    sys.close(ours);
    sys.close(theirs);
  }
}
