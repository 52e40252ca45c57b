/**
 * Standard streams that lead to the host's null device lead to the container's instead: else its program
 * holds a file of a mount that is not its own, which criu cannot save. crun does so, too.
 */

import { O_NOFOLLOW, O_RDWR, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { isNullDevice } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";

const STREAMS = [0, 1, 2] as Fd[];

/** @param root the container's; where its `dev/null` is not the device, or may not be opened, all stays */
export function useOwnNull(sys: Sys, root: Fd): void {
  const streams = STREAMS.filter((fd) => isNullDevice(sys, fd));
  if (streams.length === 0) return;
  const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
  const ret = openAt(sys, root, "dev/null", O_RDWR | O_NOFOLLOW, resolve);
  if (errnoOf(ret) !== 0) return;
  using own = new OwnedFd(sys, check(ret, "openat2", "/dev/null"));
  if (!isNullDevice(sys, own.fd)) return;
  for (const fd of streams) check(sys.dup3(own.fd, fd, 0), "dup3", String(fd));
}
