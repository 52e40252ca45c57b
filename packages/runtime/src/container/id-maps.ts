/**
 * Writes the id maps of a new user namespace: directly where the kernel lets us, else through the
 * setuid programs newuidmap(1) and newgidmap(1), found by fixed paths, never by PATH.
 * Source: user_namespaces(7).
 */

import { TareError } from "@tare/spec/error.ts";
import type { IdMapping, Linux } from "@tare/spec/oci-runtime.ts";
import { waitFor } from "../process/wait.ts";
import { EACCES, EINVAL, EPERM } from "../sys/abi-errno.ts";
import { AT_FDCWD, CLOSE_RANGE_CLOEXEC, NO_FD, X_OK } from "../sys/abi-file.ts";
import { SIG_SETMASK, SIGCHLD } from "../sys/abi-process.ts";
import { check, errnoOf, SysError } from "../sys/check.ts";
import { writeTextAt } from "../sys/file.ts";
import type { Sys } from "../sys/types.ts";

/** Both maps of a user namespace. */
export type Maps = Pick<Linux, "uidMappings" | "gidMappings">;

const HELPER_DIRECTORIES = ["/usr/bin", "/usr/local/bin", "/bin"];

export function writeIdMaps(sys: Sys, maps: Maps, pid: number): void {
  writeMap(sys, "gid", maps.gidMappings, pid);
  writeMap(sys, "uid", maps.uidMappings, pid);
}

function writeMap(
  sys: Sys,
  kind: "uid" | "gid",
  mappings: readonly IdMapping[],
  pid: number,
): void {
  const text = mappings.map((each) => `${each.containerID} ${each.hostID} ${each.size}\n`).join("");
  try {
    // A caller without CAP_SETGID may map its own group only after setgroups(2) is given up.
    if (kind === "gid" && isOwnOnly(sys, mappings)) denySetgroups(sys, pid);
    writeTextAt(sys, AT_FDCWD, `/proc/${pid}/${kind}_map`, text, 0);
  } catch (error) {
    if (!(error instanceof SysError) || ![EPERM, EACCES, EINVAL].includes(error.errno)) throw error;
    if (sys.geteuid() === 0) throw refused(kind, text, error.message);
    callHelper(sys, kind, mappings, pid);
  }
}

function isOwnOnly(sys: Sys, mappings: readonly IdMapping[]): boolean {
  const [only] = mappings;
  return (
    sys.geteuid() !== 0 &&
    mappings.length === 1 &&
    only?.size === 1 &&
    only.hostID === sys.getegid()
  );
}

function denySetgroups(sys: Sys, pid: number): void {
  writeTextAt(sys, AT_FDCWD, `/proc/${pid}/setgroups`, "deny", 0);
}

function refused(kind: string, text: string, why: string): TareError {
  const shown = text.trim().split("\n").join(", ");
  return new TareError("no_permission", `Cannot map ${kind}s "${shown}": ${why}`, {
    hint: `Check linux.${kind}Mappings, /etc/sub${kind} of the caller, and that new${kind}map is installed (package uidmap)`,
  });
}

function callHelper(sys: Sys, kind: string, mappings: readonly IdMapping[], pid: number): void {
  const name = `new${kind}map`;
  const program = HELPER_DIRECTORIES.map((directory) => `${directory}/${name}`).find(
    (path) => errnoOf(sys.faccessat2(AT_FDCWD, path, X_OK, 0)) === 0,
  );
  const ids = mappings.flatMap((each) => [each.containerID, each.hostID, each.size].map(String));
  const text = ids.join(" ");
  if (program === undefined) throw refused(kind, text, `${name} is not installed`);
  const child = check(sys.clone3(0, SIGCHLD, NO_FD), "clone3");
  if (child === 0) {
    sys.sigprocmask(SIG_SETMASK, 0);
    sys.close_range(3, 0x7fffffff, CLOSE_RANGE_CLOEXEC);
    sys.execve(program, [name, String(pid), ...ids], []);
    sys.exit_group(127);
  }
  const status = waitFor(sys, child);
  if (status !== 0) throw refused(kind, text, `${name} refused`);
}
