import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestHex } from "@tare/spec/digest.ts";
import { parseReference } from "@tare/spec/reference.ts";
import { bringImage, pullImage } from "../store/made-images.ts";
import { namesOf, setName } from "../store/names.ts";
import { openStore, type Store } from "../store/store.ts";
import { digestOf, shortDigest } from "./digest.ts";
import { findImage, hasImage, isImageId } from "./lookup.ts";
import { removeImage } from "./remove.ts";
import { tagImage } from "./tag.ts";

let root = "";
let store: Store;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tare-lookup-"));
  store = openStore(`${root}/data`);
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

test("an image is found by each way to write its id, and by the digests it came with", async () => {
  const { id, manifest, index } = await pullImage(store, "r.example/a:1", "layer");
  const hex = digestHex(id);
  for (const word of [
    id,
    hex,
    shortDigest(id),
    `sha256:${shortDigest(id)}`,
    `sha256:${hex.slice(0, 3)}`,
    manifest,
    index,
    "r.example/a:1",
    `r.example/a@${index}`,
    `r.example/a:1@${index}`,
    `r.example/a@${manifest}`,
  ]) {
    expect([word, findImage(store, word).id]).toEqual([word, id]);
  }
  for (const word of [
    digestOf("another"),
    `sha256:${hex}0`,
    "sha256:",
    "sha256:xyz",
    `r.example/b@${index}`,
    `r.example/a@${digestOf("another")}`,
    "r.example/a:2",
    "r.example/a",
  ]) {
    expect([word, hasImage(store, word)]).toEqual([word, false]);
  }
});

test("a digest of another repository removes nothing", async () => {
  const { id, index } = await pullImage(store, "r.example/a:1", "layer");
  expect(() => removeImage(store, `r.example/b@${index}`)).toThrow("not in the store");
  expect(namesOf(store, id)).toHaveLength(1);
  expect(removeImage(store, `sha256:${shortDigest(id)}`).deleted).toEqual([id]);
});

test("the start of two ids finds neither", async () => {
  const ids = [];
  // More images than there are first digits: two begin alike.
  for (let count = 0; count < 17; count++) {
    ids.push(await bringImage(store, `r.example/a:${count}`, ["layer"]));
  }
  const firsts = ids.map((id) => digestHex(id).slice(0, 1));
  const twice = firsts.find((first, at) => firsts.indexOf(first) < at) ?? "";
  for (const word of [twice, `sha256:${twice}`]) {
    expect(() => findImage(store, word)).toThrow("more than one id starts so");
  }
});

test("a name comes before an id, and none can look like one with its algorithm", async () => {
  const { id } = await pullImage(store, "r.example/a:1", "layer");
  const other = await bringImage(store, shortDigest(id), ["other"]);
  expect(findImage(store, shortDigest(id)).id).toBe(other);
  expect(findImage(store, `sha256:${shortDigest(id)}`).id).toBe(id);
  const name = parseReference(`sha256:${shortDigest(id)}`);
  expect(() => tagImage(store, other, name)).toThrow("it would stand for an image id");
  expect(() => setName(store, name, { image: other, target: undefined })).toThrow("image id");
});

test.each([
  ["sha256:abc", true],
  [`sha256:${"0".repeat(64)}`, true],
  ["0".repeat(64), true],
  ["abc", false],
  ["sha256:latest", false],
  ["sha512:abc", false],
  ["r.example/sha256:abc", false],
] as const)("%s can only be an id: %p", (word, only) => expect(isImageId(word)).toBe(only));
