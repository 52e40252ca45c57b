/**
 * What one archive entry of an image layer does to the layer's directory. Pure: names become lists
 * of components that can only go down, whiteouts become the marks of overlayfs, and what a layer
 * has no right to hold is refused here, before any system call.
 * Sources: OCI image-spec, layer.md ("Whiteouts"); kernel's overlayfs.rst for the marks.
 */

import { TareError } from "@tare/spec/error.ts";
import type { TarEntry, TarSegment, TarXattr } from "@tare/spec/tar-entry.ts";

/** Names from the root down; never empty names, "." or "..". */
export type Components = readonly Uint8Array[];

export type Metadata = {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly mtimeNs: number;
  readonly xattrs: readonly TarXattr[];
};

/** `at` is the directory, `name` the entry in it. */
export type UnpackStep =
  /** The root directory itself: only its metadata. */
  | { readonly op: "root"; readonly metadata: Metadata }
  | Placed<{ readonly op: "directory"; readonly metadata: Metadata }>
  | Placed<{
      readonly op: "file";
      readonly metadata: Metadata;
      readonly size: number;
      readonly segments: readonly TarSegment[] | undefined;
    }>
  | Placed<{ readonly op: "symlink"; readonly target: Uint8Array; readonly metadata: Metadata }>
  | Placed<{ readonly op: "hardlink"; readonly target: Components }>
  | Placed<{
      readonly op: "node";
      /** The S_IFMT bits of mknod(2). */
      readonly type: number;
      readonly major: number;
      readonly minor: number;
      readonly metadata: Metadata;
    }>
  /** The name is gone in this layer, whatever lower ones have. */
  | Placed<{ readonly op: "whiteout" }>
  /** Of the directory, nothing of lower layers shows. */
  | { readonly op: "opaque"; readonly directory: Components }
  /** Marks of other union file systems, which mean nothing here. */
  | { readonly op: "nothing" };

type Placed<T> = T & { readonly at: Components; readonly name: Uint8Array };

export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFBLK = 0o060000;

const NAME_BYTES_MAX = 255;
/** No directory tree of use is deeper; removing one by its paths costs the square of its depth. */
const DEPTH_MAX = 512;

const SLASH = 0x2f;
const DOT = 0x2e;
const WHITEOUT_PREFIX = [0x2e, 0x77, 0x68, 0x2e]; // .wh.
const OPAQUE_REST = [0x2e, 0x77, 0x68, 0x2e, 0x2e, 0x6f, 0x70, 0x71]; // .wh..opq

/** `layer`: names that begin with ".wh." are marks. `tree`: they are names as any other. */
export type ArchiveKind = "layer" | "tree";

/**
 * The step for an entry.
 * @throws TareError `corrupt` for a name that leaves the root, a mark without a name, an
 * overlayfs whiteout in disguise, a root that is no directory.
 */
export function planEntry(entry: TarEntry, kind: ArchiveKind = "layer"): UnpackStep {
  const components = splitPath(entry.path);
  const name = components[components.length - 1];
  if (name === undefined) return planRoot(entry);
  const at = components.slice(0, -1);
  if (kind === "tree") return planObject(entry, at, name, linkTarget);
  for (const parent of at) {
    if (isWhiteoutName(parent)) throw refuse(entry.path, "a whiteout is not a directory");
  }
  return isWhiteoutName(name)
    ? planMark(entry, at, name)
    : planObject(entry, at, name, fileOfLayer);
}

function planRoot(entry: TarEntry): UnpackStep {
  if (entry.kind === "directory") return { op: "root", metadata: metadataOf(entry) };
  // Another kind would replace the root directory by a link (CVE-2021-29136).
  throw refuse(entry.path, "the root is a directory");
}

function planMark(entry: TarEntry, at: Components, name: Uint8Array): UnpackStep {
  const hidden = name.slice(WHITEOUT_PREFIX.length);
  if (startsWith(hidden, OPAQUE_REST) && hidden.length === OPAQUE_REST.length) {
    return { op: "opaque", directory: at };
  }
  if (isWhiteoutName(hidden)) return { op: "nothing" };
  if (hidden.length === 0 || isDots(hidden)) throw refuse(entry.path, "the whiteout has no name");
  return { op: "whiteout", at, name: hidden };
}

