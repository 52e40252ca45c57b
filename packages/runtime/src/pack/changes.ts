/**
 * What the upper directory of an overlay changes in the tree below it, told in one of two ways: as
 * the entries of an image layer, or as lines of what was added, changed and deleted.
 * Sources: kernel's overlayfs.rst ("Whiteouts and opaque directories"); OCI image-spec, layer.md.
 */

import { decodeLatin1 } from "@tare/spec/bytes.ts";
import { TareError } from "@tare/spec/error.ts";
import type { TarXattr } from "@tare/spec/tar-entry.ts";
import { compareBytes } from "@tare/spec/tar-write.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  O_NOFOLLOW,
  O_PATH,
  S_IFCHR,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
} from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { entriesOf } from "../sys/directory.ts";
import { openAt } from "../sys/file.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { printPath } from "../unpack/plan.ts";
import { type FileStat, isGone, tryFileStat } from "./file-stat.ts";
import { INSIDE, type Node, openDirectory, walkTree } from "./node.ts";
import { XattrReader } from "./xattrs.ts";

export type ChangeKind = "added" | "changed" | "deleted";

/** One object of the upper directory. */
export type Change = {
  readonly kind: ChangeKind;
  readonly node: Node;
  /** Without the marks of overlayfs. */
  readonly xattrs: readonly TarXattr[];
  /** A directory that hides what is below it. */
  readonly opaque: boolean;
};

export type ChangesOptions = {
  readonly upper: Fd;
  /** The tree of all lower layers; undefined where there are none. */
  readonly lower: Fd | undefined;
  /** Paths at which a runtime makes mount points: empty ones that the lower tree lacks are none of the container's. */
  readonly stubs: ReadonlySet<string>;
};

/** Calls back for each object of the upper directory, in the order of `walkTree`. */
export function eachChange(
  sys: Sys,
  { upper, lower, stubs }: ChangesOptions,
  use: (change: Change) => void,
): void {
  const xattrs = new XattrReader(sys);
  const below = new TreeView(sys, lower);
  const mounted = new MountPoints(sys, upper, stubs);
  walkTree(sys, upper, (node) => {
    if (isWhiteoutDevice(node.stat)) {
      // Of nothing: a file that was made, and deleted again.
      if (below.has(node.path)) use({ kind: "deleted", node, xattrs: [], opaque: false });
      return false;
    }
    const inLower = below.stat(node.path);
    if (inLower === undefined && mounted.isStub(node)) return false;
    const all = xattrs.read(node.at, node.name);
    if (inLower !== undefined && mounted.isParent(node, inLower)) return true;
    const { kept, opaque } = splitMarks(all, node);
    const hides = opaque && inLower !== undefined && isDirectory(inLower);
    use({ kind: inLower === undefined ? "added" : "changed", node, xattrs: kept, opaque: hides });
    return true;
  });
}

/** The mark for "deleted": a character device 0:0. */
function isWhiteoutDevice(stat: FileStat): boolean {
  return (stat.mode & S_IFMT) === S_IFCHR && stat.major === 0 && stat.minor === 0;
}

/** Whether it is one, and no link to one. */
export function isDirectory(stat: FileStat): boolean {
  return (stat.mode & S_IFMT) === S_IFDIR;
}

const MARKS = ["trusted.overlay.", "user.overlay."];

/**
 * Marks that move content elsewhere (redirect, metacopy) are never asked for when we mount; where a
 * kernel made them nevertheless, a layer without the content would be wrong.
 */
function splitMarks(
  all: readonly TarXattr[],
  node: Node,
): { readonly kept: readonly TarXattr[]; readonly opaque: boolean } {
  const kept: TarXattr[] = [];
  let opaque = false;
  for (const xattr of all) {
    const name = decodeLatin1(xattr.name);
    const prefix = MARKS.find((each) => name.startsWith(each));
    if (prefix === undefined) {
      kept.push(xattr);
      continue;
    }
    const mark = name.slice(prefix.length);
    if (mark === "opaque") opaque = xattr.value[0] === 0x79;
    if (mark !== "redirect" && mark !== "metacopy") continue;
    throw new TareError(
      "unsupported",
      `Cannot pack "/${printPath(node.path)}": the kernel marked it as ${mark}`,
      { hint: `Load the module overlay with ${mark === "redirect" ? "redirect_dir" : mark}=off` },
    );
  }
  return { kept, opaque };
}

