/** Commands that bring, use and remove images at the same time: each does its work or says why not. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { IMAGE_NAME, IMAGE_TAG, images } from "../harness/images.ts";
import { type Cli, openCli } from "./cli-scene.ts";

// On a busy machine a whole test takes seconds.
setDefaultTimeout(180_000);

const NAME = `${IMAGE_NAME}:${IMAGE_TAG}`;
const ROUNDS = 6;

/** What a command may say when the image that it wanted was removed at the same moment. */
const GONE = /was removed|was just removed|not in the store/;

async function loadAndRun(cli: Cli, archive: string): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const loaded = await cli.tare(["load", "-i", archive]);
    if (loaded.code !== 0) expect(loaded.stderr).toMatch(GONE);
    const ran = await cli.run("--pull", "never", "-u", "0", "--entrypoint", "cat", NAME, "/added");
    if (ran.code === 0) expect(ran.stdout).toBe("added\n");
    else expect(ran.stderr).toMatch(GONE);
  }
}

async function pruneOften(cli: Cli): Promise<void> {
  for (let round = 0; round < 4 * ROUNDS; round++) {
    const pruned = await cli.tare(["image", "prune", "--all", "--force"]);
    expect([pruned.code, pruned.stderr]).toEqual([0, ""]);
  }
}

test("two load and run while a third prunes", async () => {
  const { ociArchive, dockerArchive } = await images();
  const cli = await openCli();
  await Promise.all([loadAndRun(cli, ociArchive), loadAndRun(cli, dockerArchive), pruneOften(cli)]);
  expect((await cli.tare(["load", "-i", ociArchive])).code).toBe(0);
  expect((await cli.run("-u", "0", "--entrypoint", "cat", NAME, "/added")).stdout).toBe("added\n");
  expect((await cli.tare(["image", "prune", "-af"])).code).toBe(0);
  for (const room of ["blobs/sha256", "layers", "tmp", "containers"]) {
    expect([room, readdirSync(join(cli.dataRoot, room))]).toEqual([room, []]);
  }
});

test("a running container keeps its image from prune, which asks first", async () => {
  const cli = await openCli();
  await cli.tare(["load", "-i", (await images()).ociArchive]);
  const line = ["-i", "-u", "0", "--entrypoint", "sh", NAME, "-c", "cat; cat /added"];
  const child = Bun.spawn(cli.command(...cli.runWords(...line)), {
    stdio: ["pipe", "pipe", "ignore"],
  });
  while (cli.containers().length === 0) await Bun.sleep(20);
  expect((await cli.tare(["image", "prune", "-af"])).stdout).toBe("Total reclaimed space: 0B\n");
  await child.stdin.end();
  expect(await new Response(child.stdout).text()).toBe("added\n");
  const asked = await cli.tare(["image", "prune", "-a"]);
  expect(asked.stdout).toMatch(/^WARNING! This will remove all images without a container/);
  expect((await cli.tare(["images", "-q"])).stdout).not.toBe("");
  const pruned = (await cli.tare(["image", "prune", "-af"])).stdout;
  expect(pruned).toMatch(/^Deleted Images:\nuntagged: .*\ndeleted: sha256:.*\n\nTotal reclaimed/);
});
