/** The names of the kernel: `struct new_utsname` of uname(2), six texts of 65 bytes. */

import { check } from "./check.ts";
import type { Sys } from "./types.ts";

const UTS_BYTES = 390;
const FIELD_BYTES = 65;
const FIELDS = ["sysname", "nodename", "release", "version", "machine"] as const;

/** One of the texts, up to its NUL; they are ASCII. */
export function unameField(sys: Sys, field: (typeof FIELDS)[number]): string {
  const uts = new Uint8Array(UTS_BYTES);
  check(sys.uname(uts), "uname");
  const start = FIELDS.indexOf(field) * FIELD_BYTES;
  return String.fromCharCode(...uts.subarray(start, uts.indexOf(0, start)));
}
