/** Where an archive goes: a file that is there whole or not at all, or standard output. */
import { closeSync, fsyncSync, openSync, renameSync, statSync, unlinkSync } from "node:fs";
import { TareError } from "@tare/spec/error.ts";
import type { Surroundings } from "./command.ts";

const STDOUT = 1;
/** Root file systems have secrets in them. */
const MODE = 0o600;

/**
 * Calls `write` with a descriptor for the file `path`, or for standard output where there is none. A
 * file is written beside its place and put there at the end.
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
  const aside = `${whole}.${crypto.randomUUID().slice(0, 8)}`;
  const fd = openNew(path, aside, "wx");
  try {
    await write(fd);
    fsyncSync(fd);
    renameSync(aside, whole);
  } catch (error) {
    unlinkSync(aside);
    throw error;
  } finally {
    closeSync(fd);
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
    const { message } = cause as Error;
    throw new TareError("bad_input", `Cannot write "${path}": ${message}`, { cause });
  }
}
