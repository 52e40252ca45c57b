import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ContainerRecord, confirmUse, insertContainer } from "../container/records.ts";
import { digestOf } from "../image/digest.ts";
import { filterImages } from "../image/filter.ts";
import { listImages } from "../image/list.ts";
import { findImage } from "../image/lookup.ts";
import { pruneImages } from "../image/prune.ts";
import { removeImage } from "../image/remove.ts";
import { recordFaults } from "../system/check-records.ts";
import { collectGarbage } from "./collect.ts";
import { NO_FILTER } from "./filter.ts";
import { bringImage } from "./made-images.ts";
import { isAlive, ownTag, startOf } from "./owner.ts";
import { blobPath, layerPath, openStore, Staging, type Store, sweepStaging } from "./store.ts";

let root = "";
let store: Store;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tare-store-"));
  store = openStore(`${root}/data`);
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

const bring = (name: string, ...layers: string[]) => bringImage(store, name, layers);

const layer = (text: string) => layerPath(store, digestOf(text));
const blob = (text: string) => blobPath(store, digestOf(text));

describe("the store", () => {
  test("lets nobody but root beyond the first level", () => {
    const mode = (path: string) => (statSync(`${root}/data/${path}`).mode & 0o777).toString(8);
    expect(["", "layers", "blobs", "tmp", "containers", "volumes", "tare.db"].map(mode)).toEqual([
      "711",
      "700",
      "700",
      "700",
      "711",
      "711",
      "600",
    ]);
  });

  test.each(["data", "/a:b", "/a,b"])("refuses the root %j", (path) => {
    expect(() => openStore(path)).toThrow(/want an absolute path/);
  });

  test("makes no store in a directory that holds other things, and leaves that as it is", () => {
    const other = `${root}/other`;
    mkdirSync(`${other}/home`, { recursive: true, mode: 0o755 });
    const before = statSync(other).mode;
    expect(() => openStore(other)).toThrow(/it is not tare's, it has "home" in it/);
    expect([statSync(other).mode, existsSync(`${other}/layers`)]).toEqual([before, false]);
  });

  test("goes on making a store where it was killed", () => {
    mkdirSync(`${root}/half/blobs`, { recursive: true });
    openStore(`${root}/half`);
    expect(existsSync(`${root}/half/tare.db`)).toBeTrue();
  });

  test("goes on where another command has just made the database", () => {
    mkdirSync(`${root}/beside`);
    writeFileSync(`${root}/beside/tare.db-journal`, "");
    openStore(`${root}/beside`);
    expect(existsSync(`${root}/beside/layers`)).toBeTrue();
  });

  test("refuses a database of the future", () => {
    store.db.run("PRAGMA user_version = 99");
    const again = openStore(`${root}/data`);
    expect(() => again.db).toThrow(/newer tare/);
  });

  test("opens again what it made", () => {
    store.db.run("INSERT INTO layers (chain_id, diff_id, blob, size) VALUES ('c', 'd', 'b', 1)");
    const rows = openStore(`${root}/data`).db.query("SELECT * FROM layers").all();
    expect(rows).toHaveLength(1);
  });

  test("sweeps what dead processes were making, and only that", () => {
    const alive = new Staging(store);
    mkdirSync(`${root}/data/tmp/1-1-dead/deep`, { recursive: true });
    mkdirSync(`${root}/data/tmp/nonsense`);
    sweepStaging(store);
    expect(existsSync(alive.path)).toBeTrue();
    expect(existsSync(`${root}/data/tmp/1-1-dead`)).toBeFalse();
    expect(existsSync(`${root}/data/tmp/nonsense`)).toBeTrue();
  });

  test("knows a process from another with the same number", () => {
    expect(isAlive(ownTag())).toBeTrue();
    expect(isAlive(`${process.pid}-1`)).toBeFalse();
    expect(isAlive(`${process.pid}`)).toBeFalse();
    expect(isAlive("../self-1")).toBeFalse();
  });

  test.each(["Z", "X"])(
    "a process in state %s, which only waits for its parent, owns nothing",
    (state) => {
      const stat = (letter: string) => `7 (a) b) ${letter} ${"0 ".repeat(18)}4711 0`;
      expect(startOf(stat("S"))).toBe("4711");
      expect(startOf(stat(state))).toBeUndefined();
    },
  );

  test("collecting takes no file whose name is none of ours", () => {
    const strangers = ["layers/foo", "layers/ABC", "blobs/sha256/junk"].map(
      (path) => `${root}/data/${path}`,
    );
    for (const path of strangers) mkdirSync(path);
    collectGarbage(store);
    expect(strangers.map((path) => existsSync(path))).toEqual([true, true, true]);
  });
});

describe("images", () => {
  test("two share a layer; it goes with the last of them", async () => {
    await bring("a", "base", "only-a");
    await bring("b", "base");
    removeImage(store, "a");
    expect([existsSync(layer("base")), existsSync(layer("only-a"))]).toEqual([true, false]);
    expect([existsSync(blob("blob base")), existsSync(blob("blob only-a"))]).toEqual([true, false]);
    removeImage(store, "b");
    expect(existsSync(layer("base"))).toBeFalse();
    expect(listImages(store, undefined)).toEqual([]);
  });

  test("a name is taken away before the image is", async () => {
    const id = await bring("a:1", "base");
    store.db.run(
      "INSERT INTO names (name, image, tagged) VALUES ('docker.io/library/a:2', ?, '')",
      [id],
    );
    expect(() => removeImage(store, id)).toThrow(/it has the names a:1, a:2/);
    expect(removeImage(store, "a:1")).toEqual({ untagged: ["a:1"], deleted: [] });
    expect(existsSync(layer("base"))).toBeTrue();
    expect(removeImage(store, id)).toEqual({ untagged: ["a:2"], deleted: [id] });
  });

  test("an image in use stays", async () => {
    const id = await bring("a", "base");
    insertContainer(store, {
      id: "f".repeat(64),
      name: "web",
      image: id,
      imageName: "a",
      command: ["x"],
      owner: ownTag(),
      runtime: "/bin/false",
      removes: false,
      volumes: [],
      mountedImages: [],
    });
    expect(() => removeImage(store, "a")).toThrow(/container web uses it/);
    expect(() => removeImage(store, id, { force: true })).toThrow(/container web uses it/);
    expect(pruneImages(store, true, NO_FILTER).deleted).toEqual([]);
    expect(removeImage(store, "a", { force: true })).toEqual({
      untagged: ["a:latest"],
      deleted: [],
    });
    expect(findImage(store, id).id).toBe(id);
    expect(existsSync(layer("base"))).toBeTrue();
  });

  test("an image that is mounted in a container stays", async () => {
    const [own, mounted] = [await bring("own", "base"), await bring("mounted", "only-a")];
    const record: ContainerRecord = {
      id: "f".repeat(64),
      name: "web",
      image: own,
      imageName: "own",
      command: ["x"],
      owner: ownTag(),
      runtime: "/bin/false",
      removes: false,
      volumes: [],
      mountedImages: [mounted, mounted],
    };
    insertContainer(store, record);
    expect(() => removeImage(store, "mounted")).toThrow(/container web uses it/);
    expect(pruneImages(store, true, NO_FILTER).deleted).toEqual([]);
    expect(removeImage(store, "mounted", { force: true }).deleted).toEqual([]);
    expect(existsSync(layer("only-a"))).toBeTrue();
    store.db.run("DELETE FROM containers");
    expect(removeImage(store, mounted).deleted).toEqual([mounted]);
    expect(() => confirmUse(store, record)).toThrow(/was removed/);
    expect(() => insertContainer(store, record)).toThrow(/was removed/);
  });

  test("one whose configuration cannot be read stops nothing, and check repairs it", async () => {
    // The configurations of these images name no layers.
    const id = await bring("a", "base");
    const any = { dangling: undefined, before: undefined, since: undefined, references: [] };
    const label = { key: "a", value: undefined, wanted: true };
    const filter = { ...any, ...NO_FILTER, labels: [label] };
    expect(filterImages(store, listImages(store, undefined), filter)).toEqual([]);
    const fault = recordFaults(store).find(({ message }) => message.includes(id));
    expect(fault?.message).toMatch(/cannot be read/);
    await fault?.repair?.();
    expect(listImages(store, undefined)).toEqual([]);
  });

  test("a container that only has its directory counts as a user too", async () => {
    const id = await bring("a", "base");
    const path = `${root}/data/containers/${"e".repeat(64)}`;
    mkdirSync(path);
    const file = { owner: ownTag(), runtime: "/bin/false", image: id };
    writeFileSync(`${path}/owner.json`, JSON.stringify(file));
    expect(() => removeImage(store, "a")).toThrow(/container eeeeeeeeeeee uses it/);
    const mounting = { ...file, image: undefined, mountedImages: [id] };
    writeFileSync(`${path}/owner.json`, JSON.stringify(mounting));
    expect(() => removeImage(store, "a")).toThrow(/container eeeeeeeeeeee uses it/);
    writeFileSync(`${path}/owner.json`, JSON.stringify({ ...file, owner: "1-1" }));
    expect(removeImage(store, "a").deleted).toEqual([id]);
  });

  test("are found by name, by id, by the start of an id", async () => {
    const id = await bring("quay.io/x/a:1", "base");
    for (const word of ["quay.io/x/a:1", id, id.slice(7), id.slice(7, 15)]) {
      expect(findImage(store, word).id).toBe(id);
    }
    for (const word of ["a:1", "quay.io/x/a", "abcdef000000"]) {
      expect(() => findImage(store, word)).toThrow(/it is not in the store/);
    }
    expect(() => findImage(store, "NOT A NAME")).toThrow(/NOT A NAME/);
  });

  test("a crash between the files and the rows leaves nothing that stays", async () => {
    mkdirSync(layer("base"));
    writeFileSync(`${layer("base")}/half`, "");
    writeFileSync(blob("blob base"), "blob base");
    collectGarbage(store);
    expect([existsSync(layer("base")), existsSync(blob("blob base"))]).toEqual([false, false]);
    mkdirSync(layer("base"));
    writeFileSync(`${layer("base")}/half`, "");
    await bring("a", "base");
    expect(existsSync(`${layer("base")}/half`)).toBeFalse();
    expect(existsSync(`${layer("base")}/file`)).toBeTrue();
  });

  test("a failed commit changes no row", async () => {
    await bring("a", "base");
    const broken = new Database(`${root}/data/tare.db`);
    broken.run("CREATE TRIGGER no BEFORE INSERT ON names BEGIN SELECT RAISE(ABORT, 'no'); END");
    broken.close();
    await expect(bring("b", "other")).rejects.toThrow(/no/);
    expect(listImages(store, undefined).map(({ repository }) => repository)).toEqual(["a"]);
    collectGarbage(store);
    expect(existsSync(layer("other"))).toBeFalse();
  });

  test("list by repository and by tag", async () => {
    await bring("a:1", "x");
    await bring("a:2", "y");
    await bring("b:1", "z");
    const names = (filter?: string) =>
      listImages(store, filter).map(({ repository, tag }) => `${repository}:${tag}`);
    expect(names()).toEqual(["a:1", "a:2", "b:1"]);
    expect(names("a")).toEqual(["a:1", "a:2"]);
    expect(names("a:2")).toEqual(["a:2"]);
    expect(names("nothing")).toEqual([]);
  });
});
