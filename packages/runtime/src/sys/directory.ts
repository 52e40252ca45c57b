/** The entries of a directory, as the kernel gives them: names are bytes. */

import { check } from "./check.ts";
import type { Fd, Sys } from "./types.ts";

const BUFFER_BYTES = 32 * 1024;
/** Offsets in `struct linux_dirent64` (getdents64(2)): the record's length, and its name. */
const LENGTH_AT = 16;
const NAME_AT = 19;
const DOT = 0x2e;

/** All names but "." and "..", in the kernel's order; reads from where the descriptor stands. */
export function entriesOf(sys: Sys, directory: Fd): Uint8Array[] {
  const names: Uint8Array[] = [];
  const buffer = new Uint8Array(BUFFER_BYTES);
  const view = new DataView(buffer.buffer);
  for (;;) {
    const length = check(sys.getdents64(directory, buffer), "getdents64");
    if (length === 0) return names;
    for (let at = 0; at < length; at += view.getUint16(at + LENGTH_AT, true)) {
      const end = buffer.indexOf(0, at + NAME_AT);
      const name = buffer.slice(at + NAME_AT, end);
      if (!isDots(name)) names.push(name);
    }
  }
}

function isDots(name: Uint8Array): boolean {
  return name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT));
}
