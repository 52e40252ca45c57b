/**
 * The container's terminal: a new pair from the container's own devpts, proven to be one, its end
 * bound on /dev/console by descriptor (CVE-2025-52565, CVE-2026-88264).
 */

import { TareError } from "@tare/spec/error.ts";
import type { Channel } from "../container/channel.ts";
import { attach } from "../mounts/attach.ts";
import { lookup, lookupPlain } from "../mounts/in-root.ts";
import { ENOENT } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  DEVPTS_SUPER_MAGIC,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOCTTY,
  O_NOFOLLOW,
  O_RDWR,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
} from "../sys/abi-file.ts";
import { OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE } from "../sys/abi-mount.ts";
import { TIOCGPTPEER, TIOCSCTTY, TIOCSPTLCK, TIOCSWINSZ } from "../sys/abi-socket.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";

export type Size = { readonly width: number; readonly height: number };

const PTMX_INODE = 2n;
/** chown(2): -1 leaves the group as it is. */
const KEEP_GID = 0xffffffff;

/** Opens a new pair; the answer is the side that the runtime or its caller keeps. */
export function openConsole(sys: Sys, root: Fd, size: Size): { ours: OwnedFd; theirs: OwnedFd } {
  const ours = new OwnedFd(sys, openMultiplexer(sys, root));
  check(sys.ioctl_bytes(ours.fd, TIOCSPTLCK, new Uint8Array(4)), "ioctl TIOCSPTLCK");
  const flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
  const peer = check(sys.ioctl(ours.fd, TIOCGPTPEER, flags), "ioctl TIOCGPTPEER") as Fd;
  if (size.width > 0 && size.height > 0) setSize(sys, ours.fd, size);
  return { ours, theirs: new OwnedFd(sys, peer) };
}

function openMultiplexer(sys: Sys, root: Fd): Fd {
  const path = "dev/pts/ptmx";
  const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
  const flags = O_RDWR | O_NOCTTY | O_NOFOLLOW;
  const fd = check(openAt(sys, root, path, flags, resolve), "openat2", "/dev/pts/ptmx");
  const { ino, rdevMajor, rdevMinor } = statAt(sys, fd, "", AT_EMPTY_PATH);
  const magic = check(sys.fstatfs_type(fd), "fstatfs");
  if (magic === DEVPTS_SUPER_MAGIC && ino === PTMX_INODE && rdevMajor === 5 && rdevMinor === 2) {
    return fd;
  }
  sys.close(fd);
  throw new TareError(
    "bad_input",
    'Cannot make a terminal: "/dev/pts/ptmx" is not that of a devpts',
    {
      hint: "Mount devpts with newinstance on /dev/pts",
    },
  );
}

/** Gives the program its side, and sends the other to whom the terminal is for. */
export function handOver(
  sys: Sys,
  channel: Channel,
  { ours, theirs }: { readonly ours: OwnedFd; readonly theirs: OwnedFd },
  uid: number,
): void {
  check(sys.fchownat(theirs.fd, "", uid, KEEP_GID, AT_EMPTY_PATH), "fchownat", "the terminal");
  channel.send({ kind: "console" }, [ours.fd]);
  channel.expect("received");
  ours.close();
}

/** Binds the terminal on /dev/console. */
export function bindConsole(sys: Sys, root: Fd, terminal: Fd): void {
  using place = new OwnedFd(sys, openConsolePlace(sys, root));
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
  using tree = new OwnedFd(
    sys,
    check(sys.open_tree(terminal, "", flags), "open_tree", "/dev/console"),
  );
  attach(sys, tree.fd, place.fd, "/dev/console");
}

function openConsolePlace(sys: Sys, root: Fd): Fd {
  const ret = lookupPlain(sys, root, "/dev/console");
  if (errnoOf(ret) !== ENOENT) return check(ret, "openat2", "/dev/console");
  using dev = new OwnedFd(sys, check(lookup(sys, root, "/dev", O_DIRECTORY), "openat2", "/dev"));
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  sys.close(check(openAt(sys, dev.fd, "console", flags, 0, 0o600), "openat2", "/dev/console"));
  return check(lookupPlain(sys, root, "/dev/console"), "openat2", "/dev/console");
}

/** Makes the terminal the standard streams and the controlling terminal of this session. */
export function adoptTerminal(sys: Sys, terminal: Fd): void {
  takeStreams(sys, terminal);
  check(sys.ioctl(0 as Fd, TIOCSCTTY, 0), "ioctl TIOCSCTTY");
}

/** Makes the terminal the standard streams. */
export function takeStreams(sys: Sys, terminal: Fd): void {
  for (const stream of [0, 1, 2] as Fd[]) check(sys.dup3(terminal, stream, 0), "dup3");
}

/** `struct winsize`: rows, columns, and two sizes in pixels that nobody uses. */
export function setSize(sys: Sys, terminal: Fd, { width, height }: Size): void {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, height, true);
  view.setUint16(2, width, true);
  check(sys.ioctl_bytes(terminal, TIOCSWINSZ, bytes), "ioctl TIOCSWINSZ");
}
