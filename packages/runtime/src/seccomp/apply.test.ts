import { describe, expect, test } from "bun:test";
import type { Seccomp } from "@tare/spec/oci-runtime.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { loadFilter } from "./apply.ts";
import { compileSeccomp } from "./compile.ts";
import { KEPT_FILTER, readKeptFilter } from "./kept.ts";

const ROOT = "/run/x";
const DIRECTORY = `${ROOT}/.seccomp`;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFIFO = 0o010000;
const EPERM = 1;
const ENOENT = 2;
const EEXIST = 17;
const ENOSPC = 28;
const O_CREAT = 0o100;

type File = { mode: number; uid: number; bytes: number[] };

/** As much of a kernel as the cache needs: files by path, descriptors that count up. */
class FakeKernel {
  readonly files = new Map<string, File>();
  readonly open = new Map<number, { path: string; at: number }>();
  writes = 0;
  writeErrno = 0;
  linkErrno = 0;
  renameErrno = 0;
  #next = 3;

  get names(): string[] {
    const inside = [...this.files.keys()].filter((path) => path.startsWith(`${DIRECTORY}/`));
    return inside.map((path) => path.slice(DIRECTORY.length + 1));
  }

  sys(): Sys {
    const calls = {
      uname: (into: Uint8Array) => {
        into.set(
          [..."x86_64"].map((character) => character.charCodeAt(0)),
          260,
        );
        return 0;
      },
      geteuid: () => 1000,
      getpid: () => 42,
      sha256: fakeDigest,
      load_part: () => ({ compileSeccomp }),
      encode_utf8: (text: string) => Uint8Array.from(text, (one) => one.charCodeAt(0)),
      mkdirat: (_dirfd: number, path: string) => this.#mkdir(path),
      openat2: (dirfd: number, path: string, flags: number, mode: number) =>
        this.#open(this.#resolve(dirfd, path), flags, mode),
      close: (fd: number) => (this.open.delete(fd) ? 0 : -9),
      statx: (fd: number, _path: string, _flags: number, _mask: number, into: Uint8Array) =>
        this.#stat(fd, into),
      read: (fd: number, into: Uint8Array) => this.#read(fd, into),
      write: (fd: number, from: Uint8Array) => this.#write(fd, from),
      getdents64: (fd: number, into: Uint8Array) => this.#list(fd, into),
      linkat: (from: number, old: string, to: number, name: string) =>
        this.#link(this.#resolve(from, old), this.#resolve(to, name)),
      unlinkat: (dirfd: number, name: string | Uint8Array) =>
        this.files.delete(this.#resolve(dirfd, toText(name))) ? 0 : -ENOENT,
      renameat2: (_from: number, old: string, to: number, name: string) => {
        if (this.renameErrno !== 0) return -this.renameErrno;
        const file = this.files.get(this.#resolve(to, old));
        if (file === undefined) return -ENOENT;
        this.files.delete(this.#resolve(to, old));
        this.files.set(this.#resolve(to, name), file);
        return 0;
      },
    };
    return calls as unknown as Sys;
  }

  openDirectory(path: string): Fd {
    this.open.set(this.#next, { path, at: 0 });
    return this.#next++ as Fd;
  }

  #link(from: string, to: string): number {
    const file = this.files.get(from);
    if (file === undefined || this.linkErrno !== 0) return -(this.linkErrno || ENOENT);
    this.files.set(to, file);
    return 0;
  }

  #resolve(dirfd: number, path: string): string {
    return path.startsWith("/") ? path : `${this.open.get(dirfd)?.path}/${path}`;
  }

  #mkdir(path: string): number {
    if (this.files.has(path)) return -EEXIST;
    this.files.set(path, { mode: S_IFDIR | 0o700, uid: 1000, bytes: [] });
    return 0;
  }

  #open(path: string, flags: number, mode: number): number {
    if (!this.files.has(path)) {
      if ((flags & O_CREAT) === 0) return -ENOENT;
      this.files.set(path, { mode: S_IFREG | mode, uid: 1000, bytes: [] });
    }
    this.open.set(this.#next, { path, at: 0 });
    return this.#next++;
  }

  #file(fd: number): File | undefined {
    return this.files.get(this.open.get(fd)?.path ?? "");
  }

  #stat(fd: number, into: Uint8Array): number {
    const file = this.#file(fd);
    if (file === undefined) return -ENOENT;
    const view = new DataView(into.buffer);
    view.setUint16(28, file.mode, true);
    view.setUint32(20, file.uid, true);
    view.setBigUint64(40, BigInt(file.bytes.length), true);
    return 0;
  }

  #read(fd: number, into: Uint8Array): number {
    const place = this.open.get(fd);
    if (place === undefined) return -9;
    const part = (this.#file(fd)?.bytes ?? []).slice(place.at, place.at + into.length);
    into.set(part);
    place.at += part.length;
    return part.length;
  }

  #write(fd: number, from: Uint8Array): number {
    if (this.writeErrno !== 0) return -this.writeErrno;
    this.writes++;
    // Half at a time, as the kernel may.
    const part = [...from.subarray(0, Math.ceil(from.length / 2))];
    this.#file(fd)?.bytes.push(...part);
    return part.length;
  }

  #list(fd: number, into: Uint8Array): number {
    const place = this.open.get(fd);
    if (place === undefined || place.at > 0) return 0;
    place.at = 1;
    let at = 0;
    for (const name of this.names) {
      const record = 19 + name.length + 1;
      into.fill(0, at, at + record);
      new DataView(into.buffer).setUint16(at + 16, record, true);
      into.set(
        [...name].map((character) => character.charCodeAt(0)),
        at + 19,
      );
      at += record;
    }
    return at;
  }
}

