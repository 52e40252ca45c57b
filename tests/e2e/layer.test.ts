/** Layers are taken in while they come, several at a time, and what fails leaves nothing. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type Engine, openEngine } from "../../packages/engine/src/engine.ts";
import { importImage } from "../../packages/engine/src/image/import.ts";
import { type LayerTask, takeInOrder, takeLayer } from "../../packages/engine/src/image/layer.ts";
import { digestHex, makeDigest } from "../../packages/spec/src/digest.ts";
import { REPO } from "../harness/places.ts";
import { openScene } from "../harness/scene.ts";
import { tarball } from "../harness/tarball.ts";

setDefaultTimeout(120_000);

const IMPORT = {
  name: undefined,
  changes: [],
  message: undefined,
  platform: undefined,
  created: "2026-01-01T00:00:00Z",
};

type World = { readonly engine: Engine; readonly dir: string };

async function openWorld(): Promise<World> {
  const scene = await openScene();
  const engine = openEngine({
    dataRoot: join(scene.dir, "data"),
    runRoot: join(scene.dir, "run"),
    helper: resolve(REPO, "dist/tare-helper"),
    init: resolve(REPO, "dist/tare-init"),
    rootless: false,
  });
  scene.defer(() => engine.store.db.close());
  const dir = join(scene.dir, "taken");
  mkdirSync(dir, { mode: 0o700 });
  return { engine, dir };
}

const sha256 = (bytes: Uint8Array) =>
  makeDigest("sha256", createHash("sha256").update(bytes).digest("hex"));

async function* pieces(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

function task(world: World, known: Partial<LayerTask> = {}): LayerTask {
  const [blob, root] = [join(world.dir, "blob"), join(world.dir, "root")];
  return { blob, root, lower: async () => [], ...known };
}

const PLAIN = tarball([
  { name: "d", type: "directory", mode: 0o750, uid: 7 },
  { name: "d/file", data: "x".repeat(5000) },
  { name: "d/link", type: "symlink", link: "file" },
]);

describe("a layer", () => {
  const forms: [name: string, bytes: Buffer][] = [
    ["plain", PLAIN],
    ["gzip", gzipSync(PLAIN)],
    [
      "two members of gzip",
      Buffer.concat([gzipSync(PLAIN.subarray(0, 700)), gzipSync(PLAIN.subarray(700))]),
    ],
    ["zstd", zstdCompressSync(PLAIN)],
    [
      "frames of zstd to be skipped",
      Buffer.concat([
        skippable(),
        zstdCompressSync(PLAIN.subarray(0, 700)),
        skippable(),
        zstdCompressSync(PLAIN.subarray(700)),
        skippable(),
      ]),
    ],
  ];
  test("is written, hashed and unpacked in one pass, whatever its pieces", async () => {
    for (const [name, bytes] of forms) {
      for (const size of [13, 511, 1_000_000]) {
        const world = await openWorld();
        const known = { digest: sha256(bytes), size: bytes.length, diffId: sha256(PLAIN) };
        const taken = await takeLayer(world.engine, pieces(bytes, size), task(world, known));
        expect([name, taken]).toEqual([
          name,
          { digest: known.digest, blobSize: bytes.length, diffId: known.diffId, size: 5000 },
        ]);
        expect(readFileSync(join(world.dir, "blob")).equals(bytes)).toBe(true);
        expect(readFileSync(join(world.dir, "root/d/link"), "utf8")).toBe("x".repeat(5000));
        expect(statSync(join(world.dir, "root/d")).uid).toBe(7);
      }
    }
  });

  const gz = gzipSync(PLAIN);
  const other = sha256(Buffer.from("other"));
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield gz.subarray(0, 100);
    throw new Error("the line is cut");
  }
  const aborted = new AbortController();
  async function* stuck(): AsyncGenerator<Uint8Array> {
    yield gz.subarray(0, 100);
    aborted.abort(new Error("enough"));
    await new Promise(() => {});
  }
  const failures: [
    what: string,
    source: () => AsyncIterable<Uint8Array>,
    known: Partial<LayerTask>,
    message: RegExp,
  ][] = [
    ["another digest", () => pieces(gz), { digest: other }, /Cannot use blob .*hashes to/],
    ["another diff id", () => pieces(gz), { diffId: other }, /Cannot use layer .*hashes to/],
    ["too many bytes", () => pieces(gz), { size: gz.length - 1 }, /it has more, not/],
    ["too few bytes", () => pieces(gz), { size: gz.length + 1 }, /it has \d+, not \d+ bytes/],
    ["a cut stream", () => pieces(gz.subarray(0, -9)), {}, /Cannot decompress the gzip stream/],
    [
      "a stream of another kind",
      () => pieces(Buffer.from("no tar at all".repeat(100))),
      {},
      /Cannot read the archive/,
    ],
    [
      "a name that leads out",
      () => pieces(tarball([{ name: "../x" }])),
      {},
      /Cannot unpack "..\/x"/,
    ],
    ["a source that fails", failing, {}, /^the line is cut$/],
    ["a source that hangs, and a signal", stuck, { signal: aborted.signal }, /^enough$/],
  ];
  test("that is not what was named, or is no layer, leaves nothing", async () => {
    for (const [what, source, known, message] of failures) {
      const world = await openWorld();
      const failure = await takeLayer(world.engine, source(), task(world, known)).catch(
        (error) => error,
      );
      expect([what, failure.message]).toEqual([what, expect.stringMatching(message)]);
      expect([what, readdirSync(world.dir)]).toEqual([what, []]);
    }
  });
});

describe("a tarball that is imported", () => {
  test("may be compressed with xz and bzip2; its layer then is plain", async () => {
    for (const words of [["xz"], ["bzip2"]]) {
      const { engine, dir } = await openWorld();
      const path = join(dir, "tarball");
      writeFileSync(path, piped(words, PLAIN));
      await importImage(engine, { path }, IMPORT);
      const blob = join(dir, `../data/blobs/sha256/${digestHex(sha256(PLAIN))}`);
      expect(readFileSync(blob).equals(PLAIN)).toBe(true);
    }
  });

  test("that is damaged in xz leaves nothing", async () => {
    const { engine, dir } = await openWorld();
    const path = join(dir, "tarball");
    writeFileSync(path, piped(["xz"], PLAIN).subarray(0, -9));
    await expect(importImage(engine, { path }, IMPORT)).rejects.toThrow("the xz stream");
    for (const room of ["tmp", "layers", "blobs/sha256"]) {
      expect(readdirSync(join(dir, "../data", room))).toEqual([]);
    }
  });
});

describe("layers of one image", () => {
  const below = tarball([
    { name: "mine", type: "directory", mode: 0o1770, uid: 5, gid: 6, mtime: 12345 },
    { name: "mine/old", data: "old", mode: 0o640, uid: 7 },
  ]);
  const above = tarball([
    { name: "mine/deep/new", data: "n" },
    { name: "linked", type: "hardlink", link: "mine/old" },
  ]);

  test("wait for those below only where they need them", async () => {
    const world = await openWorld();
    const order: string[] = [];
    const gate = Promise.withResolvers<void>();
    const take = (
      name: string,
      source: AsyncIterable<Uint8Array>,
      lower: () => Promise<string[]>,
    ) =>
      takeLayer(world.engine, source, { blob: undefined, root: join(world.dir, name), lower }).then(
        () => {
          order.push(name);
          return join(world.dir, name);
        },
      );
    async function* late(): AsyncGenerator<Uint8Array> {
      await gate.promise;
      yield below;
    }
    const bottom = take("bottom", late(), async () => []);
    const top = take("top", pieces(above), async () => [await bottom]);
    await take("independent", pieces(PLAIN), () => {
      throw new Error("nobody asks");
    });
    expect(order).toEqual(["independent"]);
    gate.resolve();
    await top;
    expect(order).toEqual(["independent", "bottom", "top"]);
    const mine = statSync(join(world.dir, "top/mine"));
    expect([mine.mode & 0o7777, mine.uid, mine.gid, mine.mtimeMs]).toEqual([
      0o1770, 5, 6, 12345000,
    ]);
    expect(statSync(join(world.dir, "top/mine/old")).ino).toBe(
      statSync(join(world.dir, "top/linked")).ino,
    );
    expect(readFileSync(join(world.dir, "top/linked"), "utf8")).toBe("old");
  });

  test("lend their looks to directories that are left out, the topmost that has them, if nobody deleted them", async () => {
    const world = await openWorld();
    const taken: string[] = [];
    const directory = (name: string, mode: number) =>
      ({ name, type: "directory", mode, uid: 5 }) as const;
    const layers = [
      [directory("a", 0o700), directory("a/b", 0o701), directory("a/b/c", 0o702)],
      [directory("gone", 0o703), directory("gone/in", 0o704), directory("a/b", 0o705)],
      [{ name: ".wh.gone" }],
      [{ name: "link", type: "symlink", link: "a" } as const],
      [{ name: "a/b/c/d/f" }, { name: "gone/in/f" }, { name: "link/b/f" }],
    ];
    for (const [index, entries] of layers.entries()) {
      const root = join(world.dir, `${index}`);
      const known = { root, blob: undefined, lower: async () => taken };
      await takeLayer(world.engine, pieces(tarball(entries)), task(world, known));
      taken.unshift(root);
    }
    const looks = ["a", "a/b", "a/b/c", "a/b/c/d", "gone", "gone/in", "link", "link/b"].map(
      (name) => {
        const { mode, uid } = statSync(join(world.dir, "4", name));
        return [name, (mode & 0o7777).toString(8), uid];
      },
    );
    expect(looks).toEqual([
      ["a", "700", 5],
      ["a/b", "705", 5],
      ["a/b/c", "702", 5],
      ["a/b/c/d", "755", 0],
      ["gone", "755", 0],
      ["gone/in", "755", 0],
      ["link", "755", 0],
      ["link/b", "755", 0],
    ]);
  });

  test("are taken so many at a time, and all stop when one fails", async () => {
    const world = await openWorld();
    let running = 0;
    let most = 0;
    const items = [..."abcdefgh"].map((name) => ({ name: name === "d" ? `../${name}` : name }));
    const all = takeInOrder(items, 2, async (entry, _below, signal) => {
      most = Math.max(most, ++running);
      const known = {
        root: join(world.dir, entry.name.replace("..", "")),
        blob: undefined,
        signal,
      };
      try {
        return await takeLayer(world.engine, pieces(tarball([entry])), task(world, known));
      } finally {
        running--;
      }
    });
    await expect(all).rejects.toThrow('Cannot unpack "../d"');
    expect([running, most]).toEqual([0, 2]);
    expect(existsSync(join(world.dir, "h"))).toBe(false);
  });
});

/** RFC 8878, 3.1.2. */
function skippable(): Buffer {
  return Buffer.concat([Buffer.from([0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0]), Buffer.from("abc")]);
}

function piped(words: string[], bytes: Uint8Array): Buffer {
  return Buffer.from(Bun.spawnSync(words, { stdin: bytes }).stdout);
}
