/**
 * An image archive as a set of named pieces of one plain file. Nothing of it is ever unpacked by
 * its names: they are only keys of a map, so a name can lead nowhere.
 */

import { closeSync, constants, fstatSync, openSync, readSync, statSync } from "node:fs";
import { TareError } from "@tare/spec/error.ts";
import { TarReader } from "@tare/spec/tar.ts";
import type { TarEntry } from "@tare/spec/tar-entry.ts";
import { reasonOf } from "../host/failure.ts";
import { writeWhole } from "../write-whole.ts";
import { type Compression, decompress, detectCompression, MAGIC_BYTES } from "./compression.ts";

/** Some bytes of an open file. */
export type Piece = { readonly fd: number; readonly offset: number; readonly size: number };

const ENTRIES_MAX = 100_000;
/** Of links from name to name. */
const HOPS_MAX = 8;
const SPOOLED_BYTES_MAX = 1024 ** 4;

/** Where an archive comes from: a path, or standard input. */
export type ArchiveSource = { readonly path: string } | "stdin";

/** The pieces of an archive by name. */
export type Archive = Disposable & {
  /** Links inside of the archive are followed. */
  find(name: string): Piece | undefined;
};

/** @throws TareError `corrupt` where there is no such piece. */
export function wantPiece(archive: Archive, name: string): Piece {
  const piece = archive.find(name);
  if (piece !== undefined) return piece;
  throw new TareError("corrupt", `Cannot read the archive: it lacks "${name.slice(0, 200)}"`);
}

/** A tar file. */
class TarArchive implements Archive {
  readonly #fd: number;
  readonly #pieces = new Map<string, Piece>();
  readonly #links = new Map<string, string>();

  /** Indexes the plain tar file `fd`, which is the archive's to close from now on. */
  constructor(fd: number) {
    this.#fd = fd;
    const size = fstatSync(fd).size;
    const reader = new TarReader(fileSource(fd));
    for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
      this.#remember(entry, reader.position, size);
    }
  }

  /** The piece of that name; links inside of the archive are followed. */
  find(name: string): Piece | undefined {
    let at = normalise(name);
    for (let hops = 0; hops < HOPS_MAX; hops++) {
      const piece = this.#pieces.get(at);
      const next = this.#links.get(at);
      if (piece !== undefined || next === undefined) return piece;
      at = next;
    }
    return undefined;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  #remember(entry: TarEntry, offset: number, fileSize: number): void {
    const count = this.#pieces.size + this.#links.size;
    if (count > ENTRIES_MAX) {
      throw new TareError("corrupt", `Cannot read the archive: more than ${ENTRIES_MAX} entries`);
    }
    const name = normalise(textOf(entry.path));
    if (entry.kind === "symlink") {
      const folder = name.slice(0, name.lastIndexOf("/") + 1);
      this.#links.set(name, normalise(`${folder}${textOf(entry.link)}`));
    } else if (entry.kind === "hardlink") {
      this.#links.set(name, normalise(textOf(entry.link)));
    } else if (entry.kind === "file" && entry.segments === undefined) {
      if (offset + entry.size > fileSize) {
        throw new TareError("corrupt", "Cannot read the archive: it is cut off");
      }
      this.#pieces.set(name, { fd: this.#fd, offset, size: entry.size });
    }
  }
}

/**
 * An OCI layout in a directory. What is in it is a stranger's: from the directory's descriptor, each step
 * is one name that is no link, and only regular files are opened.
 */
class DirectoryArchive implements Archive {
  readonly #pieces = new Map<string, Piece>();
  readonly #root: number;

