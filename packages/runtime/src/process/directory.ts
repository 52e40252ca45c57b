/** The working directory of the program, which must lie inside its root. */

import { TareError } from "@tare/spec/error.ts";
import { check } from "../sys/check.ts";
import type { Sys } from "../sys/types.ts";

const PATH_BYTES_MAX = 4096;
const SLASH = 0x2f;

/**
 * Enters a directory and asks the kernel where that is: the raw getcwd(2) of a directory outside of
 * the root does not start with "/", it says "(unreachable)" (CVE-2024-21626).
 */
export function enterDirectory(sys: Sys, path: string): void {
  check(sys.chdir(path), "chdir", path);
  const buffer = new Uint8Array(PATH_BYTES_MAX);
  check(sys.getcwd(buffer), "getcwd", path);
  if (buffer[0] === SLASH) return;
  throw new TareError(
    "bad_input",
    `Cannot enter process.cwd "${path}": it is outside of the container's root`,
  );
}
