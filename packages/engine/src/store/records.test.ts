import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Digest, digestHex } from "@tare/spec/digest.ts";
import { OCI_EMPTY, OCI_INDEX, OCI_MANIFEST } from "@tare/spec/media-type.ts";
import { parseReference } from "@tare/spec/reference.ts";
import { commitContent } from "../image/commit.ts";
import { digestOf } from "../image/digest.ts";
import { findImage } from "../image/lookup.ts";
import { pruneImages } from "../image/prune.ts";
import { removeImage } from "../image/remove.ts";
import {
  addSources,
  knownBlob,
  manifestsOf,
  readDocument,
  referencesOf,
  referrersOf,
  sourcesOf,
} from "./blobs.ts";
import { collectGarbage } from "./collect.ts";
import { NO_FILTER } from "./filter.ts";
import { Lease } from "./leases.ts";
import { bringImage, pullImage, StagedBlobs } from "./made-images.ts";
import { MIGRATIONS } from "./migrations.ts";
import { findName, namesOf, repoDigestsOf, setName } from "./names.ts";
import { blobPath, layerPath, openStore, Staging, type Store } from "./store.ts";

let root = "";
let store: Store;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tare-records-"));
  store = openStore(`${root}/data`);
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

test("a document of more than four megabytes is none, and is not read", async () => {
  const { index } = await pullImage(store, "r.example/a:1", "layer");
  // As sparse as it is, reading it would take a gigabyte.
  truncateSync(blobPath(store, index), 1024 ** 3);
  expect(() => readDocument(store, index)).toThrow("it has 1073741824 bytes");
});

const has = (digest: Digest) => existsSync(blobPath(store, digest));

/** A signature or the like of `subject`. */
async function attach(subject: Digest, names: readonly string[]): Promise<Digest> {
  using staging = new Staging(store);
  const blobs = new StagedBlobs(staging.path);
  const empty = { mediaType: OCI_EMPTY, digest: blobs.add("{}"), size: 2 };
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: "test/signature",
    config: empty,
    layers: [empty],
    subject: { mediaType: OCI_MANIFEST, digest: subject, size: 1 },
  });
  const digest = blobs.add(text);
  await commitContent(store, {
    blobs: blobs.files,
    documents: [{ digest, mediaType: OCI_MANIFEST, text }],
    names: names.map(parseReference),
    target: digest,
  });
  return digest;
}

describe("records of an image from a registry", () => {
  test("keep manifest and index as they came, with what they name", async () => {
    const { id, manifest, index } = await pullImage(store, "quay.io/x/a:1", "base");
    expect(digestOf(readDocument(store, index))).toBe(index);
    expect(knownBlob(store, manifest)).toMatchObject({ mediaType: OCI_MANIFEST, image: id });
    expect(knownBlob(store, index)).toMatchObject({ mediaType: OCI_INDEX, image: undefined });
    expect(referencesOf(store, index).map(({ child }) => child)).toEqual([
      digestOf("another platform"),
      manifest,
    ]);
    expect(referencesOf(store, manifest)).toEqual([
      { role: "config", position: 0, child: id },
      { role: "layer", position: 0, child: digestOf("blob base") },
    ]);
    expect(manifestsOf(store, id)).toEqual([manifest]);
    const layer = knownBlob(store, digestOf("blob base"));
    expect(layer).toMatchObject({ size: 9, diffId: digestOf("base") });
    expect(layer?.mediaType).toContain("layer");
  });

  test("know it by name, by the index's digest and by the manifest's", async () => {
    const { id, manifest, index } = await pullImage(store, "quay.io/x/a:1", "base");
    expect(findName(store, parseReference("quay.io/x/a:1"))).toMatchObject({
      target: index,
      image: id,
    });
    expect(repoDigestsOf(store, id)).toEqual([{ repository: "quay.io/x/a", digest: index }]);
    for (const word of [index, manifest]) {
      expect(findImage(store, `quay.io/x/a@${word}`).id).toBe(id);
    }
  });

  test("remember repositories that have a blob, until it goes", async () => {
    await pullImage(store, "quay.io/x/a:1", "base");
    const blob = digestOf("blob base");
    addSources(store, "docker.io/library/b", [blob, blob]);
    expect(sourcesOf(store, blob)).toEqual(["docker.io/library/b", "quay.io/x/a"]);
    removeImage(store, "quay.io/x/a:1");
    expect(sourcesOf(store, blob)).toEqual([]);
  });

  test("a name moves, and says when", async () => {
    const { id, index } = await pullImage(store, "a:1", "base");
    const other = await bringImage(store, "b:1", ["other"]);
    setName(store, parseReference("a:1"), { target: undefined, image: other });
    expect(namesOf(store, other).map(({ name }) => name)).toEqual([
      "docker.io/library/a:1",
      "docker.io/library/b:1",
    ]);
    expect(Date.parse(namesOf(store, other)[0]?.tagged ?? "")).toBeGreaterThan(0);
    expect([namesOf(store, id), has(index)]).toEqual([[], true]);
  });
});

