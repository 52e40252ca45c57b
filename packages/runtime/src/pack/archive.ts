/** Writes the nodes of a tree as entries of a tar archive. */

import type { TarKind, TarXattr } from "@tare/spec/tar-entry.ts";
import { EMPTY, paddingOf } from "@tare/spec/tar-fields.ts";
import { END_OF_ARCHIVE, type WritableEntry, writeHeader } from "@tare/spec/tar-write.ts";
import { EINVAL, ENXIO } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openRegular } from "../sys/regular-file.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { type FileStat, isGone, tryFileStat } from "./file-stat.ts";
import { INSIDE, type Node } from "./node.ts";
import { type Output, seekTo } from "./output.ts";

const KINDS: ReadonlyMap<number, TarKind> = new Map([
  [S_IFREG, "file"],
  [S_IFDIR, "directory"],
  [S_IFLNK, "symlink"],
  [S_IFCHR, "char"],
  [S_IFBLK, "block"],
  [S_IFIFO, "fifo"],
]);

const LINK_BYTES_MAX = 4096;
/** Smaller files are read whole, holes and all. */
const HOLES_BYTES_MIN = 1024 * 1024;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const SLASH = new Uint8Array([0x2f]);
const ROOT = new Uint8Array([0x2e]);

export class ArchiveWriter {
  readonly #sys: Sys;
  readonly #out: Output;
  /** Where files with several names were written first. */
  readonly #first = new Map<string, Uint8Array>();

  constructor(sys: Sys, out: Output) {
    this.#sys = sys;
    this.#out = out;
  }

  /** Writes a node; a socket is left out, as every archiver does. */
  node(node: Node, xattrs: readonly TarXattr[]): void {
    const kind = KINDS.get(node.stat.mode & S_IFMT);
    if (kind === undefined) return;
    if (kind === "file") return this.#file(node, xattrs);
    const path = kind === "directory" ? concat(pathOf(node), SLASH) : pathOf(node);
    const link = kind === "symlink" ? this.#target(node) : EMPTY;
    if (link !== undefined && !this.#linked(node)) {
      this.#entry({ ...describe(kind, path, node.stat, xattrs), link });
    }
  }

  /** An empty file that stands for something: a mark of a layer. */
  mark(path: Uint8Array): void {
    this.#entry({ ...describe("file", path, NOTHING, []), mode: 0 });
  }

  end(): void {
    this.#out.bytes(END_OF_ARCHIVE);
    this.#out.end();
  }

  #file(node: Node, xattrs: readonly TarXattr[]): void {
    const ret = openRegular(this.#sys, node.at, node.name, INSIDE);
    if (ret === undefined || isGone(errnoOf(ret))) return;
    const fd = check(ret, "openat2", node.name);
    try {
      // Another file may have taken the name: what is said must be of what is read.
      const stat = tryFileStat(this.#sys, fd, "", AT_EMPTY_PATH);
      if (stat === undefined) return;
      if (this.#linked({ ...node, stat })) return;
      this.#entry({ ...describe("file", node.path, stat, xattrs), size: stat.size });
      this.#content(fd, stat);
      this.#out.bytes(new Uint8Array(paddingOf(stat.size)));
    } finally {
      this.#sys.close(fd);
    }
  }

  #content(fd: Fd, stat: FileStat): void {
    if (stat.size - stat.stored < HOLES_BYTES_MIN) return this.#out.content(fd, stat.size);
    for (let at = 0; at < stat.size; ) {
      const data = Math.min(this.#seek(fd, at, SEEK_DATA) ?? stat.size, stat.size);
      const hole = Math.min(this.#seek(fd, data, SEEK_HOLE) ?? stat.size, stat.size);
      this.#out.zeros(data - at);
      seekTo(this.#sys, fd, data);
      this.#out.content(fd, hole - data);
      at = hole;
    }
  }

  /** lseek(2), "Seeking file data and holes"; undefined where there is none behind. */
  #seek(fd: Fd, offset: number, whence: number): number | undefined {
    const ret = this.#sys.lseek(fd, offset, whence);
    return errnoOf(ret) === ENXIO ? undefined : check(ret, "lseek", "a file");
  }

  /** Whether the node was written under another name before, and now as a link to that. */
  #linked(node: Node): boolean {
    const { identity, mode } = node.stat;
    if (identity === "" || (mode & S_IFMT) === S_IFDIR) return false;
    const first = this.#first.get(identity);
    if (first === undefined) {
      this.#first.set(identity, node.path);
      return false;
    }
    this.#entry({ ...describe("hardlink", node.path, node.stat, []), link: first });
    return true;
  }

  #target(node: Node): Uint8Array | undefined {
    const buffer = new Uint8Array(LINK_BYTES_MAX);
    const ret = this.#sys.readlinkat(node.at, node.name, buffer);
    // The latter: it is no link any more.
    if (isGone(errnoOf(ret)) || errnoOf(ret) === EINVAL) return undefined;
    return buffer.subarray(0, check(ret, "readlinkat", node.name));
  }

  #entry(entry: WritableEntry): void {
    this.#out.bytes(writeHeader(entry));
  }
}

/** As far as it does not depend on the kind. */
function describe(
  kind: TarKind,
  path: Uint8Array,
  stat: FileStat,
  xattrs: readonly TarXattr[],
): WritableEntry {
  const { uid, gid, mtime, mtimeNs, major, minor } = stat;
  const mode = stat.mode & 0o7777;
  return { kind, path, link: EMPTY, mode, uid, gid, size: 0, mtime, mtimeNs, major, minor, xattrs };
}

const NOTHING: FileStat = {
  mode: 0,
  uid: 0,
  gid: 0,
  links: 1,
  size: 0,
  stored: 0,
  mtime: 0,
  mtimeNs: 0,
  major: 0,
  minor: 0,
  identity: "",
};

function pathOf(node: Node): Uint8Array {
  return node.path.length === 0 ? ROOT : node.path;
}

function concat(left: Uint8Array, right: Uint8Array): Uint8Array {
  const whole = new Uint8Array(left.length + right.length);
  whole.set(left);
  whole.set(right, left.length);
  return whole;
}
