/**
 * Where an ordinary user without XDG_RUNTIME_DIR has states: in /tmp, where anybody may have made that
 * directory before. Whoever may write it could exchange what is recorded there.
 */

import { checkOwner } from "../container/store.ts";
import { EEXIST } from "../sys/abi-errno.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_PATH } from "../sys/abi-file.ts";
import { check, during, errnoOf } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Sys } from "../sys/types.ts";

/**
 * Its path. Made here, also for commands that only look, so that nobody makes it in between; one that
 * is ours stays ours by the sticky bit of /tmp. Throws for a link, and where others may write it.
 */
export function ownRoot(sys: Sys): string {
  const path = `/tmp/tare-runtime-${sys.geteuid()}`;
  const made = sys.mkdirat(AT_FDCWD, path, 0o700);
  if (errnoOf(made) !== EEXIST) check(made, "mkdirat", path);
  return during(
    () => `Cannot use "${path}"`,
    () => {
      const flags = O_PATH | O_DIRECTORY | O_NOFOLLOW;
      const opened = openAt(sys, AT_FDCWD, path, flags, 0);
      using directory = new OwnedFd(sys, check(opened, "openat2", path));
      checkOwner(sys, directory, path);
      return path;
    },
  );
}
