/** Archives that lie, lead elsewhere or are too large: `load` says one thing, and touches nothing. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { openEngine } from "../../packages/engine/src/engine.ts";
import { loadImages } from "../../packages/engine/src/image/load.ts";
import { faultsOf } from "../fuzz/judge.ts";
import { mutate, type Node } from "../fuzz/mutate.ts";
import { Random } from "../fuzz/random.ts";
import { describeTree } from "../harness/canary.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { REPO } from "../harness/places.ts";
import { run } from "../harness/run.ts";
import { openScene } from "../harness/scene.ts";
import { type Entry, tarball } from "../harness/tarball.ts";
import { openCli } from "./cli-scene.ts";

// On a busy machine a whole test takes seconds.
setDefaultTimeout(600_000);

const host = mkdtempSync(join(tmpdir(), "tare-canary-"));
beforeAll(() => {
  writeFileSync(join(host, "secret"), "the host's own");
  mkdirSync(join(host, "sha256"));
});
afterAll(() => rmSync(host, { recursive: true, force: true }));

const hex = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex");

const LAYER = tarball([
  { name: "etc/", type: "directory" },
  { name: "etc/passwd", data: "root:x:0:0::/:/bin/sh\n" },
]);

const CONFIG = {
  architecture: process.arch === "arm64" ? "arm64" : "amd64",
  os: "linux",
  created: "2024-05-06T07:08:09Z",
  config: { Cmd: ["sh"], Env: ["A=1"], Labels: { a: "b" } },
  rootfs: { type: "layers", diff_ids: [`sha256:${hex(LAYER)}`] },
  history: [{ created_by: "test" }],
};

const text = (value: unknown) => JSON.stringify(value);
const blob = (data: string | Uint8Array): Entry => ({ name: `blobs/sha256/${hex(data)}`, data });
const LAYOUT: Entry = { name: "oci-layout", data: text({ imageLayoutVersion: "1.0.0" }) };

function descriptor(mediaType: string, data: string | Uint8Array) {
  return { mediaType, digest: `sha256:${hex(data)}`, size: data.length };
}

const OCI = "application/vnd.oci.image";

function manifestOf(config: string, layer: Uint8Array = LAYER) {
  return {
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config: descriptor(`${OCI}.config.v1+json`, config),
    layers: [descriptor(`${OCI}.layer.v1.tar`, layer)],
  };
}

function indexOf(manifest: string) {
  const entry = descriptor(`${OCI}.manifest.v1+json`, manifest);
  const annotations = { "io.containerd.image.name": "example.test/hostile:1" };
  return { schemaVersion: 2, manifests: [{ ...entry, annotations }] };
}

/** The parts of a layout, any of which may be given as it shall be. */
type Parts = { config?: string; manifest?: string; index?: string; layer?: Uint8Array };

function layout(parts: Parts = {}): Entry[] {
  const { config = text(CONFIG), layer = LAYER } = parts;
  const manifest = parts.manifest ?? text(manifestOf(config, layer));
  const index = parts.index ?? text(indexOf(manifest));
  return [LAYOUT, blob(layer), blob(config), blob(manifest), { name: "index.json", data: index }];
}

const docker = (list: unknown): Entry[] => [
  { name: "manifest.json", data: text(list) },
  { name: "config.json", data: text(CONFIG) },
  { name: "layer.tar", data: LAYER },
];

const IMAGE = {
  Config: "config.json",
  RepoTags: ["example.test/hostile:1"],
  Layers: ["layer.tar"],
};

/** A chain of indexes that never comes to a manifest soon enough. */
function deepIndex(depth: number): Entry[] {
  const manifest = text(manifestOf(text(CONFIG)));
  const entries = layout({ manifest });
  let inner = text({ ...indexOf(manifest), mediaType: `${OCI}.index.v1+json` });
  for (let level = 0; level < depth; level++) {
    entries.push(blob(inner));
    const manifests = [descriptor(`${OCI}.index.v1+json`, inner)];
    inner = text({ schemaVersion: 2, mediaType: `${OCI}.index.v1+json`, manifests });
  }
  return [...entries.slice(0, 4), ...entries.slice(5), { name: "index.json", data: inner }];
}

