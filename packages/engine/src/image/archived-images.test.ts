/** How much of an archive is read for what it lists, and when: lists may name a document many times. */
import { afterAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Archive, Piece } from "./archive.ts";
import { archivedImages } from "./archived-images.ts";

const dir = mkdtempSync(join(tmpdir(), "tare-archived-"));
const fd = openSync(join(dir, "pieces"), "wx+");
let end = 0;
afterAll(() => {
  closeSync(fd);
  rmSync(dir, { recursive: true });
});

/** An archive that counts how often each name is looked up. */
class CountingArchive implements Archive {
  readonly asked = new Map<string, number>();
  readonly #pieces = new Map<string, Piece>();

  constructor(files: Readonly<Record<string, string>>) {
    for (const [name, text] of Object.entries(files)) {
      const size = writeSync(fd, text, end);
      this.#pieces.set(name, { fd, offset: end, size });
      end += size;
    }
  }

  find(name: string): Piece | undefined {
    this.asked.set(name, (this.asked.get(name) ?? 0) + 1);
    return this.#pieces.get(name);
  }

  [Symbol.dispose](): void {}
}

const OCI = "application/vnd.oci.image";
const hex = (text: string) => createHash("sha256").update(text).digest("hex");
const nameOf = (text: string) => `blobs/sha256/${hex(text)}`;

function descriptor(mediaType: string, text: string) {
  return { mediaType, digest: `sha256:${hex(text)}`, size: text.length };
}

const CONFIG = "{}";

/** Manifests that differ by a note alone, of one configuration. */
function manifestOf(note: string): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config: descriptor(`${OCI}.config.v1+json`, CONFIG),
    layers: [],
    annotations: { note },
  });
}

function layout(manifests: readonly string[]): CountingArchive {
  const entries = manifests.map((text, index) => ({
    ...descriptor(`${OCI}.manifest.v1+json`, text),
    annotations: { "org.opencontainers.image.ref.name": `example.test/a:${index}` },
  }));
  return new CountingArchive({
    ...Object.fromEntries(manifests.map((text) => [nameOf(text), text])),
    [nameOf(CONFIG)]: CONFIG,
    "oci-layout": '{"imageLayoutVersion":"1.0.0"}',
    "index.json": JSON.stringify({ schemaVersion: 2, manifests: entries }),
  });
}

function dockerList(images: readonly object[]): CountingArchive {
  return new CountingArchive({ "config.json": CONFIG, "manifest.json": JSON.stringify(images) });
}

test("a layout that names an image often has it once, with all names", () => {
  const archive = layout(Array(1000).fill(manifestOf("")));
  const [image, ...others] = archivedImages(archive, undefined);
  expect(image?.names.length).toBe(1000);
  expect(others).toEqual([]);
  expect(archive.asked.get(nameOf(CONFIG))).toBe(1);
});

test("of a layout, one image is read at a time", () => {
  const archive = layout([manifestOf("a"), manifestOf("b"), manifestOf("c")]);
  const images = archivedImages(archive, undefined);
  for (const turn of [1, 2, 3]) {
    expect(images.next().done).toBe(false);
    expect(archive.asked.get(nameOf(CONFIG))).toBe(turn);
  }
  expect(images.next().done).toBe(true);
});

test("docker's list, too: once each, and one at a time", () => {
  const image = { Config: "config.json", RepoTags: ["example.test/a:1"], Layers: [] };
  const more = { ...image, RepoTags: ["example.test/a:2"] };
  const archive = dockerList([image, more, { ...image, Config: "none" }]);
  const images = archivedImages(archive, undefined);
  expect(images.next().value?.names.length).toBe(2);
  expect(archive.asked.get("config.json")).toBe(1);
  expect(archive.asked.has("none")).toBe(false);
  expect(() => images.next()).toThrow('lacks "none"');
});

test("no list may name more than 10000", () => {
  const lists = [
    layout(Array(10_001).fill(manifestOf(""))),
    dockerList(Array(10_001).fill({ Config: "config.json", RepoTags: null, Layers: [] })),
  ];
  for (const archive of lists) {
    expect(() => archivedImages(archive, undefined).next()).toThrow("more than 10000 images");
  }
});
