/**
 * Descriptors that the caller left open. A directory of the host that reaches the container is a way
 * out (CVE-2024-21626), and a number that is free will be one of ours by and by: so nothing stays
 * but what the caller names, and what the caller names must be there.
 */

import { TareError } from "@tare/spec/error.ts";
import { AT_FDCWD, F_GETFD, O_RDWR } from "../sys/abi-file.ts";
import { SIGCHLD } from "../sys/abi-process.ts";
import { check, errnoOf } from "../sys/check.ts";
import { closeFrom, FIRST_FD } from "../sys/close-from.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { listeningCount } from "./environment.ts";

const STREAMS = [0, 1, 2] as Fd[];
const NUMBER_MAX = 999_999;

/**
 * Closes the others, really, before anything is opened. Names are read from the words of the command
 * as they are: what parseArguments makes of them is checked again by `openPreserved`.
 */
export function closeInherited(sys: Sys, words: readonly string[]): void {
  // Where a caller ignores it, the kernel reaps our children before they can be waited for (wait(2)).
  sys.default_signals(1 << (SIGCHLD - 1));
  openStreams(sys);
  const listening = listeningCount(sys);
  fillGaps(sys, listening);
  const first = FIRST_FD + listening + (numberAfter(words, "preserve-fds") ?? 0);
  const lifeline = numberAfter(words, "kill-on-close");
  const named = [lifeline, numberAfter(words, "status-fd")].filter((fd) => fd !== undefined);
  closeFrom(sys, first, [...named, ...namedAsFiles(words)]);
  if (lifeline === undefined || lifeline < first) return;
  // Not yet close-on-exec: this program executes itself again before it makes a container.
  check(sys.fcntl(lifeline as Fd, F_GETFD, 0), "fcntl F_GETFD", String(lifeline));
}

/** A standard stream that is closed becomes the null device: else a file of ours would be it. */
function openStreams(sys: Sys): void {
  for (const stream of STREAMS) {
    if (errnoOf(sys.fcntl(stream, F_GETFD, 0)) === 0) continue;
    check(sys.openat2(AT_FDCWD, "/dev/null", O_RDWR, 0, 0), "openat2", "/dev/null");
  }
}

/** A listening descriptor that is not there becomes the null device, as a stream does. */
function fillGaps(sys: Sys, listening: number): void {
  for (let fd = FIRST_FD; fd < FIRST_FD + listening; fd++) {
    if (errnoOf(sys.fcntl(fd as Fd, F_GETFD, 0)) === 0) continue;
    const null_ = check(sys.openat2(AT_FDCWD, "/dev/null", O_RDWR, 0, 0), "openat2", "/dev/null");
    // The lowest free number, which is this one but where a lower one was closed meanwhile.
    if (null_ !== fd) throw new TareError("internal", `Cannot fill descriptor ${fd}`);
  }
}

/** What a word names as a file, as `--process <(...)` of a shell does. Nothing of it reaches a container. */
function namedAsFiles(words: readonly string[]): number[] {
  return words.flatMap((word) => {
    const path = word.slice(word.indexOf("=") + 1);
    const prefix = ["/dev/fd/", "/proc/self/fd/"].find((each) => path.startsWith(each));
    const number = prefix === undefined ? undefined : numberOf(path.slice(prefix.length));
    return number === undefined ? [] : [number];
  });
}

/** A number given as `--name 3` or `--name=3`, with one dash or two. */
function numberAfter(words: readonly string[], name: string): number | undefined {
  for (const [index, word] of words.entries()) {
    const bare = word.startsWith("--") ? word.slice(2) : word.startsWith("-") ? word.slice(1) : "";
    if (bare !== name && !bare.startsWith(`${name}=`)) continue;
    return numberOf(bare === name ? words[index + 1] : bare.slice(name.length + 1));
  }
  return undefined;
}

function numberOf(word: string | undefined): number | undefined {
  const value = Number(word);
  return Number.isInteger(value) && value >= 0 && value <= NUMBER_MAX ? value : undefined;
}

/**
 * How many of `count` descriptors behind those that listen are open, as long as nothing of ours is: the
 * program would else be given whatever the runtime opened under these numbers. For that reason there may
 * be less than `count`, as with crun, but no gap.
 */
export function openPreserved(sys: Sys, count: number, listening = 0): number {
  const first = FIRST_FD + listening;
  const isOpen = (fd: number) => errnoOf(sys.fcntl(fd as Fd, F_GETFD, 0)) === 0;
  let open = 0;
  while (open < count && isOpen(first + open)) open++;
  for (let fd = first + open + 1; fd < first + count; fd++) {
    if (!isOpen(fd)) continue;
    throw new TareError(
      "bad_input",
      `Cannot use --preserve-fds ${count}: descriptor ${fd} is open, ${first + open} is not`,
      { hint: "Descriptors from 3 on are passed, without a gap" },
    );
  }
  return open;
}