function planObject(
  entry: TarEntry,
  at: Components,
  name: Uint8Array,
  target: (entry: TarEntry) => Components,
): UnpackStep {
  const metadata = metadataOf(entry);
  switch (entry.kind) {
    case "directory":
      return { op: "directory", at, name, metadata };
    case "file":
      return { op: "file", at, name, metadata, size: entry.size, segments: entry.segments };
    case "symlink":
      return { op: "symlink", at, name, target: entry.link, metadata };
    case "hardlink":
      return { op: "hardlink", at, name, target: target(entry) };
    case "char":
      if (entry.major === 0 && entry.minor === 0) {
        throw refuse(entry.path, "a device 0:0 would hide what lower layers have");
      }
      return { op: "node", at, name, type: S_IFCHR, ...numbersOf(entry), metadata };
    case "block":
      return { op: "node", at, name, type: S_IFBLK, ...numbersOf(entry), metadata };
    case "fifo":
      return { op: "node", at, name, type: S_IFIFO, major: 0, minor: 0, metadata };
  }
}

/** A hard link names a file of the image, so an absolute target starts at its root too. */
function linkTarget(entry: TarEntry): Components {
  const target = splitPath(entry.link);
  if (target.length === 0) throw refuse(entry.path, "it is a hard link to the root");
  return target;
}

function fileOfLayer(entry: TarEntry): Components {
  const target = linkTarget(entry);
  if (target.some(isWhiteoutName)) throw refuse(entry.path, "it is a hard link to a whiteout");
  return target;
}

function metadataOf(entry: TarEntry): Metadata {
  const { mode, uid, gid, mtime, mtimeNs, xattrs } = entry;
  return { mode, uid, gid, mtime, mtimeNs, xattrs };
}

function numbersOf(entry: TarEntry): { readonly major: number; readonly minor: number } {
  return { major: entry.major, minor: entry.minor };
}

/** Refuses "..", even where it would stay inside: no archiver of images writes it. */
function splitPath(path: Uint8Array): Components {
  const components: Uint8Array[] = [];
  let start = 0;
  while (start <= path.length) {
    const slash = path.indexOf(SLASH, start);
    const end = slash < 0 ? path.length : slash;
    const part = path.subarray(start, end);
    start = end + 1;
    if (part.length === 0) continue;
    if (part[0] === DOT && part.length === 1) continue;
    if (part[0] === DOT && isDots(part)) throw refuse(path, 'it has a ".." in it');
    if (part.length > NAME_BYTES_MAX) throw refuse(path, "a name is longer than 255 bytes");
    components.push(part);
  }
  if (components.length > DEPTH_MAX) throw refuse(path, `it is deeper than ${DEPTH_MAX}`);
  return components;
}

function isDots(name: Uint8Array): boolean {
  return name.length > 0 && name.length <= 2 && name.every((byte) => byte === DOT);
}

function isWhiteoutName(name: Uint8Array): boolean {
  return name[0] === DOT && startsWith(name, WHITEOUT_PREFIX);
}

function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return prefix.every((byte, index) => bytes[index] === byte);
}

/** The path as a message may show it: printable ASCII, the rest escaped, at most 200 bytes. */
export function printPath(path: Uint8Array): string {
  let text = "";
  for (const byte of path.subarray(0, 200)) {
    const plain = byte >= 0x20 && byte < 0x7f;
    text += plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return text;
}

/** The components as one relative path; "." for the root. */
export function joinPath(components: Components): Uint8Array {
  if (components.length === 0) return Uint8Array.of(DOT);
  let length = components.length - 1;
  for (const part of components) length += part.length;
  const path = new Uint8Array(length);
  let at = 0;
  for (const part of components) {
    if (at > 0) path[at++] = SLASH;
    path.set(part, at);
    at += part.length;
  }
  return path;
}

function refuse(path: Uint8Array, why: string): TareError {
  return new TareError("corrupt", `Cannot unpack "${printPath(path)}": ${why}`);
}
