/** Extended attributes of a node, as an archive has them. */

import { decodeLatin1 } from "@tare/spec/bytes.ts";
import type { TarXattr } from "@tare/spec/tar-entry.ts";
import { ENODATA, EOPNOTSUPP } from "../sys/abi-errno.ts";
import { check, errnoOf } from "../sys/check.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { printPath } from "../unpack/plan.ts";
import { isGone } from "./file-stat.ts";

/** What the kernel has at most of a list and of a value: XATTR_LIST_MAX, XATTR_SIZE_MAX. */
const BYTES_MAX = 64 * 1024;

/** Those that speak of this machine's security policy and would mean nothing on another. */
const OF_THE_MACHINE: ReadonlySet<string> = new Set([
  "security.selinux",
  "security.ima",
  "security.evm",
  "security.SMACK64",
]);

/** Reads attributes by the directory's descriptor and a name, which no link can lead away. */
export class XattrReader {
  readonly #sys: Sys;
  readonly #buffer = new Uint8Array(BYTES_MAX);

  constructor(sys: Sys) {
    this.#sys = sys;
  }

  /** All attributes, marks of overlayfs among them. */
  read(at: Fd, name: Uint8Array): TarXattr[] {
    const path = this.#path(at, name);
    const ret = this.#sys.llistxattr(path, this.#buffer);
    const errno = errnoOf(ret);
    if (errno === EOPNOTSUPP || isGone(errno)) return [];
    const length = check(ret, "llistxattr", printPath(name));
    if (length === 0) return [];
    return splitAtNul(this.#buffer.slice(0, length)).flatMap((key) => this.#one(path, key));
  }

  #one(path: Uint8Array, name: Uint8Array): TarXattr[] {
    if (OF_THE_MACHINE.has(decodeLatin1(name))) return [];
    const ret = this.#sys.lgetxattr(path, name, this.#buffer);
    const errno = errnoOf(ret);
    if (errno === ENODATA || isGone(errno)) return [];
    const length = check(ret, "lgetxattr", printPath(name));
    return [{ name, value: this.#buffer.slice(0, length) }];
  }

  /** No call takes a directory's descriptor; the l in their names is about the last component alone. */
  #path(at: Fd, name: Uint8Array): Uint8Array {
    const prefix = this.#sys.encode_utf8(`/proc/self/fd/${at}/`);
    const path = new Uint8Array(prefix.length + name.length);
    path.set(prefix);
    path.set(name, prefix.length);
    return path;
  }
}

function splitAtNul(bytes: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    names.push(bytes.subarray(at, end));
    at = end + 1;
  }
  return names;
}
