import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Digest } from "@tare/spec/digest.ts";
import { OCI_EMPTY, OCI_INDEX, OCI_MANIFEST } from "@tare/spec/media-type.ts";
import { type Engine, openEngine } from "../engine.ts";
import type { StagedDocument } from "../store/blob-rows.ts";
import { collectGarbage } from "../store/collect.ts";
import { Lease } from "../store/leases.ts";
import { StagedBlobs } from "../store/made-images.ts";
import { blobPath, Staging } from "../store/store.ts";
import { commitContent } from "./commit.ts";
import { planPush } from "./push-plan.ts";

setDefaultTimeout(120_000);

let root = "";
let engine: Engine;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tare-push-plan-"));
  const programs = { helper: "/nonexistent", init: "/nonexistent" };
  engine = openEngine({ ...programs, dataRoot: `${root}/data`, runRoot: root, rootless: false });
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

const has = (digest: Digest) => existsSync(blobPath(engine.store, digest));

type Named = { readonly mediaType: string; readonly digest: Digest; readonly size: number };

/** Documents in the store, without a name. */
async function keep(make: (add: (mediaType: string, fields: object) => Named) => Named) {
  using staging = new Staging(engine.store);
  const blobs = new StagedBlobs(staging.path);
  const documents: StagedDocument[] = [];
  const empty = { mediaType: OCI_EMPTY, digest: blobs.add("{}"), size: 2 };
  const top = make((mediaType, fields) => {
    const own = mediaType === OCI_MANIFEST ? { config: empty, layers: [empty] } : {};
    const text = JSON.stringify({ schemaVersion: 2, mediaType, ...own, ...fields });
    const digest = blobs.add(text);
    documents.push({ digest, mediaType, text });
    return { mediaType, digest, size: text.length };
  });
  await commitContent(engine.store, { blobs: blobs.files, documents, names: [] });
  return top.digest;
}

function plan(target: Digest, lease: Lease, signal = new AbortController().signal) {
  return planPush(engine, { target, image: undefined }, lease, signal);
}

/** Each index names the one below it so many times. */
const nested = (times: number, depth: number) =>
  keep((add) => {
    let below = add(OCI_MANIFEST, {});
    for (let at = 0; at < depth; at++) {
      below = add(OCI_INDEX, { manifests: Array(times).fill(below) });
    }
    return below;
  });

test("a document that is named often is read and sent once", async () => {
  using lease = new Lease(engine.store);
  const { documents, blobs } = await plan(await nested(2000, 3), lease);
  expect(documents.map(({ mediaType }) => mediaType)).toEqual([
    OCI_MANIFEST,
    ...Array(3).fill(OCI_INDEX),
  ]);
  expect(blobs).toHaveLength(1);
});

test("there is a limit to the documents of a push", async () => {
  const target = await keep((add) =>
    add(OCI_INDEX, {
      manifests: Array.from({ length: 500 }, (_, n) =>
        add(OCI_MANIFEST, { annotations: { n: `${n}` } }),
      ),
    }),
  );
  using lease = new Lease(engine.store);
  await expect(plan(target, lease)).rejects.toThrow("more than 500 manifests");
});

test("indexes that are nested too deeply are not pushed", async () => {
  using lease = new Lease(engine.store);
  await expect(plan(await nested(1, 5), lease)).rejects.toThrow("not in the store");
});

test("a signal is heard between two documents", async () => {
  const target = await nested(2, 3);
  using lease = new Lease(engine.store);
  const stop = new AbortController();
  setImmediate(() => stop.abort(new Error("enough")));
  await expect(plan(target, lease, stop.signal)).rejects.toThrow("enough");
});

test("what a plan has found stays until its lease ends", async () => {
  const target = await nested(1, 2);
  {
    using lease = new Lease(engine.store);
    const { documents, blobs } = await plan(target, lease);
    collectGarbage(engine.store);
    const found = [...documents, ...blobs].filter(({ digest }) => has(digest));
    expect(found).toHaveLength(4);
  }
  collectGarbage(engine.store);
  expect(has(target)).toBe(false);
});
