/**
 * Unpacks a layer into a directory, by descriptors only: the parent of each entry is resolved with
 * openat2(RESOLVE_IN_ROOT), the last component is only ever touched with calls that do not follow
 * links. What the archive put there before cannot lead out of the directory (CVE-2026-17106).
 * The directory must be reachable for nobody else (its parent has mode 0700).
 */

import { decodeLatin1 } from "@tare/spec/bytes.ts";
import { assertNever, TareError } from "@tare/spec/error.ts";
import type { TarReader } from "@tare/spec/tar.ts";
import type { TarXattr } from "@tare/spec/tar-entry.ts";
import { EEXIST, EINVAL, ENOENT, EOPNOTSUPP, EPERM } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  S_IFCHR,
  S_IFDIR,
  S_IFMT,
} from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt, writeAll } from "../sys/file.ts";
import { type Stat, statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { Directories, IN_ROOT, LAST, openLast } from "./directories.ts";
import { copyFromLower, findInLower, isOverlayMark, isWhiteout } from "./lower.ts";
import {
  type ArchiveKind,
  type Components,
  joinPath,
  type Metadata,
  planEntry,
  printPath,
  type UnpackStep,
} from "./plan.ts";
import { removeTree } from "./remove.ts";
import { DirectoryTimes } from "./times.ts";

export type UnpackOptions = {
  /**
   * Directories of the layers below, topmost first: a parent that this layer leaves out looks as there.
   * Asked for when the layer first needs them, which most never do: so layers need not wait for each other.
   */
  readonly lower: () => readonly Fd[];
  /** The namespace of overlayfs' marks: `user` where the caller is not real root. */
  readonly marks: "trusted" | "user";
  /** Most bytes of file content, without holes. */
  readonly bytesMax: number;
  /** What ".wh." in names means; `layer` where it is left out. */
  readonly kind?: ArchiveKind;
};

export type UnpackResult = { readonly entries: number; readonly bytes: number };

/**
 * Applies each entry of the archive to `root`.
 * @throws TareError `corrupt`; SysError. What was written by then stays, for the caller to remove.
 */
export function unpack(
  sys: Sys,
  root: Fd,
  archive: TarReader,
  options: UnpackOptions,
): UnpackResult {
  sys.umask(0);
  const layer = new Layer(sys, root, options);
  let entries = 0;
  for (let entry = archive.next(); entry !== undefined; entry = archive.next()) {
    layer.apply(planEntry(entry, options.kind), archive);
    entries++;
  }
  layer.finish();
  archive.drain();
  return { entries, bytes: layer.bytes };
}

class Layer {
  /** Of file content, with holes. */
  bytes = 0;
  #stored = 0;
  readonly #sys: Sys;
  readonly #root: Fd;
  readonly #options: UnpackOptions;
  /** The parent of the last entry: most entries share it with the one before. */
  #parentPath: Components | undefined;
  #parent: Fd | undefined;
  /** Writing into a directory changes its time, so times are set at the end. */
  readonly #times = new DirectoryTimes();
  readonly #directories: Directories;

  constructor(sys: Sys, root: Fd, options: UnpackOptions) {
    this.#sys = sys;
    this.#root = root;
    this.#options = options;
    this.#directories = new Directories(sys, root, options.lower);
  }

  apply(step: UnpackStep, content: TarReader): void {
    switch (step.op) {
      case "nothing":
        return;
      case "root":
        this.#rootMetadata(step.metadata);
        return;
      case "opaque":
        this.#opaque(this.#directories.open(step.directory));
        return;
      case "directory":
        this.#directory(step);
        return;
      case "file":
        this.#file(step, content);
        return;
      case "symlink":
        this.#symlink(step);
        return;
      case "hardlink":
        this.#hardlink(step);
        return;
      case "node":
        this.#node(step);
        return;
      case "whiteout":
        this.#whiteout(step);
        return;
      default:
        assertNever(step);
    }
  }

  /** Sets the times of the directories, now that nothing is written any more. */
  finish(): void {
    this.#forgetParent();
    this.#directories.finish();
    for (const { path, mtime, mtimeNs } of this.#times.all()) {
      const fd = this.#directories.openAgain(path, O_PATH);
      if (fd === undefined) continue;
      this.#setTimes(fd, "", { mtime, mtimeNs }, AT_EMPTY_PATH);
      this.#sys.close(fd);
    }
  }

  #rootMetadata(metadata: Metadata): void {
    const fd = check(
      openAt(this.#sys, this.#root, ".", O_RDONLY | O_DIRECTORY, IN_ROOT),
      "openat2",
      ".",
    );
    this.#setMetadata(fd, metadata);
    this.#sys.close(fd);
    this.#remember([], metadata);
  }

  #directory(step: Extract<UnpackStep, { op: "directory" }>): void {
    const parent = this.#parentOf(step.at);
    const made = errnoOf(this.#sys.mkdirat(parent, step.name, 0o700));
    let opaque = false;
    if (made === EEXIST) {
      const stat = statAt(this.#sys, parent, step.name, AT_SYMLINK_NOFOLLOW);
      if ((stat.mode & S_IFMT) !== S_IFDIR) {
        opaque = isWhiteout(stat);
        this.#clear(parent, step.name, stat);
        check(this.#sys.mkdirat(parent, step.name, 0o700), "mkdirat", step.name);
      }
    } else if (made !== 0) {
      throw failure(made, "mkdirat", step.name);
    }
    const fd = openLast(this.#sys, parent, step.name, O_RDONLY | O_DIRECTORY);
    if (opaque) this.#opaqueFd(fd);
    this.#setMetadata(fd, step.metadata);
    this.#sys.close(fd);
    this.#remember([...step.at, step.name], step.metadata);
  }

  #remember(at: Components, { mtime, mtimeNs }: Metadata): void {
    const path = joinPath(at);
    this.#times.add({ path, mtime, mtimeNs });
    this.#directories.described(path);
  }

  #file(step: Extract<UnpackStep, { op: "file" }>, content: TarReader): void {
    this.#count(step);
    const parent = this.#parentOf(step.at);
    const fd = this.#createFile(parent, step.name);
    if (step.segments === undefined) this.#write(fd, content, step.size);
    else this.#writeSparse(fd, content, step);
    this.#setMetadata(fd, step.metadata);
    this.#sys.close(fd);
    this.#setTimes(parent, step.name, step.metadata, AT_SYMLINK_NOFOLLOW);
  }

  /** Holes cost nothing, so what counts is what is stored; but whoever reads the file reads them all. */
  #count({ size, segments }: Extract<UnpackStep, { op: "file" }>): void {
    this.bytes += size;
    this.#stored += segments?.reduce((sum, { length }) => sum + length, 0) ?? size;
    const most = this.#options.bytesMax;
    if (this.#stored <= most && size <= FILE_BYTES_MAX) return;
    const what = size > FILE_BYTES_MAX ? "a file of it is" : "its files are";
    const limit = size > FILE_BYTES_MAX ? FILE_BYTES_MAX : most;
    throw new TareError("corrupt", `Cannot unpack the layer: ${what} larger than ${limit} bytes`);
  }

  #createFile(parent: Fd, name: Uint8Array): Fd {
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    const create = () => openAt(this.#sys, parent, name, flags, LAST, 0o600);
    const first = create();
    if (errnoOf(first) !== EEXIST) return check(first, "openat2", name);
    this.#clear(parent, name);
    return check(create(), "openat2", name);
  }

  /** Long runs of zeros become holes: archives of images have no other word for them. */
  #write(fd: Fd, content: TarReader, size: number): void {
    let endsInHole = false;
    for (let piece = content.chunk(); piece !== undefined; piece = content.chunk()) {
      endsInHole = piece.length >= HOLE_BYTES_MIN && this.#sys.is_zero(piece) === 1;
      if (endsInHole) check(this.#sys.lseek(fd, piece.length, SEEK_CUR), "lseek", CONTENT);
      else writeAll(this.#sys, fd, piece, CONTENT);
    }
    if (endsInHole) check(this.#sys.ftruncate(fd, size), "ftruncate", CONTENT);
  }

  #writeSparse(fd: Fd, content: TarReader, step: Extract<UnpackStep, { op: "file" }>): void {
    const pieces = new Pieces(content);
    for (const segment of step.segments ?? []) {
      check(this.#sys.lseek(fd, segment.offset, 0), "lseek", step.name);
      let left = segment.length;
      while (left > 0) {
        const piece = pieces.take(left);
        writeAll(this.#sys, fd, piece, CONTENT);
        left -= piece.length;
      }
    }
    check(this.#sys.ftruncate(fd, step.size), "ftruncate", step.name);
  }

  #symlink(step: Extract<UnpackStep, { op: "symlink" }>): void {
    const parent = this.#parentOf(step.at);
    this.#create(parent, step.name, () => this.#sys.symlinkat(step.target, parent, step.name));
    this.#chown(parent, step.name, step.metadata, AT_SYMLINK_NOFOLLOW);
    this.#setXattrsOfLast(parent, step.name, step.metadata.xattrs);
    this.#setTimes(parent, step.name, step.metadata, AT_SYMLINK_NOFOLLOW);
  }

  /** The link's own file is linked, never what it points to; a lower layer's file is copied up first. */
  #hardlink(step: Extract<UnpackStep, { op: "hardlink" }>): void {
    const targetName = step.target[step.target.length - 1] ?? new Uint8Array(0);
    const targetAt = step.target.slice(0, -1);
    if (this.#same(step)) return;
    const from = this.#directories.open(targetAt);
    try {
      if (!this.#exists(from, targetName)) this.#copyUp(step.target, from, targetName);
      const parent = this.#parentOf(step.at);
      this.#create(parent, step.name, () =>
        this.#sys.linkat(from, targetName, parent, step.name, 0),
      );
    } finally {
      this.#sys.close(from);
    }
  }

  #same(step: Extract<UnpackStep, { op: "hardlink" }>): boolean {
    return keyOf([...step.at, step.name]) === keyOf(step.target);
  }

  #copyUp(target: Components, to: Fd, name: Uint8Array): void {
    const source = findInLower(this.#sys, this.#options.lower(), joinPath(target));
    if (source === undefined) {
      throw new TareError(
        "corrupt",
        `Cannot unpack a hard link to "${printPath(joinPath(target))}": there is no such file`,
      );
    }
    copyFromLower(this.#sys, source.fd, to, name);
  }

  #node(step: Extract<UnpackStep, { op: "node" }>): void {
    const parent = this.#parentOf(step.at);
    const { type, major, minor, metadata } = step;
    const make = () => this.#sys.mknodat(parent, step.name, type | 0o600, major, minor);
    // A device that a user namespace may not make is left out, as by every unpacker there.
    const spared = this.#options.marks === "user" ? EPERM : undefined;
    if (!this.#create(parent, step.name, make, spared)) return;
    this.#chown(parent, step.name, metadata, AT_SYMLINK_NOFOLLOW);
    this.#setXattrsOfLast(parent, step.name, metadata.xattrs);
    // Made a moment ago in a directory that nobody else reaches: it is no link.
    check(this.#sys.fchmodat(parent, step.name, metadata.mode), "fchmodat", step.name);
    this.#setTimes(parent, step.name, metadata, AT_SYMLINK_NOFOLLOW);
  }

  /** A whiteout hides only lower layers: what this layer has of that name stays. */
  #whiteout(step: Extract<UnpackStep, { op: "whiteout" }>): void {
    const parent = this.#parentOf(step.at);
    const made = errnoOf(this.#sys.mknodat(parent, step.name, S_IFCHR, 0, 0));
    if (made === 0) return;
    if (made !== EEXIST) throw failure(made, "mknodat", step.name);
    const stat = statAt(this.#sys, parent, step.name, AT_SYMLINK_NOFOLLOW);
    if ((stat.mode & S_IFMT) === S_IFDIR) {
      this.#opaque(openLast(this.#sys, parent, step.name, O_RDONLY | O_DIRECTORY));
    }
  }

  #opaque(directory: Fd): void {
    // An O_PATH descriptor takes no attribute; "." of it is the same directory.
    const fd = check(
      openAt(this.#sys, directory, ".", O_RDONLY | O_DIRECTORY, LAST),
      "openat2",
      ".",
    );
    this.#opaqueFd(fd);
    this.#sys.close(fd);
    this.#sys.close(directory);
  }

  #opaqueFd(fd: Fd): void {
    const name = `${this.#options.marks}.overlay.opaque`;
    check(this.#sys.fsetxattr(fd, name, Uint8Array.of(0x79), 0), "fsetxattr", name);
  }

  /** Makes a name, in place of what has it; false where that fails with the error that is spared. */
  #create(
    parent: Fd,
    name: Uint8Array,
    make: () => ReturnType<Sys["linkat"]>,
    spared?: number,
  ): boolean {
    let made = make();
    if (errnoOf(made) === EEXIST) {
      this.#clear(parent, name);
      made = make();
    }
    if (errnoOf(made) === spared) return false;
    check(made, "create", name);
    return true;
  }

  #clear(parent: Fd, name: Uint8Array, known?: Stat): void {
    // What goes may have been on the way to the remembered parent; the descriptor itself stays good.
    this.#parentPath = undefined;
    const stat = known ?? statAt(this.#sys, parent, name, AT_SYMLINK_NOFOLLOW);
    if ((stat.mode & S_IFMT) === S_IFDIR) {
      removeTree(this.#sys, parent, name);
    } else {
      check(this.#sys.unlinkat(parent, name, 0), "unlinkat", name);
    }
  }

  #parentOf(at: Components): Fd {
    const known = this.#parentPath;
    if (known !== undefined && this.#parent !== undefined && sameComponents(known, at)) {
      return this.#parent;
    }
    this.#forgetParent();
    this.#parent = this.#directories.open(at);
    this.#parentPath = at;
    return this.#parent;
  }

  #forgetParent(): void {
    if (this.#parent !== undefined) this.#sys.close(this.#parent);
    this.#parent = undefined;
    this.#parentPath = undefined;
  }

  #exists(parent: Fd, name: Uint8Array): boolean {
    const ret = openAt(this.#sys, parent, name, O_PATH | O_NOFOLLOW, LAST);
    if (errnoOf(ret) === ENOENT) return false;
    const fd = check(ret, "openat2", name);
    const stat = statAt(this.#sys, fd, "", AT_EMPTY_PATH);
    this.#sys.close(fd);
    if (!isWhiteout(stat)) return true;
    throw new TareError(
      "corrupt",
      `Cannot unpack a hard link to "${printPath(name)}": it is deleted`,
    );
  }

  /** Owner first: a change of owner clears setuid bits and file capabilities. */
  #setMetadata(fd: Fd, metadata: Metadata): void {
    this.#chown(fd, "", metadata, AT_EMPTY_PATH);
    for (const xattr of metadata.xattrs) {
      if (!isKept(xattr)) continue;
      this.#checkXattr(this.#sys.fsetxattr(fd, xattr.name, xattr.value, 0), xattr);
    }
    check(this.#sys.fchmod(fd, metadata.mode), "fchmod");
  }

  /** No call sets an attribute of a link by descriptor; the parent's is named through /proc. */
  #setXattrsOfLast(parent: Fd, name: Uint8Array, xattrs: readonly TarXattr[]): void {
    const kept = xattrs.filter(isKept);
    if (kept.length === 0) return;
    const prefix = this.#sys.encode_utf8(`/proc/self/fd/${parent}/`);
    const path = new Uint8Array(prefix.length + name.length);
    path.set(prefix);
    path.set(name, prefix.length);
    for (const xattr of kept) {
      this.#checkXattr(this.#sys.lsetxattr(path, xattr.name, xattr.value, 0), xattr);
    }
  }

  /**
   * What the file system cannot keep is lost, as with every other unpacker; so is what a user namespace
   * may not set, and what the kernel takes for regular files and directories only (xattr(7), "user").
   */
  #checkXattr(ret: ReturnType<Sys["fsetxattr"]>, xattr: TarXattr): void {
    const errno = errnoOf(ret);
    if (errno === 0 || errno === EOPNOTSUPP) return;
    const lost = this.#options.marks === "user" || printPath(xattr.name).startsWith("user.");
    if (errno !== EPERM || !lost) check(ret, "setxattr", xattr.name);
  }

  #chown(dirfd: Fd, name: Uint8Array | "", metadata: Metadata, flags: number): void {
    const ret = this.#sys.fchownat(dirfd, name, metadata.uid, metadata.gid, flags);
    const errno = errnoOf(ret);
    if (errno === 0) return;
    const owner = `${metadata.uid}:${metadata.gid}`;
    if (errno !== EINVAL) check(ret, `fchownat ${owner}`);
    throw new TareError(
      "unsupported",
      `Cannot unpack the layer: this user namespace has no place for the owner ${owner}`,
      { hint: "Give the user more ids in /etc/subuid and /etc/subgid" },
    );
  }

  #setTimes(dirfd: Fd, name: Uint8Array | "", times: Times, flags: number): void {
    const { mtime, mtimeNs } = times;
    const ret = this.#sys.utimensat(dirfd, name, mtime, mtimeNs, mtime, mtimeNs, flags);
    check(ret, "utimensat");
  }
}

/** Content in pieces of a wanted length at most. */
class Pieces {
  readonly #content: TarReader;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(content: TarReader) {
    this.#content = content;
  }

  take(lengthMax: number): Uint8Array {
    if (this.#rest.length === 0) this.#rest = this.#content.chunk() ?? new Uint8Array(0);
    const piece = this.#rest.subarray(0, lengthMax);
    this.#rest = this.#rest.subarray(piece.length);
    if (piece.length > 0) return piece;
    throw new TareError("corrupt", "Cannot unpack a sparse file: its content is too short");
  }
}

type Times = Pick<Metadata, "mtime" | "mtimeNs">;

/** The most that ext4 takes. */
const FILE_BYTES_MAX = 16 * 1024 ** 4;

/** Of what is read at a time: a page. */
const HOLE_BYTES_MIN = 4096;
const SEEK_CUR = 1;

/** What a failed write is said to be of: names are put into words only for errors. */
const CONTENT = "a file of the layer";

function isKept(xattr: TarXattr): boolean {
  return !isOverlayMark(xattr.name);
}

/** The whole path as a key of a map: a character a byte. */
function keyOf(path: Components): string {
  return decodeLatin1(joinPath(path));
}

function sameComponents(a: Components, b: Components): boolean {
  if (a.length !== b.length) return false;
  for (let at = a.length - 1; at >= 0; at--) {
    const left = a[at];
    const right = b[at];
    if (left === undefined || right === undefined || left.length !== right.length) return false;
    for (let index = 0; index < left.length; index++) {
      if (left[index] !== right[index]) return false;
    }
  }
  return true;
}

function failure(errno: number, call: string, name: Uint8Array): TareError {
  check(-errno as never, call, name);
  return new TareError("internal", "an error number is never zero");
}
