/**
 * `--no-pivot`, for a host whose root is the initial RAM disk, which pivot_root(2) refuses: the root is
 * moved over "/" and entered with chroot(2). Who may chroot(2) can leave it again, to what is left of
 * the host's tree: so everything that is mounted there is let go, or, where it is locked, its views of
 * the kernel are covered. A full procfs left behind would also let a container mount one without masks.
 * Source: Documentation/filesystems/ramfs-rootfs-initramfs.rst.
 */

import { TareError } from "@tare/spec/error.ts";
import { EINVAL, ENOENT, EPERM } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  NO_FD,
  O_DIRECTORY,
  O_PATH,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
} from "../sys/abi-file.ts";
import {
  MNT_DETACH,
  MOVE_MOUNT_F_EMPTY_PATH,
  MS_SLAVE,
  UMOUNT_NOFOLLOW,
} from "../sys/abi-mount.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt, readTextAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { attach } from "./attach.ts";
import { makeFilesystem } from "./filesystem.ts";
import { parseMountOptions } from "./options.ts";

const TABLE_BYTES_MAX = 8 * 1024 * 1024;
const STATX_MNT_ID = 0x1000;
const STATX_BYTES = 256;
const MNT_ID_AT = 144;

type Entry = {
  readonly id: number;
  readonly parent: number;
  /** Below the root of the mount namespace, without the first slash. */
  readonly path: string;
  /** A view of the kernel, as a whole. */
  readonly revealing: boolean;
};

/** Makes the tree the root of this process; `procfs` is our own, which shows the table of mounts. */
export function moveRoot(sys: Sys, root: Fd, procfs: Fd): void {
  const table = readTable(sys, procfs);
  const own = mountId(sys, root);
  using old = new OwnedFd(
    sys,
    check(openAt(sys, AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0), "openat2", "/"),
  );
  const top = mountId(sys, old.fd);
  check(sys.move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH), "move_mount", "/");
  check(sys.fchdir(old.fd), "fchdir", "the old root");
  for (const entry of table) {
    if (entry.parent !== top || entry.id === own) continue;
    // One may lie over another in the same place: a path names the uppermost only.
    for (let layers = table.length; layers > 0 && letGo(sys, old.fd, top, entry, table); layers--);
  }
  check(sys.fchdir(root), "fchdir", "the new root");
  check(sys.chroot("."), "chroot");
  check(sys.chdir("/"), "chdir", "/");
}

function readTable(sys: Sys, procfs: Fd): readonly Entry[] {
  const text = readTextAt(sys, procfs, "self/mountinfo", TABLE_BYTES_MAX);
  if (text === undefined) throw new TareError("system", "Cannot read the table of mounts");
  return text.split("\n").flatMap(parseEntry);
}

/** One line: proc_pid_mountinfo(5). */
export function parseEntry(line: string): Entry[] {
  const [before = "", after = ""] = line.split(" - ");
  const [id, parent, , root, path] = before.split(" ");
  if (id === undefined || parent === undefined || path === undefined) return [];
  const [type = ""] = after.split(" ");
  const revealing = (type === "proc" || type === "sysfs") && root === "/";
  return [{ id: Number(id), parent: Number(parent), path: plain(path).slice(1), revealing }];
}

/** Blank, tab, newline and backslash stand as a backslash and three octal digits. */
function plain(path: string): string {
  const [first = "", ...rest] = path.split("\\");
  const shown = rest.map(
    (part) => String.fromCharCode(Number.parseInt(part.slice(0, 3), 8)) + part.slice(3),
  );
  return first + shown.join("");
}

function mountId(sys: Sys, fd: Fd): number {
  const bytes = new Uint8Array(STATX_BYTES);
  check(sys.statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, bytes), "statx");
  return Number(new DataView(bytes.buffer).getBigUint64(MNT_ID_AT, true));
}

/**
 * Detaches the uppermost mount of a place of the old root, with all below it; the host must not hear
 * of it. False where none is left there.
 */
function letGo(sys: Sys, old: Fd, top: number, entry: Entry, table: readonly Entry[]): boolean {
  using place = openOld(sys, old, entry);
  if (place === undefined || mountId(sys, place.fd) === top) return false;
  const all = AT_EMPTY_PATH | AT_RECURSIVE;
  check(sys.mount_setattr(place.fd, "", all, 0, 0, MS_SLAVE, NO_FD), "mount_setattr", entry.path);
  const ret = sys.umount2(entry.path, MNT_DETACH | UMOUNT_NOFOLLOW);
  if (errnoOf(ret) !== EINVAL && errnoOf(ret) !== EPERM) {
    check(ret, "umount2", entry.path);
    return true;
  }
  // Locked, since a user namespace copied it.
  for (const view of table) {
    if (view.revealing && isBelow(view, entry, table)) cover(sys, old, view);
  }
  return false;
}

function isBelow(entry: Entry, above: Entry, table: readonly Entry[]): boolean {
  const byId = new Map(table.map((each) => [each.id, each]));
  for (let at: Entry | undefined = entry, left = table.length; at && left > 0; left--) {
    if (at.id === above.id) return true;
    at = byId.get(at.parent);
  }
  return false;
}

function cover(sys: Sys, old: Fd, view: Entry): void {
  using place = openOld(sys, old, view);
  if (place === undefined) return;
  const options = parseMountOptions(["ro", "nosuid", "nodev", "noexec", "size=0"]);
  using empty = makeFilesystem(sys, { fstype: "tmpfs", source: "tmpfs", options });
  attach(sys, empty.fd, place.fd, view.path);
}

/** By a path of the old root, which lies below the new one now; undefined where it is gone already. */
function openOld(sys: Sys, old: Fd, { path }: Entry): OwnedFd | undefined {
  const ret = openAt(sys, old, path, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  return errnoOf(ret) === ENOENT ? undefined : new OwnedFd(sys, check(ret, "openat2", path));
}