  constructor(path: string) {
    this.#root = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  }

  /** @throws TareError `system` where it may be there, and cannot be opened */
  find(name: string): Piece | undefined {
    const key = normalise(name);
    const known = this.#pieces.get(key);
    if (known !== undefined) return known;
    try {
      const piece = openPiece(this.#root, key.split("/"));
      if (piece !== undefined) this.#pieces.set(key, piece);
      return piece;
    } catch (cause) {
      const { code = "" } = cause as NodeJS.ErrnoException;
      if (ABSENT.has(code)) return undefined;
      throw new TareError("system", `Cannot read the archive: ${reasonOf(cause)}`, { cause });
    }
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#pieces.values()) closeSync(fd);
    closeSync(this.#root);
  }
}

/** Such a name leads to no file: nothing there, a file on the way, a link. */
const ABSENT: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ELOOP"]);

/** The regular file at the end of the path; nothing but it stays open. */
function openPiece(root: number, path: readonly string[]): Piece | undefined {
  const opened: number[] = [];
  const open = (name: string, flags: number): number => {
    const fd = openSync(step(opened.at(-1) ?? root, name), constants.O_RDONLY | NO_LINK | flags);
    opened.push(fd);
    return fd;
  };
  try {
    for (const part of path.slice(0, -1)) open(part, constants.O_DIRECTORY);
    const fd = open(path.at(-1) ?? "", constants.O_NONBLOCK);
    const stat = fstatSync(fd);
    if (!stat.isFile()) return undefined;
    opened.pop();
    return { fd, offset: 0, size: stat.size };
  } finally {
    for (const fd of opened) closeSync(fd);
  }
}

const NO_LINK = constants.O_NOFOLLOW;

function step(directory: number, name: string): string {
  return `/proc/self/fd/${directory}/${name}`;
}

/**
 * Opens an archive, which may be a directory; one that is compressed or comes through a pipe is written out to `spool` first.
 * @throws TareError `not_found`, `corrupt`, `unsupported`
 */
export async function openArchive(source: ArchiveSource, spool: string): Promise<Archive> {
  const isDirectory =
    source !== "stdin" && statSync(source.path, { throwIfNoEntry: false })?.isDirectory() === true;
  if (isDirectory) return new DirectoryArchive(source.path);
  const fd = await openPlain(source, spool);
  try {
    return new TarArchive(fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** A descriptor of the plain bytes. */
async function openPlain(source: ArchiveSource, spool: string): Promise<number> {
  if (source === "stdin") return await spoolStream(openStandardInput(), undefined, spool);
  const fd = openRegular(source.path);
  const compression = detectCompression(readPiece({ fd, offset: 0, size: MAGIC_BYTES }));
  if (compression === "plain") return fd;
  closeSync(fd);
  return await spoolStream(Bun.file(source.path).stream(), compression, spool);
}

/** @throws TareError `bad_input` where it is a directory, which has no bytes */
export function openStandardInput(): ReadableStream<Uint8Array> {
  if (!fstatSync(0).isDirectory()) return Bun.stdin.stream();
  throw new TareError("bad_input", "Cannot read standard input: it is a directory");
}

/**
 * A descriptor of a regular file: another kind could block, or never end.
 * @throws TareError `not_found`, `bad_input`
 */
export function openRegular(path: string): number {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new TareError("not_found", `Cannot open "${path}": ${reasonOf(cause)}`, {
      cause,
    });
  }
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new TareError("bad_input", `Cannot read "${path}": it is no regular file`, {
    hint: `For a pipe, use standard input: < "${path}"`,
  });
}

async function spoolStream(
  stream: ReadableStream<Uint8Array>,
  known: Compression | undefined,
  spool: string,
): Promise<number> {
  const fd = openSync(spool, "wx+", 0o600);
  let written = 0;
  for await (const chunk of plainChunks(stream, known)) {
    writeWhole(fd, chunk);
    written += chunk.length;
    if (written > SPOOLED_BYTES_MAX) {
      throw new TareError("corrupt", "Cannot read the archive: it is larger than 1 TiB");
    }
  }
  return fd;
}

/** Without a known compression, the first bytes are looked at and put back. */
async function* plainChunks(
  stream: ReadableStream<Uint8Array>,
  known: Compression | undefined,
): AsyncGenerator<Uint8Array> {
  if (known !== undefined) {
    yield* decompress(stream, known);
    return;
  }
  const reader = stream.getReader();
  let head = new Uint8Array(0);
  while (head.length < MAGIC_BYTES) {
    const { value, done } = await reader.read();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  reader.releaseLock();
  yield* decompress(withHead(head, stream), detectCompression(head));
}

function withHead(
  head: Uint8Array,
  stream: ReadableStream<Uint8Array>,
): ReadableStream<Uint8Array> {
  const rest = stream.getReader();
  return new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(head),
    pull: async (controller) => {
      const { value, done } = await rest.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
}

/** The bytes of a piece, which the caller knows to be small; fewer where the file ends. */
export function readPiece(piece: Piece): Uint8Array {
  const bytes = new Uint8Array(piece.size);
  let at = 0;
  while (at < bytes.length) {
    const count = readSync(piece.fd, bytes, at, bytes.length - at, piece.offset + at);
    if (count === 0) break;
    at += count;
  }
  return bytes.subarray(0, at);
}

function fileSource(fd: number): { read(into: Uint8Array): number; skip(length: number): void } {
  let position = 0;
  return {
    read: (into) => {
      const count = readSync(fd, into, 0, into.length, position);
      position += count;
      return count;
    },
    skip: (length) => {
      position += length;
    },
  };
}

/** `./a//b/../c` is `a/c`; only a key. */
function normalise(name: string): string {
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
