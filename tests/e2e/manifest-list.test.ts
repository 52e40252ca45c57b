/** Manifest lists: made of images here and in registries, described, pushed whole, pulled again by others. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MadeServer } from "../../packages/engine/src/registry/made-server.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { IMAGE_NAME, IMAGE_TAG, images } from "../harness/images.ts";
import { skopeoCopy, startRegistry, type TestRegistry } from "../harness/registry.ts";
import { run } from "../harness/run.ts";
import { Served } from "../harness/served-image.ts";
import { type Cli, openCli } from "./cli-scene.ts";

setDefaultTimeout(180_000);

const LOCAL = `${IMAGE_NAME}:${IMAGE_TAG}`;
const ARM = { os: "linux", architecture: "arm64", variant: "v8" };
const S390 = { os: "linux", architecture: "s390x" };

type World = {
  readonly cli: Cli;
  readonly registry: TestRegistry;
  /** Another registry, with `team/tool:1`, an index of arm64 and s390x, and each by its digest. */
  readonly tool: string;
  readonly arm: string;
  readonly served: Served;
};

/** A store with the fixture image, a registry with nothing, and one with a tool for other machines. */
async function openWorld(): Promise<World> {
  const cli = await openCli();
  mustSucceed(await cli.tare(["load", "-i", (await images()).ociArchive]));
  const served = new Served();
  const arm = served.image([[{ name: "file", data: "arm" }]], { platform: ARM });
  const s390 = served.image([[{ name: "file", data: "s390x" }]], { platform: S390 });
  served.tag("1", served.index([arm, s390]));
  const server = await MadeServer.start(served.handler());
  cli.scene.defer(() => server[Symbol.asyncDispose]());
  const tool = `${server.host}/team/tool`;
  const registry = await startRegistry(cli.scene);
  return { cli, registry, tool, arm: arm.digest, served };
}

async function inspect(cli: Cli, name: string) {
  const { stdout } = mustSucceed(await cli.tare(["manifest", "inspect", name]));
  type Platform = { architecture: string; os: string; variant?: string };
  return JSON.parse(stdout) as {
    mediaType: string;
    annotations?: object;
    manifests: { digest: string; platform: Platform; annotations?: object }[];
  };
}

