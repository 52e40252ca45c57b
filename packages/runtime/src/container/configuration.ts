/**
 * The configuration of a bundle as a file: read once, with a limit, and told apart later from what
 * somebody may have made of it since.
 */

import { ENOENT } from "../sys/abi-errno.ts";
import { AT_FDCWD, O_RDONLY } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { decodeText, openAt, readAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { versionOf } from "../sys/stat.ts";
import type { Sys } from "../sys/types.ts";

const CONFIG_BYTES_MAX = 4 * 1024 * 1024;

export type Configuration = {
  readonly text: string;
  /** Another one as soon as the file was changed or exchanged. */
  readonly version: string;
};

/** Undefined where there is no such file. */
export function readConfiguration(sys: Sys, path: string): Configuration | undefined {
  const ret = openAt(sys, AT_FDCWD, path, O_RDONLY, 0);
  if (errnoOf(ret) === ENOENT) return undefined;
  using file = new OwnedFd(sys, check(ret, "openat2", path));
  // Before it is read: of a change meanwhile the version must know nothing.
  const version = versionOf(sys, file.fd, path);
  return { text: decodeText(sys, readAll(sys, file.fd, path, CONFIG_BYTES_MAX), path), version };
}
