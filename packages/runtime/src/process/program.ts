/** Finds the program in the container and becomes it. Exit statuses as a shell's: 127 and 126. */

import { TareError } from "@tare/spec/error.ts";
import type { Process } from "@tare/spec/oci-runtime.ts";
import { EACCES, ENOENT, ENOEXEC, ENOTDIR, errnoText } from "../sys/abi-errno.ts";
import {
  AT_EACCESS,
  AT_FDCWD,
  F_SETFD,
  FD_CLOEXEC,
  S_IFMT,
  S_IFREG,
  X_OK,
} from "../sys/abi-file.ts";
import { SIG_SETMASK } from "../sys/abi-process.ts";
import { check, errnoOf } from "../sys/check.ts";
import { closeFrom, FIRST_FD } from "../sys/close-from.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { environmentOf } from "./home.ts";

/** What execvp(3) searches where the environment names nothing. */
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** The words by which docker and podman know that it is a 127; docker 20 reads them as runc writes them, in lower case. */
const NOT_IN_PATH = "executable file not found in $PATH";

/** What execve(2) is given beside process.args. */
export type Program = { readonly path: string; readonly env: readonly string[] };

/** Reads all that it takes from the root file system: later a seccomp filter may forbid that. */
export function prepareProgram(sys: Sys, process: Process): Program {
  return { path: findProgram(sys, process), env: environmentOf(sys, process) };
}

/** The path to execute. A name without "/" is searched in the PATH of the program's environment. */
export function findProgram(sys: Sys, process: Process): string {
  const name = process.args[0] ?? "";
  if (!name.includes("/")) return searchProgram(sys, process, name);
  const path = name.startsWith("/") ? name : `${process.cwd}/${name}`;
  const errno = whyNot(sys, path);
  if (errno !== 0) throw refusal(name, errno);
  return path;
}

function searchProgram(sys: Sys, process: Process, name: string): string {
  let refused = ENOENT;
  for (const directory of name === "" ? [] : searchPath(process)) {
    const path = `${fromCwd(process, directory)}/${name}`;
    const errno = whyNot(sys, path);
    if (errno === 0) return path;
    if (errno === EACCES) refused = EACCES;
  }
  throw refusal(name, refused, refused === ENOENT ? NOT_IN_PATH : undefined);
}

/** A relative entry of PATH, the empty one too, starts where the program will. */
function fromCwd(process: Process, directory: string): string {
  if (directory.startsWith("/")) return directory;
  return directory === "" ? process.cwd : `${process.cwd}/${directory}`;
}

function searchPath(process: Process): readonly string[] {
  const entry = process.env.findLast((each) => each.startsWith("PATH="));
  return (entry?.slice("PATH=".length) ?? DEFAULT_PATH).split(":");
}

/** 0 where a file can be executed, else the errno that execve(2) would give. */
function whyNot(sys: Sys, path: string): number {
  const errno = errnoOf(sys.faccessat2(AT_FDCWD, path, X_OK, AT_EACCESS));
  if (errno !== 0) return errno === ENOTDIR ? ENOENT : errno;
  return (statAt(sys, AT_FDCWD, path, 0).mode & S_IFMT) === S_IFREG ? 0 : EACCES;
}

function refusal(name: string, errno: number, why = errnoText(errno)): TareError {
  const missing = errno === ENOENT;
  const code = missing ? "command_not_found" : "command_not_executable";
  const hint = missing
    ? "Check process.args[0]"
    : "Check the mode of the file, the noexec option of its mount, and the architecture of the binary";
  const told = why === NOT_IN_PATH ? why : why.toLowerCase();
  return new TareError(code, `Cannot execute "${name}": ${told}`, { hint });
}

/** The file itself was found before. In one line, which runc's callers look for. */
function interpreterMissing(name: string): TareError {
  const why = `${errnoText(ENOENT).toLowerCase()}: the interpreter that it names`;
  return new TareError("command_not_found", `Cannot exec ${name}: ${why}`);
}

/** execve(2): returns only by throwing. */
export function becomeProgram(sys: Sys, process: Process, program: Program | undefined): void {
  const [name] = process.args;
  if (name === undefined || program === undefined) {
    throw new TareError("bad_input", "Cannot start: process.args is empty");
  }
  // The program starts with no signal blocked, whatever the runtime or its caller had.
  check(sys.sigprocmask(SIG_SETMASK, 0), "rt_sigprocmask");
  const errno = errnoOf(sys.execve(program.path, process.args, program.env));
  if (errno === ENOENT || errno === ENOTDIR) throw interpreterMissing(name);
  if (errno === EACCES || errno === ENOEXEC) throw refusal(name, errno, errnoText(errno));
  throw new TareError("system", `Cannot execute "${name}": ${errnoText(errno)}`);
}

/** Really closes: a descriptor of a directory, even one with close-on-exec, is a way out while execve looks up its path. */
export function closeAllBut(sys: Sys, channel: Fd, preserve: number): void {
  const first = FIRST_FD + preserve;
  for (let fd = FIRST_FD; fd < first; fd++) sys.fcntl(fd as Fd, F_SETFD, 0);
  closeFrom(sys, first, [channel]);
  check(sys.fcntl(channel, F_SETFD, FD_CLOEXEC), "fcntl F_SETFD");
}