const ARCHIVES: readonly (readonly [what: string, entries: Entry[], said: RegExp])[] = [
  ["a list that leads up", docker([{ ...IMAGE, Config: "../../etc/passwd" }]), /no path inside/],
  [
    "a list with an absolute name",
    docker([{ ...IMAGE, Layers: ["/etc/passwd"] }]),
    /no path inside/,
  ],
  ["a list of what is not there", docker([{ ...IMAGE, Layers: ["none"] }]), /lacks "none"/],
  ["a list with too few layers", docker([{ ...IMAGE, Layers: [] }]), /0 layers/],
  ["a name that is none", docker([{ ...IMAGE, RepoTags: ["../../x"] }]), /x/],
  [
    "a configuration that is a link out",
    [
      { name: "manifest.json", data: text([IMAGE]) },
      { name: "config.json", type: "symlink", link: `${host}/secret` },
      { name: "layer.tar", data: LAYER },
    ],
    /lacks/,
  ],
  [
    "a layer that is a hard link out",
    [
      ...docker([IMAGE]).slice(0, 2),
      { name: "layer.tar", type: "hardlink", link: `${host}/secret` },
    ],
    /lacks/,
  ],
  [
    "links in a circle",
    [
      ...docker([IMAGE]).slice(0, 2),
      { name: "layer.tar", type: "symlink", link: "other" },
      { name: "other", type: "symlink", link: "layer.tar" },
    ],
    /lacks/,
  ],
  [
    "a blob that comes twice, the second time another",
    [...layout(), { ...blob(text(CONFIG)), data: "x".repeat(text(CONFIG).length) }],
    /hashes to/,
  ],
  [
    "a document that is a manifest and an index",
    layout({ index: text({ ...indexOf(""), layers: [] }) }),
    /a manifest and an index/,
  ],
  [
    "a layer that is not what the configuration says",
    layout({ layer: tarball([{ name: "other", data: "x" }]) }),
    /hashes to/,
  ],
  [
    "a digest that is a path",
    layout({
      index: text(indexOf("")).replaceAll(/sha256:[0-9a-f]+/g, "sha256:../../../etc/passwd"),
    }),
    /no digest/,
  ],
  [
    "a size that is another",
    layout({
      index: text(indexOf(text(manifestOf(text(CONFIG))))).replace(/"size":\d+/, '"size":7'),
    }),
    /not 7/,
  ],
  ["indexes in indexes", deepIndex(12), /nothing for/],
  [
    "a layout of another version",
    [{ name: "oci-layout", data: '{"imageLayoutVersion":"9"}' }, ...layout().slice(1)],
    /imageLayoutVersion/,
  ],
  [
    "an index of five megabytes",
    layout({ index: `{"manifests":[]${" ".repeat(5_000_000)}}` }),
    /larger than 4 MiB/,
  ],
  [
    "JSON that is deep",
    layout({ index: "[".repeat(100_000) + "]".repeat(100_000) }),
    /want an object/,
  ],
  [
    "an index that says it is 2 GiB",
    [LAYOUT, { name: "index.json", size: 2 ** 31, data: "{}" }],
    /cut off|ends/,
  ],
  [
    "an artifact",
    layout({ manifest: text({ ...manifestOf("{}"), config: descriptor("application/x", "{}") }) }),
    /artifact/,
  ],
  ["nothing at all", [], /no manifest.json/],
];

