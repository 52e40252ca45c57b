/** What `system check` finds damaged, the next `pull` or `load` of the image brings again. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { mustSucceed } from "../harness/fixtures.ts";
import { IMAGE_NAME, IMAGE_TAG, images } from "../harness/images.ts";
import { skopeoCopy, startRegistry } from "../harness/registry.ts";
import { type Cli, openCli } from "./cli-scene.ts";

setDefaultTimeout(180_000);

const HELLO = "hello from the image\n1000\n/home/test\n";

/** A store with the fixture image out of a registry. */
async function openPulled(): Promise<{ cli: Cli; name: string }> {
  const cli = await openCli();
  const { host } = await startRegistry(cli.scene);
  const name = `${host}/test/busybox:1.0`;
  await skopeoCopy(`oci:${(await images()).ociLayout}:${IMAGE_TAG}`, `docker://${name}`);
  mustSucceed(await cli.tare(["pull", name]));
  return { cli, name };
}

/** Blobs, the largest first: the lower layer's. */
function blobs(cli: Cli): string[] {
  const room = join(cli.dataRoot, "blobs/sha256");
  const paths = readdirSync(room).map((name) => join(room, name));
  return paths.sort((a, b) => statSync(b).size - statSync(a).size);
}

/** The unpacked layer that has a file. */
function layerWith(cli: Cli, file: string): string {
  const room = join(cli.dataRoot, "layers");
  const found = readdirSync(room).find((name) => existsSync(join(room, name, file)));
  if (found === undefined) throw new Error(`No layer has ${file}`);
  return join(room, found);
}

function flipByte(path: string): void {
  const bytes = readFileSync(path);
  bytes[100] = (bytes[100] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

async function expectClean(cli: Cli): Promise<void> {
  const { code, stdout, stderr } = await cli.tare(["system", "check"]);
  expect([code, stdout, stderr]).toEqual([0, "", ""]);
}

const DAMAGES: readonly [name: string, spoil: (cli: Cli) => void][] = [
  ["a blob with a changed byte", (cli) => flipByte(blobs(cli)[0] ?? "")],
  ["a blob that is gone", (cli) => rmSync(blobs(cli)[0] ?? "")],
  [
    "a changed file of an unpacked layer",
    (cli) => writeFileSync(join(layerWith(cli, "added"), "added"), "bad\n"),
  ],
  ["an unpacked layer that is gone", (cli) => rmSync(layerWith(cli, "added"), { recursive: true })],
  [
    "a blob and its layer",
    (cli) => {
      flipByte(blobs(cli)[0] ?? "");
      rmSync(join(layerWith(cli, "bin/busybox"), "bin/busybox"));
    },
  ],
];

describe("after a check, a pull mends", () => {
  test.each(DAMAGES)("%s, and fetches nothing else", async (_name, spoil) => {
    const { cli, name } = await openPulled();
    spoil(cli);
    expect((await cli.tare(["system", "check"])).code).toBe(1);
    const pulled = mustSucceed(await cli.tare(["pull", name]));
    expect(pulled.stdout.match(/: Pull complete$/gm)).toHaveLength(1);
    expect(pulled.stdout.match(/: Already exists$/gm)).toHaveLength(1);
    await expectClean(cli);
    expect((await cli.run(name)).stdout).toBe(HELLO);
    // It is remembered no longer than that.
    const again = await cli.tare(["pull", name]);
    expect(again.stdout.match(/: Already exists$/gm)).toHaveLength(2);
    expect(readdirSync(join(cli.dataRoot, "tmp"))).toEqual([]);
  });
});

test("what is plain to see needs no check: a blob cut short, a layer that is gone", async () => {
  const { cli, name } = await openPulled();
  truncateSync(blobs(cli)[0] ?? "", 1000);
  rmSync(layerWith(cli, "added"), { recursive: true });
  const pulled = mustSucceed(await cli.tare(["pull", name]));
  expect(pulled.stdout.match(/: Pull complete$/gm)).toHaveLength(2);
  await expectClean(cli);
});

test("a load mends, too", async () => {
  const cli = await openCli();
  const { ociArchive } = await images();
  mustSucceed(await cli.tare(["load", "-i", ociArchive]));
  flipByte(blobs(cli)[0] ?? "");
  expect((await cli.tare(["system", "check"])).code).toBe(1);
  mustSucceed(await cli.tare(["load", "-i", ociArchive]));
  await expectClean(cli);
  expect((await cli.run(`${IMAGE_NAME}:${IMAGE_TAG}`)).stdout).toBe(HELLO);
});

test("a blob is mended under a running container, the layer that it sees is not exchanged", async () => {
  const { cli, name } = await openPulled();
  const words = ["-i", "-u", "0", "--entrypoint", "sh", name, "-c", "echo; cat"];
  const child = Bun.spawn(cli.command(...cli.runWords(...words)), {
    stdio: ["pipe", "pipe", "ignore"],
  });
  await child.stdout.getReader().read();
  flipByte(blobs(cli)[0] ?? "");
  expect((await cli.tare(["system", "check"])).code).toBe(1);
  const before = statSync(layerWith(cli, "bin/busybox")).ino;
  mustSucceed(await cli.tare(["pull", name]));
  expect(statSync(layerWith(cli, "bin/busybox")).ino).toBe(before);
  await expectClean(cli);

  writeFileSync(join(layerWith(cli, "added"), "added"), "bad\n");
  expect((await cli.tare(["system", "check"])).code).toBe(1);
  const refused = await cli.tare(["pull", name]);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("runs on it")]);
  await child.stdin.end();
  await child.exited;
  mustSucceed(await cli.tare(["pull", name]));
  await expectClean(cli);
});
