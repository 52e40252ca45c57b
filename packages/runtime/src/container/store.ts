/**
 * The state of containers on disk: a directory each, below the runtime's root, readable by its owner
 * only. Its record is written before the first resource is made, so that whatever a crash leaves is
 * found by its name. A process is known by its pid and its start time: pids are used again.
 *
 * The record is a file that only grows: each line is a JSON object whose fields replace those of the
 * lines before. A line is one write(2), so it is there whole or not at all; replacing a file by
 * rename would make some file systems (ext4, "auto_da_alloc") wait for the disk at each start.
 */

import { assert, TareError } from "@tare/spec/error.ts";
import type { State, Status } from "@tare/spec/oci-runtime.ts";
import { EEXIST, EISDIR, ENOENT, ESRCH } from "../sys/abi-errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
} from "../sys/abi-file.ts";
import { check, errnoOf, SysError } from "../sys/check.ts";
import { entriesOf } from "../sys/directory.ts";
import { openAt, readText, readTextAt, retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Ret, Sys } from "../sys/types.ts";
import { damaged, parseRecord, type Record } from "./record.ts";
import { START_SOCKET } from "./start-socket.ts";

export const STATE_FILE = "state.jsonl";
const O_APPEND = 0o2000;
/** More than a configuration may have, whose annotations and hooks are in it. */
export const STATE_BYTES_MAX = 8 * 1024 * 1024;
const STAT_BYTES_MAX = 4096;
const WRITABLE_BY_OTHERS = 0o022;

/** An open directory of one container. */
export class ContainerDirectory {
  readonly #sys: Sys;
  readonly #directory: OwnedFd;
  readonly id: string;
  readonly #root: string;
  #lines: OwnedFd | undefined;

  constructor(sys: Sys, directory: OwnedFd, root: string, id: string) {
    this.#sys = sys;
    this.#directory = directory;
    this.#root = root;
    this.id = id;
  }

  get fd(): Fd {
    return this.#directory.fd;
  }

  /** Writes the first line, once. A record that cannot be begun takes its directory with it. */
  begin(record: Record): void {
    try {
      this.#begin(record);
    } catch (error) {
      this.#sys.unlinkat(this.fd, STATE_FILE, 0);
      this.#sys.unlinkat(AT_FDCWD, `${this.#root}/${this.id}`, AT_REMOVEDIR);
      throw error;
    }
  }

  #begin(record: Record): void {
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND;
    const opened = openAt(this.#sys, this.fd, STATE_FILE, flags, 0, 0o600);
    this.#lines = new OwnedFd(this.#sys, check(opened, "openat2", STATE_FILE));
    this.note(record);
  }