test("each hostile archive gets one line; the store and the host stay as they were", async () => {
  const cli = await openCli();
  const before = describeTree(host);
  mustSucceed(await cli.tare(["images"]));
  const inventory = cli.inventory();
  for (const [what, entries, said] of ARCHIVES) {
    const file = join(cli.scene.dir, "hostile.tar");
    writeFileSync(file, tarball(entries));
    const ran = await cli.tare(["load", "-i", file]);
    const [line = "", ...more] = ran.stderr.trimEnd().split("\n");
    expect([what, ran.code, ran.stdout]).toEqual([what, 1, ""]);
    expect([what, line]).toEqual([what, expect.stringMatching(said)]);
    expect(more.filter((each) => !each.startsWith("  hint: "))).toEqual([]);
    expect([what, cli.inventory()]).toEqual([what, inventory]);
  }
  expect(describeTree(host)).toEqual(before);
});

test("the archive that the hostile ones are made of is taken", async () => {
  const cli = await openCli();
  for (const entries of [layout(), docker([IMAGE])]) {
    const file = join(cli.scene.dir, "good.tar");
    writeFileSync(file, tarball(entries));
    const ran = mustSucceed(await cli.tare(["load", "-i", file]));
    expect(ran.stdout).toBe("Loaded image: example.test/hostile:1\n");
  }
});

test("a layout in a directory is not followed out of it", async () => {
  const cli = await openCli();
  mustSucceed(await cli.tare(["images"]));
  const inventory = cli.inventory();
  const good = join(cli.scene.dir, "good");
  mkdirSync(good);
  writeFileSync(join(cli.scene.dir, "good.tar"), tarball(layout()));
  mustSucceed(await run(["tar", "-C", good, "-xf", join(cli.scene.dir, "good.tar")]));
  const spoil = [
    `ln -sf ${host}/secret index.json`,
    `rm -r blobs; ln -s ${host} blobs`,
    // These lead to what is a good image elsewhere: following them would load it.
    `ln -sf ${good}/index.json index.json`,
    `rm -r blobs; ln -s ${good}/blobs blobs`,
    `rm -r blobs; mkdir blobs; ln -s ${good}/blobs/sha256 blobs/sha256`,
    "rm index.json; mkfifo index.json",
    "ln -sf /dev/zero index.json",
    "truncate -s 2G index.json",
  ];
  for (const [index, script] of spoil.entries()) {
    const dir = join(cli.scene.dir, `spoilt-${index}`);
    cpSync(good, dir, { recursive: true });
    mustSucceed(await run(["sh", "-ec", script], { cwd: dir }));
    const ran = await cli.tare(["load", "-i", dir], { timeoutMs: 60_000 });
    expect([index, ran.code, ran.timedOut]).toEqual([index, 1, false]);
    expect(ran.stderr).not.toContain("the host's own");
    expect(cli.inventory()).toEqual(inventory);
  }
});

test("changed documents are loaded, or refused with one line, by the hundred", async () => {
  const scene = await openScene();
  const engine = openEngine({
    dataRoot: join(scene.dir, "data"),
    runRoot: join(scene.dir, "run"),
    helper: resolve(REPO, "dist/tare-helper"),
    init: resolve(REPO, "dist/tare-init"),
    rootless: false,
  });
  const file = join(scene.dir, "changed.tar");
  const found: string[] = [];
  let refused = 0;
  const CASES = 150;
  for (let seed = 1; seed <= CASES; seed++) {
    const random = new Random(seed);
    const config = text(CONFIG);
    const manifest = text(manifestOf(config));
    const change = (document: unknown) => mutate(document as Node, random).text;
    const parts = random.pick<Parts>([
      { config: change(CONFIG) },
      { manifest: change(manifestOf(config)) },
      { index: change(indexOf(manifest)) },
    ]);
    const list = random.chance(0.2)
      ? [{ name: "manifest.json", data: change([IMAGE]) }, ...docker([]).slice(1)]
      : layout(parts);
    writeFileSync(file, tarball(list));
    try {
      await loadImages(engine, { path: file });
    } catch (error) {
      refused++;
      found.push(...faultsOf(error, text(list)).map((fault) => `seed ${seed}: ${fault}`));
    }
  }
  engine.store.db.close();
  expect(found).toEqual([]);
  expect(refused).toBeGreaterThan(CASES / 10);
  expect(refused).toBeLessThan(CASES);
});
