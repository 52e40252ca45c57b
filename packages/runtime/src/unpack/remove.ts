/**
 * Deletes a directory and all that is in it, by descriptors: no link is followed. Each directory
 * below another is moved up to the top one before it is emptied, so that depth costs no
 * descriptors and no path gets long.
 */

import { ENOENT, ENOTEMPTY } from "../sys/abi-errno.ts";
import {
  AT_REMOVEDIR,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { printPath } from "./plan.ts";

const LISTING_BYTES = 64 * 1024;
const DT_DIR = 4;

type Child = { readonly name: Uint8Array; readonly directory: boolean };

/** Removes the directory `name` of `parent`; one that is gone already is fine. */
export function removeTree(sys: Sys, parent: Fd, name: Uint8Array): void {
  const ret = openDirectory(sys, parent, name);
  if (errnoOf(ret) === ENOENT) return;
  const top = check(ret, "openat2", printPath(name));
  // A name that no archive can foresee.
  const prefix = `.tare-remove-${sys.getrandom(8).join("")}`;
  let moved = 0;
  const queue: Uint8Array[] = [];
  const empty = (directory: Fd, isTop: boolean) => {
    for (const child of listChildren(sys, directory)) {
      if (!child.directory) {
        check(sys.unlinkat(directory, child.name, 0), "unlinkat", printPath(child.name));
      } else if (isTop) {
        queue.push(child.name);
      } else if (errnoOf(sys.unlinkat(directory, child.name, AT_REMOVEDIR)) === ENOTEMPTY) {
        const aside = sys.encode_utf8(`${prefix}-${moved++}`);
        check(sys.renameat2(directory, child.name, top, aside, 0), "rename", printPath(child.name));
        queue.push(aside);
      }
    }
  };
  empty(top, true);
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const directory = check(openDirectory(sys, top, next), "openat2", printPath(next));
    empty(directory, false);
    sys.close(directory);
    check(sys.unlinkat(top, next, AT_REMOVEDIR), "unlinkat", printPath(next));
  }
  sys.close(top);
  check(sys.unlinkat(parent, name, AT_REMOVEDIR), "unlinkat", printPath(name));
}

function openDirectory(sys: Sys, parent: Fd, name: Uint8Array): ReturnType<Sys["openat2"]> {
  const resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return openAt(sys, parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, resolve);
}

/** The names in a directory, but "." and "..". The record's layout is that of getdents64(2). */
function listChildren(sys: Sys, directory: Fd): Child[] {
  const children: Child[] = [];
  const buffer = new Uint8Array(LISTING_BYTES);
  for (;;) {
    const length = check(sys.getdents64(directory, buffer), "getdents64");
    if (length === 0) return children;
    for (let at = 0; at < length; ) {
      const size = (buffer[at + 16] ?? 0) | ((buffer[at + 17] ?? 0) << 8);
      const end = buffer.indexOf(0, at + 19);
      const name = buffer.slice(at + 19, end);
      const dots = name.length <= 2 && name.every((byte) => byte === 0x2e);
      if (!dots) children.push({ name, directory: buffer[at + 18] === DT_DIR });
      at += size;
    }
  }
}