test("a list of an image here and of others elsewhere is pushed whole, and runs elsewhere", async () => {
  const { cli, registry, tool } = await openWorld();
  const name = `${registry.host}/lists/all:1`;
  const create = await cli.tare(["manifest", "create", "--all", name, LOCAL, `${tool}:1`]);
  expect([create.stdout, create.stderr]).toEqual([`Created manifest list ${name}\n`, ""]);
  const list = await inspect(cli, name);
  // It is nowhere else yet: a pull would lose it.
  const ran = await cli.tare(["run", "--rm", name, "true"]);
  expect([ran.code, ran.stderr]).toEqual([125, expect.stringContaining("is a list of manifests")]);
  expect(await inspect(cli, name)).toEqual(list);
  expect(list.manifests.map(({ platform }) => platform)).toEqual([
    { architecture: "amd64", os: "linux" },
    { architecture: "arm64", os: "linux", variant: "v8" },
    { architecture: "s390x", os: "linux" },
  ]);
  const pushed = mustSucceed(await cli.tare(["manifest", "push", name]));
  const raw = ["skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${name}`];
  const there = mustSucceed(await run(raw));
  const here = mustSucceed(await cli.tare(["manifest", "inspect", "--raw", name]));
  expect(there.stdout).toBe(here.stdout);
  // Every manifest, configuration and layer is there, or this fails.
  const layout = `oci:${join(cli.scene.dir, "copied")}:1`;
  await skopeoCopy(`docker://${name}`, layout, "--all");

  const other = await openCli();
  const pulled = mustSucceed(await other.tare(["pull", name]));
  expect(pulled.stdout).toContain(`Digest: ${pushed.stdout.trim()}\n`);
  expect((await other.run(name)).stdout).toBe("hello from the image\n1000\n/home/test\n");
  mustSucceed(await other.tare(["pull", "--platform", "linux/arm64", name]));
  mustSucceed(await cli.tare(["system", "check"]));
});

test("what the registry has in another repository is mounted", async () => {
  const { cli, registry, tool } = await openWorld();
  const { host } = registry;
  await cli.tare(["manifest", "create", "--all", `${host}/first:1`, `${tool}:1`]);
  mustSucceed(await cli.tare(["manifest", "push", `${host}/first:1`]));
  const before = registry.requests().length;
  mustSucceed(
    await cli.tare(["manifest", "push", "--purge", `${host}/first:1`, `${host}/second:1`]),
  );
  const sent = registry.requests().slice(before);
  const mounts = sent.filter(({ uri, status }) => uri.includes("mount=") && status === 201);
  // Two configurations and two layers.
  expect(mounts).toHaveLength(4);
  expect(sent.filter(({ method }) => method === "PATCH")).toEqual([]);
  expect((await cli.tare(["manifest", "rm", `${host}/first:1`])).code).toBe(1);
  await skopeoCopy(`docker://${host}/second:1`, `oci:${join(cli.scene.dir, "copied")}:1`, "--all");
});

test("members are described, taken out, and the list with what only it had goes", async () => {
  const { cli, tool, arm } = await openWorld();
  const manifest = (...words: string[]) => cli.tare(["manifest", ...words]);
  const name = "example.test/list:1";
  mustSucceed(await manifest("create", "--annotation", "made=here", name, `${tool}@${arm}`));
  const add = ["--arch", "riscv64", "--annotation", "note=two words"];
  mustSucceed(await manifest("add", ...add, name, LOCAL));
  const flags = ["--variant", "v9", "--os-version", "5.1", "--os-features", "one,two"];
  mustSucceed(await manifest("annotate", ...flags, name, `${tool}@${arm}`));
  const list = await inspect(cli, name);
  expect(list.annotations).toEqual({ made: "here" });
  expect(list.manifests.map(({ platform, annotations }) => ({ platform, annotations }))).toEqual([
    {
      platform: {
        architecture: "arm64",
        os: "linux",
        variant: "v9",
        "os.version": "5.1",
        "os.features": ["one", "two"],
      } as never,
      annotations: undefined,
    },
    { platform: { architecture: "riscv64", os: "linux" }, annotations: { note: "two words" } },
  ]);
  mustSucceed(await manifest("annotate", "--os", "other", name, arm));
  mustSucceed(await manifest("remove", name, list.manifests[1]?.digest ?? ""));
  expect((await inspect(cli, name)).manifests.map(({ platform }) => platform.os)).toEqual([
    "other",
  ]);

  const refused: [words: string[], why: string][] = [
    [["create", name], "it is there"],
    [["create", LOCAL, `${tool}@${arm}`], "it is there"],
    [["create", "--amend", LOCAL, `${tool}@${arm}`], "it is an image"],
    [["create", "--all", "example.test/new", "127.0.0.1:1/none"], "connection refused"],
    [["add", "example.test/none", LOCAL], "not in the store"],
    [["add", LOCAL, LOCAL], "it is an image"],
    [["annotate", name, LOCAL], "the list does not have it"],
    [["remove", name, list.manifests[1]?.digest ?? ""], "the list does not have it"],
    [["rm", LOCAL], "it is an image"],
    [["push", name, `${tool}:2`], "Cannot push"],
  ];
  for (const [words, why] of refused) {
    const { code, stderr } = await manifest(...words);
    expect([words, code, stderr]).toEqual([words, 1, expect.stringContaining(why)]);
  }
  mustSucceed(await manifest("create", "--amend", name, LOCAL));
  expect((await inspect(cli, name)).manifests).toHaveLength(2);
  mustSucceed(await manifest("rm", name));
  mustSucceed(await cli.tare(["rmi", LOCAL]));
  mustSucceed(await cli.tare(["system", "check"]));
  const left = /\/data\/(blobs\/sha256|layers|tmp)\//;
  expect(cli.inventory().filter((line) => left.test(line))).toEqual([]);
});

test("load keeps the index that it chose an image of", async () => {
  const cli = await openCli();
  const served = new Served();
  const own = served.image([[{ name: "file", data: "own" }]]);
  const other = served.image([[{ name: "file", data: "arm" }]], { platform: ARM });
  const index = served.index([other, own]);
  const layout = join(cli.scene.dir, "layout");
  const blob = (digest: string) => join("blobs/sha256", digest.slice("sha256:".length));
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
  for (const [digest, { bytes }] of served.content) {
    writeFileSync(join(layout, blob(digest)), bytes);
  }
  const annotations = { "org.opencontainers.image.ref.name": "example.test/kept:1" };
  const top = { schemaVersion: 2, manifests: [{ ...index, annotations }] };
  writeFileSync(join(layout, "index.json"), JSON.stringify(top));
  writeFileSync(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  mustSucceed(await cli.tare(["load", "-i", layout]));
  mustSucceed(await cli.tare(["image", "inspect", "example.test/kept:1"]));
  // A second platform of the same index, under the same name.
  mustSucceed(await cli.tare(["load", "--platform", "linux/arm64", "-i", layout]));
  for (const kept of [index, own, other]) {
    const bytes = readFileSync(join(cli.dataRoot, blob(kept.digest)));
    expect(bytes.equals(served.content.get(kept.digest)?.bytes ?? bytes.subarray(1))).toBe(true);
  }
  mustSucceed(await cli.tare(["system", "check"]));
  mustSucceed(await cli.tare(["image", "prune", "-af"]));
  expect(readdirSync(join(cli.dataRoot, "blobs/sha256"))).toEqual([]);
});
