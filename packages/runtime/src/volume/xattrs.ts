/**
 * Copies extended attributes: capabilities, access lists, those of users. Marks of overlayfs and
 * labels of SELinux belong to the place, not to the file. No call takes a directory and a name, so
 * the directory is named through /proc (xattr(7)).
 */

import { EOPNOTSUPP } from "../sys/abi-errno.ts";
import { check, errnoOf } from "../sys/check.ts";
import type { Fd, Sys } from "../sys/types.ts";

/** The kernel's limits: of a list of names, and of a value (xattr(7)). */
const BYTES_MAX = 65_536;

const LEFT_OUT = ["trusted.overlay.", "user.overlay.", "security.selinux"];

/** A file by its directory and its name there. */
export type Place = { readonly at: Fd; readonly name: Uint8Array };

/** What the target's file system cannot keep is left out, as unpacking does. */
export function copyXattrs(sys: Sys, from: Place, to: Place): void {
  const source = pathOf(sys, from);
  const names = new Uint8Array(BYTES_MAX);
  const ret = sys.llistxattr(source, names);
  if (errnoOf(ret) === EOPNOTSUPP) return;
  const length = check(ret, "llistxattr", from.name);
  if (length === 0) return;
  const target = pathOf(sys, to);
  const value = new Uint8Array(BYTES_MAX);
  for (const name of splitNames(names.subarray(0, length))) {
    const text = sys.decode_utf8(name) ?? "";
    if (LEFT_OUT.some((prefix) => text.startsWith(prefix))) continue;
    const size = check(sys.lgetxattr(source, name, value), "lgetxattr", from.name);
    const set = sys.lsetxattr(target, name, value.subarray(0, size), 0);
    if (errnoOf(set) !== EOPNOTSUPP) check(set, "lsetxattr", from.name);
  }
}

function pathOf(sys: Sys, { at, name }: Place): Uint8Array {
  const prefix = sys.encode_utf8(`/proc/self/fd/${at}/`);
  const path = new Uint8Array(prefix.length + name.length);
  path.set(prefix);
  path.set(name, prefix.length);
  return path;
}

function splitNames(bytes: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    names.push(bytes.slice(at, end));
    at = end + 1;
  }
  return names;
}
