/** An archive in a directory: what it opens, keeps open, and says of what it cannot open. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openArchive, readPiece, wantPiece } from "./archive.ts";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tare-archive-"));
  mkdirSync(join(dir, "blobs/sha256"), { recursive: true });
  writeFileSync(join(dir, "blobs/sha256/a"), "content");
  symlinkSync("a", join(dir, "blobs/sha256/link"));
});
afterEach(() => rmSync(dir, { recursive: true }));

const openFiles = () => readdirSync("/proc/self/fd").length;

test("a file is opened once, and nothing else stays open", async () => {
  const before = openFiles();
  {
    using archive = await openArchive({ path: dir }, join(dir, "spool"));
    for (let turn = 0; turn < 100; turn++) {
      expect(Buffer.from(readPiece(wantPiece(archive, "blobs/sha256/a"))).toString()).toBe(
        "content",
      );
      expect(archive.find("blobs/sha256/none")).toBeUndefined();
      expect(archive.find("blobs/sha256/link")).toBeUndefined();
      expect(archive.find("blobs/sha256/a/below")).toBeUndefined();
      expect(archive.find("blobs")).toBeUndefined();
    }
    // The directory itself and the file.
    expect(openFiles()).toBe(before + 2);
  }
  expect(openFiles()).toBe(before);
});

test("what cannot be opened is not called missing", async () => {
  using archive = await openArchive({ path: dir }, join(dir, "spool"));
  expect(() => archive.find(`blobs/${"n".repeat(256)}`)).toThrow("ENAMETOOLONG");
});
