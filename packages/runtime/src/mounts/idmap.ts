/**
 * Id-mapped mounts: a detached tree whose owners are shown through the maps of a user namespace.
 * The namespace is made only to carry the maps: no process stays in it. Source: mount_setattr(2).
 */

import { TareError } from "@tare/spec/error.ts";
import { writeIdMaps } from "../container/id-maps.ts";
import type { IdMap } from "../container/step.ts";
import { waitFor } from "../process/wait.ts";
import { EINVAL } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  NO_FD,
  O_CLOEXEC,
  O_RDONLY,
} from "../sys/abi-file.ts";
import { MOUNT_ATTR_IDMAP } from "../sys/abi-mount.ts";
import { CLONE_NEWUSER, SIGCHLD } from "../sys/abi-process.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt, retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";

/** Maps the owners of a detached tree; `path` is for the error. */
export function mapOwners(sys: Sys, tree: Fd, idmap: IdMap, path: string): void {
  using namespace = openUserNamespace(sys, idmap);
  const flags = AT_EMPTY_PATH | (idmap.recursive ? AT_RECURSIVE : 0);
  const ret = sys.mount_setattr(tree, "", flags, MOUNT_ATTR_IDMAP, 0, 0, namespace.fd);
  if (errnoOf(ret) === EINVAL) {
    throw new TareError(
      "unsupported",
      `Cannot map the ids of "${path}": its file system cannot be id-mapped`,
    );
  }
  check(ret, "mount_setattr MOUNT_ATTR_IDMAP", path);
}

/** A new user namespace with these maps, held by the descriptor alone. */
function openUserNamespace(sys: Sys, idmap: IdMap): OwnedFd {
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
    writeIdMaps(sys, idmap, pid);
    const path = `/proc/${pid}/ns/user`;
    return new OwnedFd(sys, check(openAt(sys, AT_FDCWD, path, O_RDONLY, 0), "openat2", path));
  } finally {
    writing.close();
    waitFor(sys, pid);
  }
}