describe("removing", () => {
  test("the last tag of a repository takes its digests along; an id wants one repository", async () => {
    const { id, index } = await pullImage(store, "quay.io/x/a:1", "base");
    setName(store, parseReference("quay.io/x/a:2"), { target: index, image: id });
    expect(removeImage(store, "quay.io/x/a:1").untagged).toEqual(["quay.io/x/a:1"]);
    setName(store, parseReference("b"), { target: undefined, image: id });
    expect(removeImage(store, "quay.io/x/a:2").untagged).toEqual([
      "quay.io/x/a:2",
      `quay.io/x/a@${index}`,
    ]);
    expect(removeImage(store, id)).toEqual({ untagged: ["b:latest"], deleted: [id] });
  });

  test("an id with names in two repositories wants force", async () => {
    const { id, index } = await pullImage(store, "quay.io/x/a:1", "base");
    setName(store, parseReference("b"), { target: index, image: id });
    expect(() => removeImage(store, id)).toThrow(
      /it has the names b:latest, quay.io\/x\/a:1, quay/,
    );
    expect(removeImage(store, id, { force: true }).deleted).toEqual([id]);
  });

  test("prune takes what has no tag, or all; labels and age choose", async () => {
    const { id, index } = await pullImage(store, "a", "base");
    const other = await bringImage(store, "b", ["other"]);
    setName(store, parseReference("a"), { target: undefined, image: other });
    const young = { labels: [], beforeMs: Date.parse("2025-01-01") };
    expect(pruneImages(store, true, young).deleted).toEqual([]);
    const pruned = pruneImages(store, false, NO_FILTER);
    expect(pruned).toMatchObject({
      untagged: [`a@${index}`],
      deleted: [id],
    });
    expect(pruned.bytes).toBeGreaterThan(100);
    const labelled = { ...NO_FILTER, labels: [{ key: "keep", value: undefined, wanted: true }] };
    expect(pruneImages(store, true, labelled).deleted).toEqual([]);
    expect(pruneImages(store, true, NO_FILTER).deleted).toEqual([other]);
    expect(pruneImages(store, true, NO_FILTER)).toEqual({ untagged: [], deleted: [], bytes: 0 });
  });

  test("a nameless parent goes with its last child, unless it is to stay", async () => {
    const parent = await bringImage(store, "parent", ["base"]);
    for (const name of ["one", "two", "three"]) {
      const id = await bringImage(store, name, ["base", name]);
      store.db.run("UPDATE images SET parent = ? WHERE id = ?", [parent, id]);
    }
    store.db.run("DELETE FROM names WHERE image = ?", [parent]);
    expect(removeImage(store, "one").deleted).toHaveLength(1);
    expect(removeImage(store, "two", { keepParents: true }).deleted).toHaveLength(1);
    expect(removeImage(store, "three").deleted).toContain(parent);
  });
});

