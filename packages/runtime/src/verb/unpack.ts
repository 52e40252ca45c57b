/**
 * The verb `unpack` of tare-helper: `--dir D [--marks user] [--bytes-max N] [--ask] [--tree]`, the plain
 * archive on standard input. One JSON line at the end: `{entries, bytes}`. With `--ask` the line `lower` comes
 * before it where the layers below are needed; their directories are then read from descriptor 3,
 * topmost first, a line each, up to its end.
 */

import { TareError } from "@tare/spec/error.ts";
import { TarReader } from "@tare/spec/tar.ts";
import { AT_FDCWD, O_DIRECTORY, O_PATH } from "../sys/abi-file.ts";
import { check } from "../sys/check.ts";
import { decodeText, openAt, readAll, retried, writeAll } from "../sys/file.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { unpack } from "../unpack/apply.ts";

const STDIN = 0 as Fd;
const STDOUT = 1 as Fd;
const ANSWER = 3 as Fd;

const BYTES_MAX = 1024 ** 4;
const LOWER_BYTES_MAX = 1024 * 1024;

/** What the verb is called with. */
export type UnpackRequest = {
  /** A new directory that nobody else reaches. */
  readonly directory: string;
  readonly marks: "trusted" | "user";
  /** Most bytes of file content; 1 TiB where it is left out. */
  readonly bytesMax: number | undefined;
  /** Whether descriptor 3 answers which layers are below. */
  readonly ask: boolean;
  /** No layer of an image, but any tree: nothing in it is a mark. */
  readonly tree: boolean;
};

/** Unpacks and says what was there. */
export function unpackVerb(sys: Sys, request: UnpackRequest): void {
  const source = {
    read: (into: Uint8Array) =>
      check(
        retried(() => sys.read(STDIN, into)),
        "read",
        "the archive",
      ),
  };
  let lower: readonly Fd[] | undefined;
  const result = unpack(sys, openDirectory(sys, request.directory), new TarReader(source), {
    lower: () => {
      lower ??= request.ask ? askLower(sys) : [];
      return lower;
    },
    marks: request.marks,
    bytesMax: request.bytesMax ?? BYTES_MAX,
    kind: request.tree ? "tree" : "layer",
  });
  say(sys, JSON.stringify(result));
}

function askLower(sys: Sys): readonly Fd[] {
  say(sys, "lower");
  const text = decodeText(sys, readAll(sys, ANSWER, "the layers below", LOWER_BYTES_MAX), "answer");
  // Who asked us and is gone closes the descriptor without the line that ends the list.
  if (!text.endsWith("\n")) throw new TareError("internal", "tare-helper was not told the layers");
  const paths = text.split("\n").filter((path) => path !== "");
  return paths.map((path) => openDirectory(sys, path));
}

function openDirectory(sys: Sys, path: string): Fd {
  return check(openAt(sys, AT_FDCWD, path, O_PATH | O_DIRECTORY, 0), "openat2", path);
}

function say(sys: Sys, line: string): void {
  writeAll(sys, STDOUT, sys.encode_utf8(`${line}\n`), "standard output");
}
