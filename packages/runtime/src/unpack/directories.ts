/**
 * The directories on the way to what is unpacked: found without leaving the root, made where the archive
 * leaves them out, and then given the looks that they have in the layers below.
 */
import { decodeLatin1 } from "@tare/spec/bytes.ts";
import { TareError } from "@tare/spec/error.ts";
import { ENAMETOOLONG, ENOENT, ENOTDIR } from "../sys/abi-errno.ts";
import {
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { findInLower, looksAs } from "./lower.ts";
import { type Components, joinPath, printPath } from "./plan.ts";

/** What the kernel takes as one path, the directory that is unpacked into included. */
const REAL_PATH_BYTES_MAX = 4095;
/** Directories that wait for the layers below; more of them are compared at once. */
const IMPLIED_MAX = 2000;

/** For a path: links in it lead nowhere else. */
export const IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
/** For a last component: no link at all. */
export const LAST = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

/** The last component of a path, which is no link. */
export function openLast(sys: Sys, parent: Fd, name: Uint8Array, flags: number): Fd {
  return check(openAt(sys, parent, name, flags | O_NOFOLLOW, LAST), "openat2", name);
}

/** Of one root. */
export class Directories {
  readonly #sys: Sys;
  readonly #root: Fd;
  readonly #lower: () => readonly Fd[];
  /** Those that were made for what is in them and that no entry described yet. */
  readonly #implied = new Map<string, Uint8Array>();
  /** Room for a path, once it is needed. */
  #real: Uint8Array | undefined;

  /** @param lower the layers below, topmost first; asked for when they are needed */
  constructor(sys: Sys, root: Fd, lower: () => readonly Fd[]) {
    this.#sys = sys;
    this.#root = root;
    this.#lower = lower;
  }

  /** An entry said how the directory looks. */
  described(path: Uint8Array): void {
    if (this.#implied.size > 0) this.#implied.delete(decodeLatin1(path));
  }

  /** A directory that was made before; undefined where a later entry of the archive replaced it. */
  openAgain(path: Uint8Array, flags: number): Fd | undefined {
    const ret = openAt(this.#sys, this.#root, path, flags | O_DIRECTORY | O_NOFOLLOW, IN_ROOT);
    if (errnoOf(ret) === ENOENT || errnoOf(ret) === ENOTDIR) return undefined;
    return check(ret, "openat2", path);
  }

  /** A directory in the root, made with those above it where they are missing. */
  open(at: Components): Fd {
    const path = joinPath(at);
    const direct = openAt(this.#sys, this.#root, path, O_PATH | O_DIRECTORY, IN_ROOT | LAST);
    if (errnoOf(direct) === 0) return check(direct, "openat2");
    // A link on the way to what is missing would have been the error.
    if (errnoOf(direct) === ENOENT) return this.#makeMissing(at);
    const linked = openAt(this.#sys, this.#root, path, O_PATH | O_DIRECTORY, IN_ROOT);
    const directory =
      errnoOf(linked) === ENOENT ? this.#makeDirectory(at) : check(linked, "openat2", path);
    this.#checkDepth(directory, path);
    return directory;
  }

  /** Where no link is on the way: from the deepest directory that is there. */
  #makeMissing(at: Components): Fd {
    let depth = at.length;
    let directory: Fd | undefined;
    while (directory === undefined) {
      const path = joinPath(at.slice(0, --depth));
      const ret = openAt(this.#sys, this.#root, path, O_PATH | O_DIRECTORY, IN_ROOT | LAST);
      if (errnoOf(ret) !== ENOENT) directory = check(ret, "openat2", path);
    }
    while (depth < at.length) {
      const next = this.#makeImplied(directory, at.slice(0, ++depth));
      this.#sys.close(directory);
      directory = next;
    }
    return directory;
  }

  #makeDirectory(at: Components): Fd {
    let directory = check(
      openAt(this.#sys, this.#root, ".", O_PATH | O_DIRECTORY, IN_ROOT),
      "openat2",
      ".",
    );
    for (let depth = 1; depth <= at.length; depth++) {
      const next = this.#enter(directory, at.slice(0, depth));
      this.#sys.close(directory);
      directory = next;
    }
    return directory;
  }

  /** Through links an entry comes deeper than its name says, and what is deep is slow to remove. */
  #checkDepth(directory: Fd, path: Uint8Array): void {
    this.#real ??= new Uint8Array(REAL_PATH_BYTES_MAX + 1);
    const real = this.#real;
    const ret = this.#sys.readlinkat(directory, `/proc/self/fd/${directory}`, real);
    const tooLong = errnoOf(ret) === ENAMETOOLONG;
    const length = tooLong ? real.length : check(ret, "readlinkat", path);
    if (length <= REAL_PATH_BYTES_MAX) return;
    throw new TareError("corrupt", `Cannot unpack "${printPath(path)}": links lead too deep`);
  }

  /** One step down: what is there, links inside the root included, else a new directory. */
  #enter(parent: Fd, path: Components): Fd {
    const whole = joinPath(path);
    const there = openAt(this.#sys, this.#root, whole, O_PATH | O_DIRECTORY, IN_ROOT);
    if (errnoOf(there) !== ENOENT) return check(there, "openat2", whole);
    return this.#makeImplied(parent, path);
  }

  #makeImplied(parent: Fd, path: Components): Fd {
    const name = path[path.length - 1] ?? new Uint8Array(0);
    const whole = joinPath(path);
    check(this.#sys.mkdirat(parent, name, 0o755), "mkdirat", whole);
    if (this.#implied.size < IMPLIED_MAX) this.#implied.set(decodeLatin1(whole), whole);
    else this.#looksAsBelow(whole, 0);
    return openLast(this.#sys, parent, name, O_RDONLY | O_DIRECTORY);
  }

  /** Else a directory that the archive does not name would lose its owner and mode. */
  finish(): void {
    // Parents come first, and where the parent is not, nothing in it is.
    const layers = new Map<string, number>();
    for (const [key, path] of this.#implied) {
      const parent = layers.get(key.slice(0, Math.max(0, key.lastIndexOf("/"))));
      layers.set(key, this.#looksAsBelow(path, parent ?? 0));
    }
  }

  /** Answers which layer has it, looking from one downwards; their number where none does. */
  #looksAsBelow(path: Uint8Array, first: number): number {
    const lower = this.#lower();
    const found = findInLower(this.#sys, lower, path, first);
    if (found === undefined) return lower.length;
    const fd = this.openAgain(path, O_RDONLY);
    if (fd !== undefined) {
      looksAs(this.#sys, found, fd);
      this.#sys.close(fd);
    }
    this.#sys.close(found.fd);
    return found.layer;
  }
}
