/**
 * Gets the filter of a profile from the cache, or compiles it and puts it there. The cache only
 * saves time: what is odd about it is passed over, never an error.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Seccomp } from "@tare/spec/oci-runtime.ts";
import { EEXIST } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_NO_SYMLINKS,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
} from "../sys/abi-file.ts";
import { check, errnoOf, SysError } from "../sys/check.ts";
import { entriesOf } from "../sys/directory.ts";
import { openAt, readAll, writeAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { unameField } from "../sys/uname.ts";
import { nativeArchitecture } from "./architectures.ts";
import {
  type CacheKey,
  cacheKey,
  decodeEntry,
  ENTRY_BYTES_MAX,
  encodeEntry,
  entryName,
  profileText,
} from "./cache.ts";
import { KEPT_FILTER } from "./kept.ts";

/** Beside the containers in the runtime's root; `list` passes over names that begin with a dot. */
const CACHE_DIRECTORY = ".seccomp";
/** Profiles are few; a full cache is emptied. */
const ENTRIES_MAX = 64;
const WRITABLE_BY_OTHERS = 0o022;

/**
 * The program of a profile for the running kernel. `root` is the runtime's directory, which
 * exists; `keepIn` is the container's, where it is kept for later processes.
 * `bad_input` for a profile that cannot be compiled.
 */
export function loadFilter(sys: Sys, root: string, profile: Seccomp, keepIn: Fd): Uint8Array {
  const native = nativeArchitecture(unameField(sys, "machine"), isLittleEndian());
  const key = cacheKey(sys.encode_utf8(profileText(profile)), native, sys.sha256);
  using directory = openCache(sys, root);
  const cached = directory === undefined ? undefined : readEntry(sys, directory.fd, key);
  const program = cached ?? compile(sys, profile, native);
  const entered =
    directory !== undefined &&
    (cached !== undefined || writeEntry(sys, directory.fd, key, program));
  // A second name of the entry costs one call.
  const isKept =
    entered && errnoOf(sys.linkat(directory.fd, entryName(key), keepIn, KEPT_FILTER, 0)) === 0;
  if (!isKept) keep(sys, key, program, keepIn);
  return program;
}

/** Where there is no entry to name, a file of its own. */
function keep(sys: Sys, key: CacheKey, program: Uint8Array, keepIn: Fd): void {
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  const opened = openAt(sys, keepIn, KEPT_FILTER, flags, 0, 0o600);
  using file = new OwnedFd(sys, check(opened, "openat2", KEPT_FILTER));
  writeAll(sys, file.fd, encodeEntry(key, program, sys.sha256), KEPT_FILTER);
}

function compile(sys: Sys, profile: Seccomp, native: string): Uint8Array {
  const { compileSeccomp } = loadPart(sys, "tare-runtime~seccomp-compile");
  return compileSeccomp(profile, { native });
}

function isLittleEndian(): boolean {
  return new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
}

/** Undefined where the directory cannot be had, or where someone else may write it. */
function openCache(sys: Sys, root: string): OwnedFd | undefined {
  const path = `${root}/${CACHE_DIRECTORY}`;
  const made = errnoOf(sys.mkdirat(AT_FDCWD, path, 0o700));
  if (made !== 0 && made !== EEXIST) return undefined;
  const opened = openAt(sys, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
  if (errnoOf(opened) !== 0) return undefined;
  const directory = new OwnedFd(sys, check(opened, "openat2", path));
  if (isOurs(sys, directory.fd, S_IFDIR)) return directory;
  directory.close();
  return undefined;
}

function isOurs(sys: Sys, fd: Fd, type: number): boolean {
  const { mode, uid } = statAt(sys, fd, "", AT_EMPTY_PATH);
  return (mode & S_IFMT) === type && uid === sys.geteuid() && (mode & WRITABLE_BY_OTHERS) === 0;
}

function readEntry(sys: Sys, directory: Fd, key: CacheKey): Uint8Array | undefined {
  // O_NONBLOCK: a fifo in the place of an entry must not hold us up.
  const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
  const opened = openAt(sys, directory, entryName(key), flags, RESOLVE_NO_SYMLINKS);
  if (errnoOf(opened) !== 0) return undefined;
  using file = new OwnedFd(sys, check(opened, "openat2", entryName(key)));
  if (!isOurs(sys, file.fd, S_IFREG)) return undefined;
  try {
    const entry = readAll(sys, file.fd, "seccomp cache", ENTRY_BYTES_MAX);
    return decodeEntry(key, entry, sys.sha256);
  } catch (error) {
    if (error instanceof TareError && error.code !== "internal") return undefined;
    throw error; // Only a failed or too long read makes the entry unusable.
  }
}

/** Written aside and renamed, so that a reader finds a whole entry or none; answers whether it is there. */
function writeEntry(sys: Sys, directory: Fd, key: CacheKey, program: Uint8Array): boolean {
  const aside = `${entryName(key)}.${sys.getpid()}`;
  try {
    emptyWhenFull(sys, directory);
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    const opened = openAt(sys, directory, aside, flags, RESOLVE_NO_SYMLINKS, 0o600);
    using file = new OwnedFd(sys, check(opened, "openat2", aside));
    writeAll(sys, file.fd, encodeEntry(key, program, sys.sha256), aside);
    check(sys.renameat2(directory, aside, directory, entryName(key), 0), "renameat2", aside);
    return true;
  } catch (error) {
    // A full disk or a read-only one costs the next start some time, no more.
    if (!(error instanceof SysError)) throw error;
    sys.unlinkat(directory, aside, 0);
    return false;
  }
}

function emptyWhenFull(sys: Sys, directory: Fd): void {
  const names = entriesOf(sys, directory);
  if (names.length < ENTRIES_MAX) return;
  for (const name of names) sys.unlinkat(directory, name, 0);
}
