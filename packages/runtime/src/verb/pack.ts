/**
 * The verbs of tare-helper that read a tree: `pack` writes it to standard output as a tar archive,
 * `changes` tells what a container's upper directory changes.
 */

import { decodeLatin1, encodeUtf8 } from "@tare/spec/bytes.ts";
import { TareError } from "@tare/spec/error.ts";
import { ArchiveWriter } from "../pack/archive.ts";
import {
  type Change,
  type ChangeKind,
  eachChange,
  isDirectory,
  TreeView,
} from "../pack/changes.ts";
import { type Node, walkTree } from "../pack/node.ts";
import { Output } from "../pack/output.ts";
import {
  type OutsideIds,
  openLayers,
  openOne,
  openWhole,
  type TreeOptions,
} from "../pack/trees.ts";
import { XattrReader } from "../pack/xattrs.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { printPath } from "../unpack/plan.ts";

export type UpperOptions = TreeOptions & {
  readonly upper: string;
  /** Topmost first. */
  readonly lower: readonly string[];
  /** Paths of mount points that a runtime makes, from the root, without a slash in front. */
  readonly stubs: readonly string[];
};

const MARK = [0x2e, 0x77, 0x68, 0x2e]; // .wh.
const OPAQUE = encodeUtf8(".wh..wh..opq");
const LETTERS: Readonly<Record<ChangeKind, string>> = { added: "A", changed: "C", deleted: "D" };

/** A directory with all that is in it. */
export function packDirectory(sys: Sys, path: string, ids: OutsideIds | undefined, out: Fd): void {
  packTree(sys, openOne(sys, path, ids), out);
}

/** A container's whole root file system. */
export function packWhole(sys: Sys, options: UpperOptions, out: Fd): void {
  packTree(sys, openWhole(sys, options.upper, options.lower, options), out);
}

function packTree(sys: Sys, root: Fd, out: Fd): void {
  const writer = new ArchiveWriter(sys, new Output(sys, out));
  const xattrs = new XattrReader(sys);
  walkTree(sys, root, (node) => {
    writer.node(node, xattrs.read(node.at, node.name));
    return true;
  });
  writer.end();
}

/** What the upper directory changes, as a layer of an image. */
export function packLayer(sys: Sys, options: UpperOptions, out: Fd): void {
  const writer = new ArchiveWriter(sys, new Output(sys, out));
  eachChange(sys, openSides(sys, options), (change) => writeChange(writer, change));
  writer.end();
}

function writeChange(writer: ArchiveWriter, { kind, node, xattrs, opaque }: Change): void {
  if (node.path.length === 0 && isNewRoot(node, xattrs.length)) return;
  const slash = node.path.lastIndexOf(0x2f) + 1;
  if (MARK.every((byte, index) => node.path[slash + index] === byte)) {
    throw new TareError(
      "bad_input",
      `Cannot make a layer with "/${printPath(node.path)}": names that begin with ".wh." are marks of layers`,
      { hint: "Rename or remove the file" },
    );
  }
  if (kind === "deleted") return writer.mark(markOf(node.path, slash));
  writer.node(node, xattrs);
  if (opaque) writer.mark(inside(node.path, OPAQUE));
}

/** As the engine makes it for every container, whatever the image has: nobody has changed it. */
function isNewRoot({ stat }: Node, xattrs: number): boolean {
  return (stat.mode & 0o7777) === 0o755 && stat.uid === 0 && stat.gid === 0 && xattrs === 0;
}

/** `a/b` is deleted by `a/.wh.b`. */
function markOf(path: Uint8Array, slash: number): Uint8Array {
  const marked = new Uint8Array(path.length + MARK.length);
  marked.set(path.subarray(0, slash));
  marked.set(MARK, slash);
  marked.set(path.subarray(slash), slash + MARK.length);
  return marked;
}

/** Prints what was added, changed and deleted: a letter, a path and a NUL each. */
export function printChanges(sys: Sys, options: UpperOptions, out: Fd): void {
  const output = new Output(sys, out);
  const sides = openSides(sys, options);
  const below = new TreeView(sys, sides.lower);
  const upper = new TreeView(sys, sides.upper);
  const hidden = new Set<string>();
  const print = (kind: ChangeKind, path: Uint8Array) => {
    output.bytes(encodeUtf8(`${LETTERS[kind]} /`));
    output.bytes(path);
    output.bytes(new Uint8Array(1));
  };
  eachChange(sys, sides, ({ kind, node, opaque }) => {
    if (node.path.length > 0) print(kind, node.path);
    if (kind === "deleted" || !isDirectory(node.stat)) return;
    const path = decodeLatin1(node.path);
    // What an opaque directory hides is hidden in all that is below it, too.
    const parent = path.slice(0, Math.max(path.lastIndexOf("/"), 0));
    if (!opaque && !hidden.has(parent)) return;
    hidden.add(path);
    for (const name of below.names(node.path)) {
      const lost = inside(node.path, name);
      if (!upper.has(lost)) print("deleted", lost);
    }
  });
  output.end();
}

function openSides(sys: Sys, { upper, lower, ids, userXattr, stubs }: UpperOptions) {
  return {
    upper: openOne(sys, upper, ids),
    lower: openLayers(sys, lower, userXattr),
    stubs: new Set(stubs),
  };
}

function inside(directory: Uint8Array, name: Uint8Array): Uint8Array {
  const start = directory.length === 0 ? 0 : directory.length + 1;
  const path = new Uint8Array(start + name.length);
  path.set(directory);
  if (start > 0) path[directory.length] = 0x2f;
  path.set(name, start);
  return path;
}
