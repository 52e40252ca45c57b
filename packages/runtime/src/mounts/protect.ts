/**
 * Hides and write-protects places of the finished tree, inside the new root, by descriptor.
 * A mask binds a device that was proven to be the null device (CVE-2025-31133).
 */

import { TareError } from "@tare/spec/error.ts";
import { ENOENT, ENOTDIR } from "../sys/abi-errno.ts";
import { AT_EMPTY_PATH, AT_RECURSIVE, NO_FD } from "../sys/abi-file.ts";
import { MOUNT_ATTR_RDONLY, OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE } from "../sys/abi-mount.ts";
import { check, errnoOf } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { isNullDevice } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { attach } from "./attach.ts";
import { makeFilesystem } from "./filesystem.ts";
import { kindOf, lookup, lookupPlain } from "./in-root.ts";
import { parseMountOptions } from "./options.ts";

const CLONE = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;

/** Binds a place on itself, read-only with all below; a place that is not there needs nothing. */
export function protectPath(sys: Sys, root: Fd, path: string): void {
  using place = existing(sys, root, path);
  if (place === undefined) return;
  using tree = new OwnedFd(
    sys,
    check(sys.open_tree(place.fd, "", CLONE | AT_RECURSIVE), "open_tree", path),
  );
  const flags = AT_EMPTY_PATH | AT_RECURSIVE;
  check(
    sys.mount_setattr(tree.fd, "", flags, MOUNT_ATTR_RDONLY, 0, 0, NO_FD),
    "mount_setattr",
    path,
  );
  attach(sys, tree.fd, place.fd, path);
}

function existing(sys: Sys, root: Fd, path: string): OwnedFd | undefined {
  const ret = lookup(sys, root, path);
  const errno = errnoOf(ret);
  return errno === ENOENT || errno === ENOTDIR
    ? undefined
    : new OwnedFd(sys, check(ret, "openat2", path));
}

/** Covers files with the null device and directories with one empty, read-only tmpfs. */
export class Masks {
  readonly #sys: Sys;
  readonly #root: Fd;
  #empty: Fd | undefined;
  #null: Fd | undefined;

  constructor(sys: Sys, root: Fd) {
    this.#sys = sys;
    this.#root = root;
  }

  mask(path: string): void {
    using place = existing(this.#sys, this.#root, path);
    if (place === undefined) return;
    if (kindOf(this.#sys, place.fd) === "directory") this.#maskDirectory(place.fd, path);
    else this.#cover(this.#nullDevice(), place.fd, path);
  }

  #cover(source: Fd, place: Fd, path: string): void {
    using tree = new OwnedFd(
      this.#sys,
      check(this.#sys.open_tree(source, "", CLONE), "open_tree", path),
    );
    attach(this.#sys, tree.fd, place, path);
  }

  #maskDirectory(place: Fd, path: string): void {
    if (this.#empty !== undefined) return this.#cover(this.#empty, place, path);
    const words = ["ro", "nosuid", "nodev", "noexec", "nr_blocks=1", "nr_inodes=1"];
    const options = parseMountOptions(words);
    this.#empty = makeFilesystem(this.#sys, {
      fstype: "tmpfs",
      source: "tmpfs",
      options,
    }).release();
    attach(this.#sys, this.#empty, place, path);
  }

  #nullDevice(): Fd {
    this.#null ??= openNull(this.#sys, this.#root);
    return this.#null;
  }

  [Symbol.dispose](): void {
    for (const fd of [this.#empty, this.#null]) if (fd !== undefined) this.#sys.close(fd);
  }
}

/** The container's null device, proven by type and number: a link in its place would be bound instead. */
export function openNull(sys: Sys, root: Fd): Fd {
  const fd = check(lookupPlain(sys, root, "/dev/null"), "openat2", "/dev/null");
  if (isNullDevice(sys, fd)) return fd;
  sys.close(fd);
  throw new TareError(
    "bad_input",
    'Cannot use "/dev/null" of the root file system: it is not the null device',
    {
      hint: "Mount a tmpfs on /dev, so that the devices are ours",
    },
  );
}
