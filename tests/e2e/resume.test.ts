/** A download that is cut off goes on in a later command, which believes none of what it finds. */
import { expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { MadeServer, type Seen } from "../../packages/engine/src/registry/made-server.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { until } from "../harness/run.ts";
import { type Manifest, Served } from "../harness/served-image.ts";
import { type Cli, openCli } from "./cli-scene.ts";

setDefaultTimeout(180_000);

const LAYER_BYTES = 6 * 1024 * 1024;
const CUT_BYTES = 4 * 1024 * 1024;

type World = {
  readonly cli: Cli;
  readonly name: string;
  /** The layer's digest, in hexadecimal digits. */
  readonly hex: string;
  /** Requests for the layer. */
  readonly asked: Seen[];
  /** What is sent of the layer; then nothing more comes until `cut` cuts the connection. */
  limit: { readonly at: number; readonly cut: Promise<void> } | undefined;
  readonly tare: (...words: string[]) => ReturnType<Cli["tare"]>;
  readonly partial: string;
};

/** A registry that sends as much of a layer as the test wants. */
async function openWorld(): Promise<World> {
  const cli = await openCli();
  const served = new Served();
  const lines = Array.from({ length: LAYER_BYTES / 8 }, (_, at) => `${at}\n`.padStart(8, "0"));
  const image = served.image([[{ name: "file", data: lines.join("") }]]);
  served.tag("1", image);
  const manifest = JSON.parse(String(served.content.get(image.digest)?.bytes)) as Manifest;
  const digest = manifest.layers[0]?.digest ?? "";
  const bytes = served.content.get(digest)?.bytes ?? Buffer.alloc(0);
  const asked: Seen[] = [];
  const other = served.handler();
  const server = await MadeServer.start((seen) => {
    if (!seen.path.endsWith(`/blobs/${digest}`)) return other(seen);
    asked.push(seen);
    const from = Number(/^bytes=(\d+)-$/.exec(seen.headers.get("range") ?? "")?.[1] ?? 0);
    const range = { "Content-Range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
    const { limit } = world;
    const rest = bytes.subarray(from);
    return {
      ...(from > 0 ? { status: 206, headers: range } : {}),
      body: rest,
      ...(limit === undefined ? {} : { cutAt: limit.at - from, cutWhen: limit.cut }),
    };
  });
  cli.scene.defer(() => server[Symbol.asyncDispose]());
  const settings = join(cli.scene.dir, "registries.toml");
  writeFileSync(settings, "[transfer]\nretries = 0\n");
  const hex = digest.slice("sha256:".length);
  const world: World = {
    ...{ cli, asked, hex, limit: undefined, name: `${server.host}/a/b:1` },
    tare: (...words) => cli.tare(["--registries", settings, ...words]),
    partial: join(cli.dataRoot, "tmp/partial", hex),
  };
  return world;
}

async function expectPulled({ cli, tare, name }: World): Promise<void> {
  mustSucceed(await tare("pull", name));
  const { code, stdout } = await tare("system", "check");
  expect([code, stdout]).toEqual([0, ""]);
  expect(readdirSync(join(cli.dataRoot, "tmp"))).toEqual([]);
}

/** Waits until some megabytes of the layer are on the disk. */
async function megabytes({ cli, hex }: World): Promise<void> {
  const tmp = join(cli.dataRoot, "tmp");
  const sizes = () => {
    const names = existsSync(tmp) ? (readdirSync(tmp, { recursive: true }) as string[]) : [];
    const files = names.filter((path) => path.endsWith(hex)).map((path) => join(tmp, path));
    return files.map((path) => statSync(path, { throwIfNoEntry: false })?.size ?? 0);
  };
  await until(
    () => sizes().some((size) => size > 2 * 1024 * 1024),
    60_000,
    () => "some megabytes",
  );
}

/** A pull that fails after some megabytes. */
async function cutOff(world: World): Promise<void> {
  const { promise: cut, resolve } = Promise.withResolvers<void>();
  world.limit = { at: CUT_BYTES, cut };
  const pulling = world.tare("pull", world.name);
  await megabytes(world);
  resolve();
  expect((await pulling).code).toBe(1);
  world.limit = undefined;
}

test("a pull that is cut off leaves its beginning, and the next one asks for the rest alone", async () => {
  const world = await openWorld();
  await cutOff(world);
  const kept = statSync(world.partial).size;
  expect(kept).toBeGreaterThan(1024 * 1024);
  expect(kept).toBeLessThanOrEqual(CUT_BYTES);
  const { code, stdout } = await world.tare("system", "check");
  expect([code, stdout, existsSync(world.partial)]).toEqual([0, "", true]);
  await expectPulled(world);
  expect(world.asked.map(({ headers }) => headers.get("range"))).toEqual([
    undefined,
    `bytes=${kept}-`,
  ]);
});

test("a beginning with other bytes is thrown away, and all is fetched", async () => {
  const world = await openWorld();
  await cutOff(world);
  const bytes = readFileSync(world.partial);
  bytes[100_000] = (bytes[100_000] ?? 0) ^ 1;
  writeFileSync(world.partial, bytes);
  await expectPulled(world);
  expect(world.asked.map(({ headers }) => headers.has("range"))).toEqual([false, true, false]);
});

test("one that is longer than the whole is not used", async () => {
  const world = await openWorld();
  await cutOff(world);
  writeFileSync(world.partial, Buffer.alloc(LAYER_BYTES * 2, "x"));
  await expectPulled(world);
  expect(world.asked.map(({ headers }) => headers.has("range"))).toEqual([false, false]);
});

test.each(["SIGKILL", "SIGINT"] as const)("one that %s ends leaves it, too", async (signal) => {
  const world = await openWorld();
  const { cli, name } = world;
  world.limit = { at: CUT_BYTES, cut: new Promise<void>(() => {}) };
  const child = Bun.spawn(cli.command("pull", name), { stdio: ["ignore", "ignore", "ignore"] });
  await megabytes(world);
  child.kill(signal);
  await child.exited;
  world.limit = undefined;
  await expectPulled(world);
  expect(world.asked.map(({ headers }) => headers.has("range"))).toEqual([false, true]);
});

test("beginnings go after a day, and with a prune", async () => {
  const world = await openWorld();
  const { cli, tare, partial } = world;
  await cutOff(world);
  const yesterday = new Date(Date.now() - 25 * 3600 * 1000);
  utimesSync(partial, yesterday, yesterday);
  mustSucceed(await tare("system", "check"));
  expect(existsSync(partial)).toBe(false);
  await cutOff(world);
  expect(existsSync(partial)).toBe(true);
  mustSucceed(await tare("image", "prune", "-f", "--filter", "until=1h"));
  expect(existsSync(partial)).toBe(true);
  const pruned = mustSucceed(await tare("image", "prune", "-f"));
  expect(pruned.stdout).toMatch(/reclaimed space: [1-9]/);
  expect(readdirSync(join(cli.dataRoot, "tmp"))).toEqual([]);
});
