/** The reader against GNU tar and Python's tarfile: what they write, it reads as they do. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeLatin1 } from "./bytes.ts";
import { TarReader } from "./tar.ts";
import type { TarEntry } from "./tar-entry.ts";

const root = mkdtempSync(join(tmpdir(), "tare-tar-"));
const tree = join(root, "tree");

beforeAll(() => {
  mkdirSync(join(tree, "deep/".repeat(40)), { recursive: true });
  writeFileSync(join(tree, "empty"), "");
  writeFileSync(join(tree, "text"), "content\n".repeat(1000), { mode: 0o4755 });
  writeFileSync(join(tree, "deep/".repeat(40), "n".repeat(200)), "far");
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/bad-`), Buffer.from([0xff, 0xfe])]), "bytes");
  symlinkSync("text", join(tree, "link"));
  symlinkSync("x/".repeat(150), join(tree, "long-link"));
  linkSync(join(tree, "text"), join(tree, "hard"));
  execFileSync("mkfifo", [join(tree, "fifo")]);
  const sparse = join(tree, "sparse");
  writeFileSync(sparse, "");
  truncateSync(sparse, 40 * 65536);
  const fd = openSync(sparse, "r+");
  for (let at = 0; at < 40; at += 2)
    writeSync(fd, Buffer.alloc(4096, 0x61 + at), 0, 4096, at * 65536);
  closeSync(fd);
  utimesSync(join(tree, "empty"), 1.25, -5);
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

type Seen = { readonly entry: TarEntry; readonly content: Uint8Array };

function readArchive(path: string): Map<string, Seen> {
  const fd = openSync(path, "r");
  const reader = new TarReader({ read: (into) => readSync(fd, into) });
  const seen = new Map<string, Seen>();
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    const content = new Uint8Array(entry.segments === undefined ? entry.size : 0);
    let at = 0;
    for (let piece = reader.chunk(); piece !== undefined; piece = reader.chunk()) {
      if (entry.segments === undefined) content.set(piece, at);
      at += piece.length;
    }
    seen.set(decodeLatin1(entry.path).replace(/\/$/, ""), { entry, content });
  }
  closeSync(fd);
  return seen;
}

function pack(name: string, ...options: string[]): string {
  const path = join(root, `${name}.tar`);
  execFileSync("tar", ["-C", root, "--sort=name", ...options, "-cf", path, "tree"]);
  return path;
}

/** What Python makes of the same archive: a list of names, kinds, sizes, times and links. */
function askPython(path: string): unknown {
  const script = `
import json, sys, tarfile
kinds = [("file", "isfile"), ("directory", "isdir"), ("symlink", "issym"), ("hardlink", "islnk"), ("fifo", "isfifo")]
with tarfile.open(sys.argv[1], encoding="latin-1") as tar:
    print(json.dumps([[m.name, next(k for k, f in kinds if getattr(m, f)()), m.size, m.mode, m.uid, m.linkname, int(m.mtime // 1)] for m in tar]))
`;
  return JSON.parse(execFileSync("python3", ["-c", script, path], { encoding: "utf8" }));
}

const formats: [name: string, options: string[]][] = [
  ["gnu", ["--format=gnu"]],
  ["gnu-sparse", ["--format=gnu", "--sparse"]],
  ["pax", ["--format=posix"]],
  ["pax-sparse-0.0", ["--format=posix", "--sparse", "--sparse-version=0.0"]],
  ["pax-sparse-0.1", ["--format=posix", "--sparse", "--sparse-version=0.1"]],
  ["pax-sparse-1.0", ["--format=posix", "--sparse", "--sparse-version=1.0"]],
];

describe("TarReader", () => {
  test.each(formats)("reads what GNU tar writes as %s", (name, options) => {
    const path = pack(name, ...options);
    const ours = [...readArchive(path).entries()].map(([key, { entry }]) => [
      key,
      entry.kind,
      entry.size,
      entry.mode,
      entry.uid,
      decodeLatin1(entry.link),
      entry.mtime,
    ]);
    expect(ours).toEqual(askPython(path) as typeof ours);
  });

  test.each(formats)("finds the content and the holes in %s", (name, options) => {
    const seen = readArchive(pack(name, ...options));
    expect(decodeLatin1(seen.get("tree/hard")?.content ?? new Uint8Array(0))).toBe(
      "content\n".repeat(1000),
    );
    const sparse = seen.get("tree/sparse")?.entry;
    expect(sparse?.size).toBe(40 * 65536);
    if (!options.includes("--sparse")) return;
    const data = (sparse?.segments ?? []).filter(({ length }) => length > 0);
    expect(data).toEqual(
      Array.from({ length: 20 }, (_, at) => ({ offset: at * 131072, length: 4096 })),
    );
  });

  test("reads a v7 and a ustar archive", () => {
    for (const format of ["v7", "ustar"]) {
      const path = join(root, `${format}.tar`);
      execFileSync("tar", ["-C", tree, `--format=${format}`, "-cf", path, "text", "link", "hard"]);
      expect([...readArchive(path).keys()]).toEqual(["text", "link", "hard"]);
    }
  });

  test("reads attributes as GNU tar writes them", () => {
    const file = join(tree, "empty");
    execFileSync("setfattr", ["-n", "user.x", "-v", "0x010a00ff", file]);
    const entry = readArchive(pack("xattr", "--format=posix", "--xattrs")).get("tree/empty")?.entry;
    const xattrs = entry?.xattrs.map((x) => [decodeLatin1(x.name), [...x.value]]);
    expect(xattrs).toEqual([["user.x", [1, 10, 0, 255]]]);
  });
});
