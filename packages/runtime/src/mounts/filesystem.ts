/**
 * Makes file systems through fsopen(2), fsconfig(2) and fsmount(2): nowhere attached, so nobody sees
 * one that is half configured. What the kernel says about a failure goes into the error.
 */

import { TareError } from "@tare/spec/error.ts";
import type { MountStep } from "../container/step.ts";
import {
  FSCONFIG_CMD_CREATE,
  FSCONFIG_SET_FLAG,
  FSCONFIG_SET_STRING,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  MOUNT_ATTR_RDONLY,
} from "../sys/abi-mount.ts";
import { check, errnoOf } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import type { Fd, Ret, Sys } from "../sys/types.ts";
import { fsmountAttributes, type MountOptions } from "./options.ts";

const LOG_BYTES = 512;
/** The kernel keeps the last eight. */
const MESSAGES_MAX = 8;
/** A value that fsconfig(2) takes, in bytes. */
export const VALUE_BYTES_MAX = 255;

export type Wanted = Pick<Extract<MountStep, { op: "mount" }>, "fstype" | "source" | "options">;

/** File systems that are the kernel's own views: one for many mounts, so only the mount is read-only. */
const VIEWS: ReadonlySet<string> = new Set(
  "proc sysfs tmpfs devpts mqueue cgroup cgroup2 devtmpfs".split(" "),
);

/** A file system that is nowhere yet, with its options and attributes. */
export function makeFilesystem(sys: Sys, want: Wanted): OwnedFd {
  const { fstype, options } = want;
  using context = openContext(sys, fstype);
  configure(sys, context.fd, fstype, "source", want.source);
  for (const flag of superblockFlags(fstype, options)) configure(sys, context.fd, fstype, flag);
  for (const word of options.data) {
    const equals = word.indexOf("=");
    if (equals < 0) configure(sys, context.fd, fstype, word);
    else configureValue(sys, context.fd, fstype, word.slice(0, equals), word.slice(equals + 1));
  }
  return finish(sys, context.fd, fstype, fsmountAttributes(options));
}

/** A context to configure one file system of a type. */
export function openContext(sys: Sys, fstype: string): OwnedFd {
  return new OwnedFd(sys, check(sys.fsopen(fstype, FSOPEN_CLOEXEC), "fsopen", fstype));
}

/** The file system of a context, as a detached mount with these attributes. */
export function finish(sys: Sys, context: Fd, fstype: string, attributes: number): OwnedFd {
  const made = sys.fsconfig(context, FSCONFIG_CMD_CREATE, null, null, 0);
  if (errnoOf(made) !== 0) fail(sys, context, fstype, made);
  return new OwnedFd(
    sys,
    check(sys.fsmount(context, FSMOUNT_CLOEXEC, attributes), "fsmount", fstype),
  );
}

/** Those of the whole file system: a disk that is mounted read-only must not be written by its journal. */
function superblockFlags(fstype: string, options: MountOptions): readonly string[] {
  const readonly = (options.attributes.set & MOUNT_ATTR_RDONLY) !== 0 && !VIEWS.has(fstype);
  return readonly ? [...options.superblock, "ro"] : options.superblock;
}

function configureValue(sys: Sys, context: Fd, fstype: string, key: string, value: string): void {
  const isLayers = fstype === "overlay" && key === "lowerdir" && value.length > VALUE_BYTES_MAX;
  if (!isLayers) return configure(sys, context, fstype, key, value);
  loadPart(sys, "tare-runtime~overlay-layers").addLayers(sys, context, value);
}

/** One option, with a value or as a flag; a refusal is told in the kernel's words. */
export function configure(
  sys: Sys,
  context: Fd,
  fstype: string,
  key: string,
  value?: string,
): void {
  const command = value === undefined ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
  const ret = sys.fsconfig(context, command, key, value ?? null, 0);
  if (errnoOf(ret) !== 0) fail(sys, context, `${fstype}" option "${key}`, ret);
}

/** The kernel's own words about a failed file system, which it keeps on the context (fsopen(2)). */
export function fail(sys: Sys, context: Fd, subject: string, ret: Ret<void>): never {
  const words = kernelWords(sys, context);
  try {
    check(ret, "fsconfig", subject);
  } catch (error) {
    if (words === "" || !(error instanceof TareError)) throw error;
    throw new TareError(error.code, `${error.message}: ${words}`, { cause: error });
  }
  throw new TareError("internal", "a call that failed has no error");
}

/** What the kernel has to say about a context, a message a read; empty where there is nothing. */
function kernelWords(sys: Sys, context: Fd): string {
  const words: string[] = [];
  const log = new Uint8Array(LOG_BYTES);
  while (words.length < MESSAGES_MAX) {
    const length = sys.read(context, log) as unknown as number;
    if (length <= 2) break;
    words.push((sys.decode_utf8(log.subarray(2, length)) ?? "").trim());
  }
  return words.join("; ");
}
