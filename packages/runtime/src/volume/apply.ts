/**
 * What a container's volumes need before its runtime starts, in the mount namespace that it will have:
 * volumes filled from the image, parts of volumes and whole images mounted where binds find them,
 * owners changed. The engine writes the list; names in it are an image's or a container's, and are
 * resolved inside of their root.
 */

import { assertNever, TareError } from "@tare/spec/error.ts";
import type { OwnerIds, StorageWork } from "@tare/spec/storage-work.ts";
import { openExisting } from "../mounts/in-root.ts";
import { mountLayers } from "../rootfs/overlay.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  AT_SYMLINK_NOFOLLOW,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  S_IFDIR,
  S_IFMT,
} from "../sys/abi-file.ts";
import { MOVE_MOUNT_F_EMPTY_PATH, OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE } from "../sys/abi-mount.ts";
import { check } from "../sys/check.ts";
import { entriesOf } from "../sys/directory.ts";
import { openAt, readText } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { openDirectory } from "./copy.ts";
import { populate } from "./populate.ts";

const FILE_BYTES_MAX = 4 * 1024 * 1024;
const DEPTH_MAX = 200;

/** Does the list in the file at `path`; `target` is where the container's root is mounted. */
export function applyStorage(sys: Sys, path: string, target: string, userns: Fd | undefined): void {
  const text = readText(sys, path, FILE_BYTES_MAX);
  if (text === undefined) throw new TareError("internal", `tare-helper finds no "${path}"`);
  using root = openRoot(sys, target);
  for (const work of JSON.parse(text) as readonly StorageWork[]) apply(sys, work, root.fd, userns);
}

function apply(sys: Sys, work: StorageWork, root: Fd, userns: Fd | undefined): void {
  switch (work.op) {
    case "populate":
      return fill(sys, work.volume, root, work.target);
    case "subpath":
      return showPart(sys, work.root, work.path, work.place);
    case "layers":
      check(sys.mkdirat(AT_FDCWD, work.place, 0o700), "mkdirat", work.place);
      return mountLayers(sys, work.lower, work.place, userns);
    case "chown":
      return giveAll(sys, work.path, work.uid, work.gid);
    default:
      return assertNever(work);
  }
}

function openRoot(sys: Sys, path: string): OwnedFd {
  const ret = openAt(sys, AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
  return new OwnedFd(sys, check(ret, "openat2", path));
}

/** An image that has no directory there has nothing to give. */
function fill(sys: Sys, volume: string, root: Fd, target: string): void {
  using source = openExisting(sys, root, target);
  if (source === undefined || !isDirectory(sys, source.fd)) return;
  populate(sys, volume, source.fd, target);
}

function isDirectory(sys: Sys, fd: Fd): boolean {
  return (statAt(sys, fd, "", AT_EMPTY_PATH).mode & S_IFMT) === S_IFDIR;
}

/**
 * The path is resolved inside of the volume, to a descriptor, and that is what is shown: a link that a
 * container puts there leads nowhere else, now or later (CVE-2017-1002101, CVE-2021-25741).
 */
function showPart(sys: Sys, root: string, path: string, place: string): void {
  using top = openRoot(sys, root);
  using part = openExisting(sys, top.fd, path);
  if (part === undefined) {
    throw new TareError("not_found", `Cannot mount subpath "${path}": it is not in the volume`);
  }
  if (isDirectory(sys, part.fd)) {
    check(sys.mkdirat(AT_FDCWD, place, 0o700), "mkdirat", place);
  } else {
    const flags = O_WRONLY | O_CREAT | O_EXCL;
    sys.close(check(openAt(sys, AT_FDCWD, place, flags, 0, 0o600), "openat2", place));
  }
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE;
  using tree = new OwnedFd(sys, check(sys.open_tree(part.fd, "", flags), "open_tree", path));
  const ret = sys.move_mount(tree.fd, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH);
  check(ret, "move_mount", place);
}

/** `:U`: whatever is there belongs to the container's user from now on. */
function giveAll(sys: Sys, path: string, uid: number, gid: number): void {
  const ret = openAt(sys, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
  using top = new OwnedFd(sys, check(ret, "openat2", path));
  giveContent(sys, top.fd, { uid, gid }, path, 0);
  check(sys.fchownat(top.fd, "", uid, gid, AT_EMPTY_PATH), "fchownat", path);
}

function giveContent(sys: Sys, directory: Fd, ids: OwnerIds, path: string, depth: number): void {
  if (depth > DEPTH_MAX) {
    const message = `Cannot change owners in "${path}": it is deeper than ${DEPTH_MAX} directories`;
    throw new TareError("bad_input", message);
  }
  for (const name of entriesOf(sys, directory)) {
    const stat = statAt(sys, directory, name, AT_SYMLINK_NOFOLLOW);
    if ((stat.mode & S_IFMT) === S_IFDIR) {
      using inner = openDirectory(sys, directory, name);
      giveContent(sys, inner.fd, ids, path, depth + 1);
    }
    if (stat.uid === ids.uid && stat.gid === ids.gid) continue;
    const ret = sys.fchownat(directory, name, ids.uid, ids.gid, AT_SYMLINK_NOFOLLOW);
    check(ret, "fchownat", name);
  }
}