/** A tree to ask for single names; nothing of it is followed. */
export class TreeView {
  readonly #sys: Sys;
  readonly #root: Fd | undefined;

  constructor(sys: Sys, root: Fd | undefined) {
    this.#sys = sys;
    this.#root = root;
  }

  has(path: Uint8Array): boolean {
    return this.stat(path) !== undefined;
  }

  stat(path: Uint8Array): FileStat | undefined {
    if (this.#root === undefined) return undefined;
    const name = path.length === 0 ? "." : path;
    const ret = openAt(this.#sys, this.#root, name, O_PATH | O_NOFOLLOW, INSIDE);
    if (isGone(errnoOf(ret))) return undefined;
    const fd = check(ret, "openat2", name);
    const stat = tryFileStat(this.#sys, fd, "", AT_EMPTY_PATH);
    this.#sys.close(fd);
    return stat === undefined || isWhiteoutDevice(stat) ? undefined : stat;
  }

  /** Names in a directory, in order; none where it is no directory. */
  names(path: Uint8Array): Uint8Array[] {
    const fd = this.#root === undefined ? undefined : openDirectory(this.#sys, this.#root, path);
    if (fd === undefined) return [];
    const names = entriesOf(this.#sys, fd).sort(compareBytes);
    this.#sys.close(fd);
    return names;
  }
}

/** The mount points that runtimes leave in an upper directory: docker has them in a layer that it hides. */
class MountPoints {
  readonly #sys: Sys;
  readonly #upper: Fd;
  readonly #stubs: ReadonlySet<string>;
  readonly #parents: ReadonlySet<string>;

  constructor(sys: Sys, upper: Fd, stubs: ReadonlySet<string>) {
    this.#sys = sys;
    this.#upper = upper;
    this.#stubs = stubs;
    this.#parents = new Set([...stubs].map(parentOf));
  }

  /** An empty file or directory at such a place, or a directory that holds nothing but such. */
  isStub(node: Node): boolean {
    const path = decodeLatin1(node.path);
    if ((node.stat.mode & S_IFMT) === S_IFREG) return this.#stubs.has(path) && node.stat.size === 0;
    if (!isDirectory(node.stat) || !(this.#stubs.has(path) || this.#parents.has(path)))
      return false;
    return this.#holdsOnlyStubs(node, path);
  }

  /** A directory of the image that is here only because such a place was made in it. */
  isParent(node: Node, inLower: FileStat): boolean {
    const path = decodeLatin1(node.path);
    if (!this.#parents.has(path) || !isDirectory(node.stat) || !isDirectory(inLower)) return false;
    const { mode, uid, gid } = node.stat;
    const same = mode === inLower.mode && uid === inLower.uid && gid === inLower.gid;
    return same && this.#names(node.at).length > 0 && this.#holdsOnlyStubs(node, path);
  }

  #holdsOnlyStubs(node: Node, path: string): boolean {
    return this.#names(node.at).every((name) => {
      const child = path === "" ? decodeLatin1(name) : `${path}/${decodeLatin1(name)}`;
      const stat = tryFileStat(this.#sys, node.at, name, AT_SYMLINK_NOFOLLOW);
      if (stat === undefined || !this.#stubs.has(child)) return false;
      return isDirectory(stat) || ((stat.mode & S_IFMT) === S_IFREG && stat.size === 0);
    });
  }

  /** Through a descriptor of its own, since reading moves the walk's. */
  #names(at: Fd): Uint8Array[] {
    const own = openDirectory(this.#sys, at, new Uint8Array(0)) ?? this.#upper;
    const names = entriesOf(this.#sys, own);
    if (own !== this.#upper) this.#sys.close(own);
    return names;
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
}
