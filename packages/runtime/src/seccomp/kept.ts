/**
 * The filter of a container as it was compiled at create, in the container's state directory: an
 * entry of the cache under a second name, so that `exec` needs neither profile nor compiler.
 */

import { TareError } from "@tare/spec/error.ts";
import { ENOENT } from "../sys/abi-errno.ts";
import { O_NOFOLLOW, O_RDONLY } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt, readAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";

/** The second name. */
export const KEPT_FILTER = "seccomp.filter";

/** Of an entry, as cache.ts has it: what stands before and after the program. */
const HEADER_BYTES = 52;
const DIGEST_BYTES = 32;
const INSTRUCTION_BYTES = 8;
const ENTRY_BYTES_MAX = 1024 * 1024;

/** The program. Nobody else may write the directory, and whoever put the file there had proven it. */
export function readKeptFilter(sys: Sys, directory: Fd): Uint8Array {
  const opened = openAt(sys, directory, KEPT_FILTER, O_RDONLY | O_NOFOLLOW, 0);
  if (errnoOf(opened) === ENOENT) throw damaged("it is gone");
  using file = new OwnedFd(sys, check(opened, "openat2", KEPT_FILTER));
  const entry = readAll(sys, file.fd, KEPT_FILTER, ENTRY_BYTES_MAX);
  const program = entry.slice(HEADER_BYTES, entry.length - DIGEST_BYTES);
  if (program.length > 0 && program.length % INSTRUCTION_BYTES === 0) return program;
  throw damaged(`${entry.length} bytes are no filter`);
}

function damaged(why: string): TareError {
  return new TareError("corrupt", `Cannot read the container's seccomp filter: ${why}`, {
    hint: "Make the container anew",
  });
}