function toText(name: string | Uint8Array): string {
  return typeof name === "string" ? name : String.fromCharCode(...name);
}

function fakeDigest(bytes: Uint8Array): Uint8Array {
  const digest = new Uint8Array(32);
  let state = 1;
  for (const [index, byte] of bytes.entries()) {
    state = (Math.imul(state, 33) + byte + 1) >>> 0;
    digest[index % 31] = (digest[index % 31] ?? 0) ^ (state >>> 8);
    digest[31] = (digest[31] ?? 0) ^ (state & 0xff);
  }
  return digest;
}

function profile(name: string): Seccomp {
  const syscalls = [{ names: [name], action: "SCMP_ACT_ERRNO" as const, args: [] }];
  return { defaultAction: "SCMP_ACT_ALLOW", architectures: [], flags: [], syscalls };
}

const CONTAINER = `${ROOT}/one`;

/** As a container of its own would: each has a directory to keep its filter in. */
function load(kernel: FakeKernel, name: string): Uint8Array {
  return loadIn(kernel, profile(name));
}

function loadIn(kernel: FakeKernel, wanted: Seccomp): Uint8Array {
  kernel.files.delete(`${CONTAINER}/${KEPT_FILTER}`);
  const keepIn = kernel.openDirectory(CONTAINER);
  try {
    return loadFilter(kernel.sys(), ROOT, wanted, keepIn);
  } finally {
    kernel.open.delete(keepIn);
  }
}

describe("the cache of filters", () => {
  test("the second time the program comes from the file", () => {
    const kernel = new FakeKernel();
    const first = load(kernel, "mount");
    expect(kernel.names).toHaveLength(1);
    const writes = kernel.writes;
    expect(load(kernel, "mount")).toEqual(first);
    expect(kernel.writes).toBe(writes);
    expect(kernel.open.size).toBe(0);
  });

  test("each profile has its own entry", () => {
    const kernel = new FakeKernel();
    const mount = load(kernel, "mount");
    expect(load(kernel, "swapon")).not.toEqual(mount);
    expect(kernel.names).toHaveLength(2);
  });

  const odd: [string, (file: File) => void][] = [
    ["damaged", (file) => file.bytes.splice(60, 1, 0xff)],
    ["cut off", (file) => file.bytes.splice(70)],
    ["empty", (file) => file.bytes.splice(0)],
    ["endless", (file) => file.bytes.push(...new Array<number>(40_000).fill(0))],
    ["another user's", (file) => Object.assign(file, { uid: 7 })],
    ["writable by the group", (file) => Object.assign(file, { mode: S_IFREG | 0o620 })],
    ["writable by all", (file) => Object.assign(file, { mode: S_IFREG | 0o602 })],
    ["a fifo", (file) => Object.assign(file, { mode: S_IFIFO | 0o600 })],
  ];
  test.each(odd)("an entry that is %s is passed over and replaced", (_what, spoil) => {
    const kernel = new FakeKernel();
    const first = load(kernel, "mount");
    const file = kernel.files.get(`${DIRECTORY}/${kernel.names[0]}`);
    if (file !== undefined) spoil(file);
    const writes = kernel.writes;
    expect(load(kernel, "mount")).toEqual(first);
    expect(kernel.writes).toBeGreaterThan(writes);
    expect(kernel.open.size).toBe(0);
  });

  const directories: [string, Partial<File>][] = [
    ["another user's", { uid: 7 }],
    ["writable by all", { mode: S_IFDIR | 0o777 }],
    ["a file", { mode: S_IFREG | 0o600 }],
  ];
  test.each(directories)("a directory that is %s is not used", (_what, change) => {
    const kernel = new FakeKernel();
    kernel.files.set(DIRECTORY, { mode: S_IFDIR | 0o700, uid: 1000, bytes: [], ...change });
    expect(load(kernel, "mount").length).toBeGreaterThan(0);
    expect(kernel.names).toHaveLength(0);
    expect(kernel.open.size).toBe(0);
  });

  test("the container keeps the program, as a second name of the entry or as a file of its own", () => {
    for (const errno of [0, EPERM]) {
      const kernel = new FakeKernel();
      kernel.linkErrno = errno;
      const program = load(kernel, "mount");
      const directory = kernel.openDirectory(CONTAINER);
      expect(readKeptFilter(kernel.sys(), directory)).toEqual(program);
    }
  });

  test("an entry that could not be written is not kept", () => {
    const kernel = new FakeKernel();
    kernel.renameErrno = ENOSPC;
    const program = load(kernel, "mount");
    expect(kernel.names).toHaveLength(0);
    const directory = kernel.openDirectory(CONTAINER);
    expect(readKeptFilter(kernel.sys(), directory)).toEqual(program);
  });

  test("a full disk costs the entry, and fails the start since the container cannot keep its own", () => {
    const kernel = new FakeKernel();
    kernel.writeErrno = ENOSPC;
    expect(() => load(kernel, "mount")).toThrow("ENOSPC");
    expect(kernel.names).toHaveLength(0);
    expect(kernel.open.size).toBe(0);
  });

  test("a full cache is emptied", () => {
    const kernel = new FakeKernel();
    for (let count = 0; count <= 64; count++) loadIn(kernel, withErrno(count));
    expect(kernel.names).toHaveLength(1);
  });
});

function withErrno(errnoRet: number): Seccomp {
  const syscalls = [{ names: ["mount"], action: "SCMP_ACT_ERRNO" as const, args: [], errnoRet }];
  return { defaultAction: "SCMP_ACT_ALLOW", architectures: [], flags: [], syscalls };
}
