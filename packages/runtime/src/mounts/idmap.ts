/**
 * Id-mapped mounts: a detached tree whose owners are shown through the maps of a user namespace.
 * Source: mount_setattr(2).
 */

import { TareError } from "@tare/spec/error.ts";
import type { IdMap } from "../container/step.ts";
import { openUserNamespace } from "../container/user-namespace.ts";
import { EINVAL } from "../sys/abi-errno.ts";
import { AT_EMPTY_PATH, AT_RECURSIVE } from "../sys/abi-file.ts";
import { MOUNT_ATTR_IDMAP } from "../sys/abi-mount.ts";
import { check, errnoOf } from "../sys/check.ts";
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