  /** Adds what became known. */
  note(change: Partial<Record>): void {
    assert(this.#lines !== undefined, "a record is continued by who began it");
    const line = this.#sys.encode_utf8(`${JSON.stringify(change)}\n`);
    const { fd } = this.#lines;
    const written = check(
      retried(() => this.#sys.write(fd, line)),
      "write",
      STATE_FILE,
    );
    if (written === line.length) return;
    throw new TareError("system", `Cannot record container "${this.id}": the file system is full`);
  }

  /** Adds what became known later; who made the container is gone. */
  noteLater(change: Partial<Record>): void {
    const opened = openAt(this.#sys, this.fd, STATE_FILE, O_WRONLY | O_NOFOLLOW | O_APPEND, 0);
    this.#lines ??= new OwnedFd(this.#sys, check(opened, "openat2", STATE_FILE));
    this.note(change);
  }

  /** The record; undefined where a crash came before it was written. */
  read(): Record | undefined {
    const text = this.#readText();
    // What comes after the last newline is just being written.
    const whole = text?.slice(0, text.lastIndexOf("\n") + 1) ?? "";
    return whole === "" && (text ?? "") === "" ? undefined : parseRecord(whole, this.id);
  }

  #readText(): string | undefined {
    try {
      return readTextAt(this.#sys, this.fd, STATE_FILE, STATE_BYTES_MAX);
    } catch (error) {
      if (!(error instanceof TareError) || error.code !== "bad_input") throw error;
      throw damaged(this.id, "it is too long, or not UTF-8", error);
    }
  }

  /** Whether the first process still waits for the word to start. */
  isWaiting(): boolean {
    const ret = this.#sys.faccessat2(this.fd, START_SOCKET, 0, 0);
    if (errnoOf(ret) === ENOENT) return false;
    check(ret, "faccessat2", START_SOCKET);
    return true;
  }

  /** Removes the directory and all in it; the record last, so that a crash here is found again. */
  remove(): void {
    for (const name of this.#names().filter((each) => each !== STATE_FILE)) {
      const ret = this.#sys.unlinkat(this.fd, name, 0);
      if (errnoOf(ret) === EISDIR) this.#removeInner(name);
      else unlessGone(ret, name);
    }
    unlessGone(this.#sys.unlinkat(this.fd, STATE_FILE, 0), STATE_FILE);
    const path = `${this.#root}/${this.id}`;
    const ret = this.#sys.unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
    if (errnoOf(ret) !== ENOENT) check(ret, "rmdir", path);
  }

  /** None where somebody else has removed it meanwhile, as `delete --force` beside `run`. */
  #names(): string[] {
    try {
      return entriesOf(this.#sys, this.fd).map((name) => this.#sys.decode_utf8(name) ?? "");
    } catch (error) {
      if (error instanceof SysError && error.errno === ENOENT) return [];
      throw error;
    }
  }

  /** A directory of files. */
  #removeInner(name: string): void {
    const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    const opened = openAt(this.#sys, this.fd, name, flags, 0);
    using inner = new OwnedFd(this.#sys, check(opened, "openat2", name));
    for (const each of entriesOf(this.#sys, inner.fd)) {
      unlessGone(this.#sys.unlinkat(inner.fd, each, 0), each);
    }
    check(this.#sys.unlinkat(this.fd, name, AT_REMOVEDIR), "rmdir", name);
  }

  [Symbol.dispose](): void {
    this.#lines?.close();
    this.#directory.close();
  }
}

/** What somebody else has removed meanwhile is removed. */
function unlessGone(ret: Ret<unknown>, name: string | Uint8Array): void {
  if (errnoOf(ret) !== ENOENT) check(ret, "unlinkat", name);
}

/** Makes the directory of a new container; an id that is taken is an error. */
export function createDirectory(sys: Sys, root: string, id: string): ContainerDirectory {
  makePath(sys, root);
  const path = `${root}/${id}`;
  const ret = sys.mkdirat(AT_FDCWD, path, 0o700);
  if (errnoOf(ret) === EEXIST) {
    throw new TareError(
      "conflict",
      `Cannot create container "${id}": container with given ID already exists`,
      {
        hint: `Use another id, or remove it with delete ${id}`,
      },
    );
  }
  check(ret, "mkdir", path);
  try {
    return open(sys, root, id);
  } catch (error) {
    sys.unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
    throw error;
  }
}

/** Makes a directory and those above it, for their owner only; one that is there stays as it is. */
export function makePath(sys: Sys, path: string): void {
  let at = 0;
  while (at >= 0) {
    at = path.indexOf("/", at + 1);
    const prefix = at < 0 ? path : path.slice(0, at);
    const ret = sys.mkdirat(AT_FDCWD, prefix, 0o700);
    if (errnoOf(ret) !== EEXIST && errnoOf(ret) !== 0 && at < 0) check(ret, "mkdir", path);
  }
}

function open(sys: Sys, root: string, id: string): ContainerDirectory {
  const found = findDirectory(sys, root, id);
  if (found !== undefined) return found;
  throw new TareError("conflict", `Cannot create container "${id}": it was removed meanwhile`);
}

/** Opens the directory of a known container; undefined where there is none. */
export function findDirectory(sys: Sys, root: string, id: string): ContainerDirectory | undefined {
  const path = `${root}/${id}`;
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  const ret = openAt(sys, AT_FDCWD, path, flags, 0);
  if (errnoOf(ret) === ENOENT) return undefined;
  const directory = new OwnedFd(sys, check(ret, "openat2", path));
  checkOwner(sys, directory, path);
  return new ContainerDirectory(sys, directory, root, id);
}

/**
 * A record says what is killed and removed: whoever else could write it would decide that. The
 * descriptor is closed with the error.
 */
export function checkOwner(sys: Sys, directory: OwnedFd, path: string): void {
  const { uid, mode } = statAt(sys, directory.fd, "", AT_EMPTY_PATH);
  if (uid === sys.geteuid() && (mode & WRITABLE_BY_OTHERS) === 0) return;
  directory.close();
  throw new TareError("no_permission", `Cannot use "${path}": others may write it`, {
    hint: "It must belong to the caller, with mode 0700; set --root to a directory of your own",
  });
}

/** As findDirectory, and an unknown id is an error. */
export function openDirectory(sys: Sys, root: string, id: string): ContainerDirectory {
  const found = findDirectory(sys, root, id);
  if (found !== undefined) return found;
  throw new TareError("not_found", `Cannot find container "${id}": container does not exist`, {
    hint: `It is not below ${root}; see list, or set --root`,
  });
}

/** The ids of all containers, sorted; undefined where there is no such root. */
export function listIds(sys: Sys, root: string): string[] | undefined {
  const ret = openAt(sys, AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0);
  if (errnoOf(ret) === ENOENT) return undefined;
  using directory = new OwnedFd(sys, check(ret, "openat2", root));
  const names = entriesOf(sys, directory.fd).map((name) => sys.decode_utf8(name) ?? "");
  return names.filter((name) => name !== "" && !name.startsWith(".")).sort();
}

/** ESRCH is the answer for a process that ended between open and read. */
function readStat(sys: Sys, pid: number): string | undefined {
  try {
    return readText(sys, `/proc/${pid}/stat`, STAT_BYTES_MAX);
  } catch (error) {
    if (error instanceof SysError && error.errno === ESRCH) return undefined;
    throw error;
  }
}

/** Field 22 of /proc/PID/stat, and whether the process still lives; undefined where there is none. */
export function processStart(
  sys: Sys,
  pid: number,
): { startTime: string; alive: boolean } | undefined {
  const text = readStat(sys, pid);
  if (text === undefined) return undefined;
  // The name in field 2 may hold anything, ")" too: fields are counted from the last one.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const state = fields[0] ?? "X";
  return { startTime: fields[19] ?? "", alive: state !== "Z" && state !== "X" };
}

/** Whether the first process of a record is still that process. */
export function isAlive(sys: Sys, record: Record): boolean {
  if (record.pid === undefined) return false;
  const found = processStart(sys, record.pid);
  return found?.alive === true && found.startTime === record.startTime;
}

/** The lifecycle state of runtime.md, seen from outside. */
export function statusOf(sys: Sys, directory: ContainerDirectory, record: Record): Status {
  if (!isAlive(sys, record))
    return record.pid === undefined && !record.ready ? "creating" : "stopped";
  if (!record.ready) return "creating";
  return directory.isWaiting() ? "created" : "running";
}

/** What hooks and `state` are told. */
export function toState(record: Record, status: Status): State {
  const base = { ociVersion: record.ociVersion, id: record.id, status, bundle: record.bundle };
  const alive = record.pid !== undefined && status !== "stopped";
  const state = alive ? { ...base, pid: record.pid ?? 0 } : base;
  const annotated = Object.keys(record.annotations ?? {}).length > 0;
  return annotated ? { ...state, annotations: record.annotations } : state;
}
