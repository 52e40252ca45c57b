/** Runs a program of the host and reads what it writes: for the few commands that another program does best. */

import { TareError } from "@tare/spec/error.ts";
import { CLOSE_RANGE_CLOEXEC, F_SETFD, NO_FD, O_CLOEXEC } from "../sys/abi-file.ts";
import { SIG_SETMASK, SIGCHLD } from "../sys/abi-process.ts";
import { check } from "../sys/check.ts";
import { readAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { waitFor } from "./wait.ts";

const STDOUT = 1 as Fd;
const STDERR = 2 as Fd;
const EXIT_NOT_FOUND = 127;
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export type Captured = {
  /** Standard output and standard error together. */
  readonly output: Uint8Array;
  /** Raw, as of wait4(2). */
  readonly status: number;
};

/**
 * @param keep descriptors that the program is given under their numbers
 * @param name searched in the caller's PATH; an exit status of 127 where it is not there
 * @param bytesMax more output than that is an error
 */
export function captureOutput(
  sys: Sys,
  name: string,
  words: readonly string[],
  bytesMax: number,
  keep: readonly Fd[] = [],
): Captured {
  const ends = new Int32Array(2);
  check(sys.pipe2(ends, O_CLOEXEC), "pipe2");
  using reader = new OwnedFd(sys, ends[0] as Fd);
  const writer = new OwnedFd(sys, ends[1] as Fd);
  const pid = check(sys.clone3(0, SIGCHLD, NO_FD), "clone3");
  if (pid === 0) return becomeCaptured(sys, writer.fd, [name, ...words], keep);
  writer.close();
  try {
    return { output: readAll(sys, reader.fd, name, bytesMax), status: waitFor(sys, pid) };
  } catch (error) {
    // Nobody reads any more: it ends at its next write, by SIGPIPE.
    reader.close();
    waitFor(sys, pid);
    throw error;
  }
}

/** In the child; never returns. */
function becomeCaptured(sys: Sys, output: Fd, argv: readonly string[], keep: readonly Fd[]): never {
  sys.dup3(output, STDOUT, 0);
  sys.dup3(output, STDERR, 0);
  return becomeHostProgram(sys, argv, keep);
}

/** execve(2) of a program of the host, found in the caller's PATH; where it is not: exit status 127. */
export function becomeHostProgram(
  sys: Sys,
  argv: readonly string[],
  keep: readonly Fd[] = [],
): never {
  sys.sigprocmask(SIG_SETMASK, 0);
  sys.close_range(3, 0x7fffffff, CLOSE_RANGE_CLOEXEC);
  for (const fd of keep) sys.fcntl(fd, F_SETFD, 0);
  const env = sys.environ();
  const path = env.find((entry) => entry.startsWith("PATH="))?.slice("PATH=".length);
  for (const directory of (path ?? DEFAULT_PATH).split(":")) {
    if (directory.startsWith("/")) sys.execve(`${directory}/${argv[0]}`, argv, env);
  }
  sys.exit_group(EXIT_NOT_FOUND);
  throw new TareError("internal", "exit_group returned");
}
