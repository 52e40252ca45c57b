/**
 * Reads /etc/passwd and /etc/group out of layers that are not mounted. They are an image's, so:
 * resolved inside of the root, never a fifo or a device, never large (CVE-2026-47262).
 */

import { decodeLatin1 } from "@tare/spec/bytes.ts";
import { TareError } from "@tare/spec/error.ts";
import { ENOENT, ENOTDIR } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  O_DIRECTORY,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  S_IFMT,
  S_IFREG,
} from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt, readAll } from "../sys/file.ts";
import { statAt } from "../sys/stat.ts";
import type { Sys } from "../sys/types.ts";
import { isWhiteout } from "../unpack/lower.ts";

const FILE_BYTES_MAX = 10 * 1024 * 1024;

export type Accounts = { readonly passwd: string; readonly group: string };

/** The texts as the topmost layer has them; empty where no layer does. */
export function readAccounts(sys: Sys, roots: readonly string[]): Accounts {
  return { passwd: readTop(sys, roots, "etc/passwd"), group: readTop(sys, roots, "etc/group") };
}

function readTop(sys: Sys, roots: readonly string[], path: string): string {
  for (const root of roots) {
    const text = readIn(sys, root, path);
    if (text !== undefined) return text;
  }
  return "";
}

/** Undefined: not in this layer, look further down. */
function readIn(sys: Sys, root: string, path: string): string | undefined {
  const dir = check(openAt(sys, AT_FDCWD, root, O_PATH | O_DIRECTORY, 0), "openat2", root);
  const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const found = openAt(sys, dir, path, O_PATH, resolve);
  if (errnoOf(found) === ENOENT || errnoOf(found) === ENOTDIR) return undefined;
  const place = check(found, "openat2", path);
  const stat = statAt(sys, place, "", AT_EMPTY_PATH);
  if (isWhiteout(stat)) return "";
  if ((stat.mode & S_IFMT) !== S_IFREG) {
    throw new TareError("bad_input", `Cannot read "/${path}" of the image: it is no regular file`);
  }
  const again = `/proc/self/fd/${place}`;
  const fd = check(openAt(sys, AT_FDCWD, again, O_RDONLY | O_NONBLOCK, 0), "openat2", path);
  const bytes = readAll(sys, fd, `/${path}`, FILE_BYTES_MAX);
  for (const each of [fd, place, dir]) sys.close(each);
  // Names in these files are ASCII; other bytes must only not be lost between two lines.
  return decodeLatin1(bytes);
}