describe("garbage collection", () => {
  test("takes all of an image that is removed", async () => {
    const { id, manifest, index } = await pullImage(store, "a", "base");
    removeImage(store, "a");
    expect([id, manifest, index, digestOf("blob base")].map(has)).toEqual(Array(4).fill(false));
    expect(store.db.query("SELECT * FROM blob_references").all()).toEqual([]);
    expect(store.db.query("SELECT * FROM repo_digests").all()).toEqual([]);
  });

  test("keeps what a document names that only a name holds, and who speaks of a kept one", async () => {
    const { manifest } = await pullImage(store, "a", "base");
    const referrer = await attach(manifest, []);
    const alone = await attach(digestOf("nowhere"), ["quay.io/x/sig:1"]);
    collectGarbage(store);
    expect([referrer, alone, digestOf("{}")].map(has)).toEqual([true, true, true]);
    expect(referrersOf(store, manifest).map(({ digest }) => digest)).toEqual([referrer]);
    expect(knownBlob(store, alone)?.artifactType).toBe("test/signature");
    removeImage(store, "a");
    expect([referrer, alone].map(has)).toEqual([false, true]);
  });

  test("leaves what a lease holds, and only while it does", async () => {
    await pullImage(store, "a", "base");
    const chain = digestOf("base");
    const blob = digestOf("blob base");
    const there = () => [existsSync(layerPath(store, chain)), has(blob)];
    {
      using lease = new Lease(store);
      lease.hold([chain, blob]);
      removeImage(store, "a");
      expect(there()).toEqual([true, true]);
    }
    collectGarbage(store);
    expect(there()).toEqual([false, false]);
  });

  test("takes what a dead process held", async () => {
    await pullImage(store, "a", "base");
    const blob = digestOf("blob base");
    store.db.run("INSERT INTO leases VALUES ('1-1-dead', ?)", [blob]);
    removeImage(store, "a");
    expect(has(blob)).toBeFalse();
    expect(store.db.query("SELECT * FROM leases").all()).toEqual([]);
  });

  test("killed between rows and files it leaves files, which the next one takes", async () => {
    await pullImage(store, "a", "base");
    store.db.run("DELETE FROM images");
    store.db.run("DELETE FROM layers");
    store.db.run("DELETE FROM blobs");
    expect(has(digestOf("blob base"))).toBeTrue();
    collectGarbage(store);
    expect(has(digestOf("blob base"))).toBeFalse();
  });
});

test("a store of the first version becomes one of this", () => {
  const old = `${root}/old`;
  mkdirSync(`${old}/blobs/sha256`, { recursive: true });
  for (const room of ["layers", "tmp", "containers", "volumes/stuff/data"]) {
    mkdirSync(`${old}/${room}`, { recursive: true });
  }
  const put = (text: string) => {
    const digest = digestOf(text);
    writeFileSync(`${old}/blobs/sha256/${digestHex(digest)}`, text);
    return digest;
  };
  const [config, blob] = [put("config"), put("layer")];
  const named = (digest: Digest) => ({ mediaType: "x/y", digest, size: 1 });
  const manifest = put(
    JSON.stringify({ schemaVersion: 2, config: named(config), layers: [named(blob)] }),
  );
  const db = new Database(`${old}/tare.db`, { create: true });
  for (const step of MIGRATIONS[0] ?? []) if (typeof step === "string") db.run(step);
  db.run("PRAGMA user_version = 1");
  db.run("INSERT INTO images VALUES (?, 'config', ?, 'then', 1, '', '')", [config, manifest]);
  db.run("INSERT INTO layers VALUES ('c', 'd', ?, 1)", [blob]);
  db.run("INSERT INTO image_layers VALUES (?, 0, 'c')", [config]);
  db.run("INSERT INTO names VALUES ('docker.io/library/a:1', ?)", [config]);
  db.close();

  const migrated = openStore(old);
  expect(findImage(migrated, "a:1").id).toBe(config);
  expect(findImage(migrated, `a@${manifest}`).id).toBe(config);
  expect(knownBlob(migrated, blob)).toMatchObject({ size: 5, diffId: "d" as Digest });
  expect(referencesOf(migrated, manifest)).toHaveLength(2);
  expect(migrated.db.query("SELECT name FROM volumes").all()).toEqual([{ name: "stuff" }]);
  collectGarbage(migrated);
  expect([config, blob, manifest].map((each) => existsSync(blobPath(migrated, each)))).toEqual([
    true,
    true,
    true,
  ]);
});
