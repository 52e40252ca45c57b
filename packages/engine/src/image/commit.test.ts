import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { recordDamage } from "../store/damage.ts";
import { layerPath, openStore, type Store } from "../store/store.ts";
import { commitImage, stagedBlob } from "./commit.ts";
import { digestOf } from "./digest.ts";

let root = "";
let store: Store;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tare-commit-"));
  store = openStore(join(root, "data"));
});
afterEach(() => rmSync(root, { recursive: true }));

const BLOB = digestOf(Buffer.from("blob"));
const LAYER = digestOf(Buffer.from("layer"));

/** An image of one layer, which holds one file; both are staged. */
async function bring(file: string): Promise<void> {
  const staging = join(root, `staging-${file}`);
  const path = join(staging, "layer");
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, file), "");
  const blob = stagedBlob(staging, BLOB);
  writeFileSync(blob, "blob");
  await commitImage(store, {
    ...{ id: digestOf(Buffer.from("{}")), config: "{}", created: "" },
    accounts: { passwd: "", group: "" },
    layers: [{ chainId: LAYER, diffId: LAYER, blob: BLOB, size: 4, path }],
    blobs: new Map([[BLOB, blob]]),
    names: [],
  });
}

const held = (): string[] => readdirSync(layerPath(store, LAYER));

test("of two that bring a layer at the same time the first's stays, which others may be reading", async () => {
  await bring("first");
  await bring("second");
  expect(held()).toEqual(["first"]);
});

test("a layer that is known to be damaged is exchanged, and so is one that is gone", async () => {
  await bring("first");
  recordDamage(store, new Set([LAYER]), { whole: false });
  await bring("second");
  expect(held()).toEqual(["second"]);
  rmSync(layerPath(store, LAYER), { recursive: true });
  await bring("third");
  expect([held(), existsSync(join(root, "staging-third/layer"))]).toEqual([["third"], false]);
});
