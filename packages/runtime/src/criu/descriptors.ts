/**
 * Where the standard streams of a container led when it was saved, in runc's place and form: pipes and
 * terminals are known by these names when it comes back.
 */

import { TareError } from "@tare/spec/error.ts";
import { ENOENT } from "../sys/abi-errno.ts";
import { AT_FDCWD } from "../sys/abi-file.ts";
import { TIOCGPTN } from "../sys/abi-socket.ts";
import { check, SysError } from "../sys/check.ts";
import { readText, replaceTextAt } from "../sys/file.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { linkTarget } from "./mounts.ts";

/** A JSON array of three texts, in the directory of the images. */
export const DESCRIPTORS_FILE = "descriptors.json";
const DESCRIPTORS_BYTES_MAX = 64 * 1024;
const STREAMS = 3;
const TERMINALS = "/dev/pts/";

/** Writes down the streams of a process that is saved; one that is closed is empty. */
export function saveDescriptors(sys: Sys, images: string, pid: number): void {
  const names = [0, 1, 2].map((fd) => {
    try {
      return linkTarget(sys, `/proc/${pid}/fd/${fd}`);
    } catch (error) {
      if (error instanceof SysError && error.errno === ENOENT) return "";
      throw error;
    }
  });
  replaceTextAt(sys, AT_FDCWD, `${images}/${DESCRIPTORS_FILE}`, JSON.stringify(names), 0o600);
}

/** @throws TareError `not_found`, or `corrupt` */
export function readDescriptors(sys: Sys, images: string): readonly string[] {
  const path = `${images}/${DESCRIPTORS_FILE}`;
  const text = readText(sys, path, DESCRIPTORS_BYTES_MAX);
  if (text !== undefined) return parseDescriptors(text, path);
  throw new TareError("not_found", `Cannot restore from "${images}": no ${DESCRIPTORS_FILE}`, {
    hint: "Give the directory of checkpoint's --image-path",
  });
}

/** @throws TareError `corrupt` where it is no array of at most three texts. Pure. */
export function parseDescriptors(text: string, path: string): readonly string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TareError("corrupt", `Cannot read "${path}": it is not JSON`, { cause });
  }
  const list: readonly unknown[] = Array.isArray(value) ? value : [undefined];
  const isText = (each: unknown) => typeof each === "string" && !each.includes("\0");
  if (list.length <= STREAMS && list.every(isText)) return list as readonly string[];
  throw new TareError("corrupt", `Cannot read "${path}": want an array of at most three texts`);
}

/** Whether a terminal's outer end is that of the streams, by its number in the container (pts(4)). */
export function isTerminal(sys: Sys, fd: Fd, saved: readonly string[]): boolean {
  const number = new Uint8Array(4);
  check(sys.ioctl_bytes(fd, TIOCGPTN, number), "ioctl TIOCGPTN");
  return saved.includes(`${TERMINALS}${new DataView(number.buffer).getUint32(0, true)}`);
}
