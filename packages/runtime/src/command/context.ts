/** What every command of the runtime gets: the world, the global options, its own arguments. */

import { type ContainerId, parseContainerId } from "@tare/spec/container-id.ts";
import { TareError } from "@tare/spec/error.ts";
import { AT_FDCWD } from "../sys/abi-file.ts";
import { check, during } from "../sys/check.ts";
import { replaceTextAt, retried } from "../sys/file.ts";
import type { Sys } from "../sys/types.ts";
import type { Arguments } from "./arguments.ts";
import type { Log } from "./log.ts";

/** Who makes cgroups: we by ourselves, systemd at our word, or nobody. */
export type Manager = "cgroupfs" | "systemd" | "disabled";

export type Context = {
  readonly sys: Sys;
  /** Where states are kept. Absolute. */
  readonly root: string;
  /** Whether the caller named it, and so means that it is there. */
  readonly rootGiven: boolean;
  readonly args: Arguments;
  readonly manager: Manager;
  /** What --rootless says; undefined for "auto". */
  readonly rootless: boolean | undefined;
  readonly log: Log;
};

const PATH_BYTES_MAX = 4096;

export function print(sys: Sys, text: string): void {
  let rest = sys.encode_utf8(text);
  while (rest.length > 0)
    rest = rest.subarray(
      check(
        retried(() => sys.write(1 as never, rest)),
        "write",
        "stdout",
      ),
    );
}

/** The current directory, for relative paths of the caller. */
export function currentDirectory(sys: Sys): string {
  const buffer = new Uint8Array(PATH_BYTES_MAX);
  const length = check(sys.getcwd(buffer), "getcwd");
  return sys.decode_utf8(buffer.subarray(0, length - 1)) ?? "/";
}

export function absolutePath(sys: Sys, path: string): string {
  if (path.startsWith("/")) return path;
  // What stands in records and is shown: `.` and a slash at the end say nothing there.
  const words = path.split("/").filter((word) => word !== "" && word !== ".");
  const here = currentDirectory(sys);
  return [here === "/" ? "" : here, ...words].join("/") || "/";
}

/** Writes the pid to the file of --pid-file, where one is named. */
export function writePidFile({ sys, args }: Pick<Context, "sys" | "args">, pid: number): void {
  const file = args.options.get("pid-file");
  if (file === undefined) return;
  const path = absolutePath(sys, file);
  during(
    () => `Cannot write --pid-file "${file}"`,
    () => replaceTextAt(sys, AT_FDCWD, path, String(pid), 0o644),
  );
}

/** What commands do whose names are no verbs. */
const DEEDS: { readonly [command: string]: string } = {
  state: "tell the state",
  events: "watch",
  ps: "list processes",
};

/** What the command does, as an error says it behind "Cannot". */
export function deed({ command = "go on" }: Arguments): string {
  return DEEDS[command] ?? command;
}

/** The container's id, the first word. */
export function containerId(args: Arguments): ContainerId {
  const [id] = args.words;
  if (id === undefined || id === "") {
    throw new TareError("bad_input", `Cannot ${deed(args)}: the container ID is missing`, {
      hint: "Give it as the first word after the command",
    });
  }
  return parseContainerId(id);
}

/** What it was called as: as `runc` by engines that look for that in PATH, it answers as runc. */
export function programName(sys: Sys): string {
  const path = sys.argv()[0] ?? "";
  return path.slice(path.lastIndexOf("/") + 1) || "tare-runtime";
}

/** The owner of this process by name, where /etc/passwd has one. */
export function effectiveUser(sys: Sys): string {
  return sys.geteuid() === 0 ? "root" : String(sys.geteuid());
}
