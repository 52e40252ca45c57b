/**
 * Where an archive goes: a file that is there whole or not at all, or standard output. Until it is whole
 * the file has no name (O_TMPFILE), so that whatever ends the program leaves nothing in a user's directory.
 */

import {
  closeSync,
  constants,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { linkOpenFile } from "@tare/engine/host/calls.ts";
import { reasonOf } from "@tare/engine/host/failure.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Surroundings } from "./command.ts";
import { parseText } from "./values.ts";

/** The flag of all commands that write an archive. */
export const OUTPUT_FLAG = {
  name: "output",
  short: "o",
  arg: "FILE",
  help: "Where to write (default standard output)",
  parse: parseText,
} as const;

const STDOUT = 1;
/** Root file systems have secrets in them. */
const MODE = 0o600;
/** open(2); the same on all machines but for the bit of O_DIRECTORY that is part of it. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/**
 * Calls `write` with a descriptor for the file `path`, or for standard output where there is none. A
 * file is put in its place at the end; one that a link leads to is replaced there, and the link stays.
 * @throws TareError `bad_input` where the output is a terminal, or the file cannot be made
 */
export async function writeOutput(
  path: string | undefined,
  around: Surroundings,
  write: (fd: number) => Promise<void>,
): Promise<void> {
  if (path === undefined) return await writeStandard(around, write);
  const whole = path.startsWith("/") ? path : `${around.directory}/${path}`;
  const there = statSync(whole, { throwIfNoEntry: false });
  if (there !== undefined && !there.isFile()) return await writeInto(path, whole, write);
  const place = there === undefined ? whole : realpathSync(whole);
  const aside = `${place}.${crypto.randomUUID().slice(0, 8)}`;
  const unnamed = openUnnamed(dirname(place));
  const fd = unnamed ?? openNew(path, aside, "wx");
  try {
    await write(fd);
    fsyncSync(fd);
    if (unnamed !== undefined) await linkOpenFile(unnamed, aside);
    renameSync(aside, place);
  } catch (error) {
    rmSync(aside, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** Undefined where the file system knows no files without names, or the directory does not take any. */
function openUnnamed(directory: string): number | undefined {
  try {
    return openSync(directory, O_TMPFILE | constants.O_RDWR, MODE);
  } catch {
    return undefined;
  }
}

async function writeStandard(
  around: Surroundings,
  write: (fd: number) => Promise<void>,
): Promise<void> {
  if (!(await around.isTerminal(STDOUT))) return await write(STDOUT);
  throw new TareError("bad_input", "Cannot write an archive to a terminal", {
    hint: "Name a file with -o, or pipe the output into a program",
  });
}

/** A pipe or a device: there is nothing to put in its place. */
async function writeInto(
  path: string,
  whole: string,
  write: (fd: number) => Promise<void>,
): Promise<void> {
  const fd = openNew(path, whole, "w");
  try {
    await write(fd);
  } finally {
    closeSync(fd);
  }
}

function openNew(path: string, place: string, flags: "w" | "wx"): number {
  try {
    return openSync(place, flags, MODE);
  } catch (cause) {
    throw new TareError("bad_input", `Cannot write "${path}": ${reasonOf(cause)}`, { cause });
  }
}
