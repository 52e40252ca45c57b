/**
 * A machine with some files and nothing else, for the whole runtime as a pure function: words and
 * files in, texts and an exit status out. No call does anything; what is not there is ENOENT.
 */

import * as about from "../../packages/runtime/src/command/about.ts";
import * as create from "../../packages/runtime/src/command/create.ts";
import * as exec from "../../packages/runtime/src/command/exec.ts";
import * as help from "../../packages/runtime/src/command/help.ts";
import * as lifecycle from "../../packages/runtime/src/command/lifecycle.ts";
import * as list from "../../packages/runtime/src/command/list.ts";
import * as pause from "../../packages/runtime/src/command/pause.ts";
import { runProgram } from "../../packages/runtime/src/command/program.ts";
import * as ps from "../../packages/runtime/src/command/ps.ts";
import * as sweep from "../../packages/runtime/src/command/sweep.ts";
import * as update from "../../packages/runtime/src/command/update.ts";
import * as salvage from "../../packages/runtime/src/container/salvage.ts";
import * as scheduling from "../../packages/runtime/src/process/scheduling.ts";
import { scriptedSys } from "../../packages/runtime/src/sys/scripted-sys.ts";
import { decodeUtf8, encodeUtf8 } from "../../packages/spec/src/bytes.ts";

// What the build puts in its place.
Object.assign(globalThis, { COMMIT: "unknown" });

const ENOENT = 2;
const ESRCH = 3;
const DIRECTORY_MODE = 0o040700;

/** The parts that such a machine comes to. */
const PARTS: Readonly<Record<string, unknown>> = {
  about,
  create,
  exec,
  help,
  lifecycle,
  list,
  pause,
  ps,
  salvage,
  scheduling,
  sweep,
  update,
};

/** By path; what is undefined is a directory. A name is looked up alone, too, whatever its directory. */
export type Files = ReadonlyMap<string, string | Uint8Array | undefined>;

export function worldWith(files: Files, words: readonly string[] = []) {
  const reading = new Map<number, Uint8Array>();
  let stdout = "";
  let stderr = "";
  let now = 0n;
  const host = scriptedSys({
    argv: () => ["tare-runtime", ...words],
    environ: () => [],
    // Root's, all of them.
    capget: (into: Uint8Array) => {
      into.fill(0xff);
      return 0;
    },
    openat2: (_dirfd: number, path: string) => {
      if (!files.has(path)) return -ENOENT;
      const fd = host.give();
      const content = files.get(path) ?? "";
      const bytes = typeof content === "string" ? encodeUtf8(content.toWellFormed()) : content;
      reading.set(fd, bytes);
      return fd;
    },
    read: (fd: number, into: Uint8Array) => {
      const rest = reading.get(fd) ?? new Uint8Array();
      const part = rest.subarray(0, into.length);
      into.set(part);
      reading.set(fd, rest.subarray(part.length));
      return part.length;
    },
    write: (fd: number, from: Uint8Array) => {
      if (fd === 1) stdout += decodeUtf8(from, "standard output");
      if (fd === 2) stderr += decodeUtf8(from, "standard error");
      return from.length;
    },
    statx: (_dirfd: number, _path: string, _flags: number, _mask: number, into: Uint8Array) => {
      new DataView(into.buffer, into.byteOffset).setUint16(28, DIRECTORY_MODE, true);
      return 0;
    },
    uname: (into: Uint8Array) => {
      into.set(encodeUtf8("6.1.0"), 130);
      into.set(encodeUtf8("x86_64"), 260);
      return 0;
    },
    // Whoever waits is at the end of its patience soon.
    clock_gettime: () => {
      now += 1_000_000_000n;
      return now;
    },
    getcwd: (into: Uint8Array) => {
      into.set([0x2f, 0]);
      return 2;
    },
    pidfd_open: () => -ESRCH,
    connect_unix: () => -ENOENT,
    getdents64: () => 0,
    faccessat2: () => -ENOENT,
    unlinkat: () => -ENOENT,
    load_part: (name: string) => {
      const part = PARTS[name.replace("tare-runtime~", "")];
      if (part === undefined) throw new Error(`The part "${name}" is asked for: give it one here`);
      return part;
    },
  });
  return { sys: host.sys, stdout: () => stdout, stderr: () => stderr };
}

/** The runtime as a program, with these words on this machine. */
export function runWords(words: readonly string[], files: Files) {
  const world = worldWith(files, words);
  const status = runProgram(world.sys);
  return { status, stdout: world.stdout(), stderr: world.stderr() };
}
