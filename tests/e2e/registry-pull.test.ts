/** `pull` from a registry as others fill it: what comes in is what skopeo put there. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { MadeServer } from "../../packages/engine/src/registry/made-server.ts";
import { IMAGE_TAG, images } from "../harness/images.ts";
import { skopeoCopy, startRegistry } from "../harness/registry.ts";
import { MANIFEST as OCI, Served } from "../harness/served-image.ts";
import { type Cli, openCli } from "./cli-scene.ts";

setDefaultTimeout(180_000);

/** A registry with the fixture image as `test/busybox:1.0`. */
async function openFilled(): Promise<{ cli: Cli; host: string; name: string }> {
  const cli = await openCli();
  const { host } = await startRegistry(cli.scene);
  const name = `${host}/test/busybox:1.0`;
  const { ociLayout } = await images();
  await skopeoCopy(`oci:${ociLayout}:${IMAGE_TAG}`, `docker://${name}`);
  return { cli, host, name };
}

test("pull brings an image in, says what Docker says, and the second time moves nothing", async () => {
  const { cli, name } = await openFilled();
  const first = await cli.tare(["pull", name]);
  expect([first.stderr, first.code]).toEqual(["", 0]);
  const lines = first.stdout.split("\n");
  expect(lines[0]).toBe("1.0: Pulling from test/busybox");
  expect(lines.filter((line) => line.endsWith(": Pull complete"))).toHaveLength(2);
  expect(first.stdout).toMatch(/^Digest: sha256:[0-9a-f]{64}$/m);
  expect(lines.slice(-3)).toEqual([`Status: Downloaded newer image for ${name}`, name, ""]);
  expect((await cli.run(name)).stdout).toBe("hello from the image\n1000\n/home/test\n");

  const second = await cli.tare(["pull", name]);
  expect(second.stdout.match(/: Already exists$/gm)).toHaveLength(2);
  expect(second.stdout).toContain(`Status: Image is up to date for ${name}\n`);
  expect(readdirSync(join(cli.dataRoot, "layers"))).toHaveLength(2);
  expect(readdirSync(join(cli.dataRoot, "tmp"))).toEqual([]);
});

test("run fetches what is missing, tells it on standard error, and --pull never does not", async () => {
  const { cli, name } = await openFilled();
  const never = await cli.run("--pull", "never", name);
  expect([never.code, never.stdout]).toEqual([125, ""]);
  const ran = await cli.run(name);
  expect(ran.stdout).toBe("hello from the image\n1000\n/home/test\n");
  expect(ran.stderr).toStartWith(`Unable to find image '${name}' locally\n`);
  expect((await cli.run(name)).stderr).toBe("");
  const always = await cli.run("--pull", "always", name);
  expect(always.stderr).toContain(`Status: Image is up to date for ${name}\n`);
});

test("a registry that is not there is told, and the container's status is 125", async () => {
  const cli = await openCli();
  for (const words of [["--pull", "always"], []]) {
    const ran = await cli.run(...words, "127.0.0.1:1/none", "true");
    expect([ran.code, ran.stdout]).toEqual([125, ""]);
    expect(ran.stderr).toEndWith("tare: Cannot talk to 127.0.0.1:1: connection refused\n");
  }
  expect((await cli.tare(["pull", "127.0.0.1:1/none"])).code).toBe(1);
  expect(readdirSync(join(cli.dataRoot, "tmp"))).toEqual([]);
});

test("a registry is looked through without bringing anything in", async () => {
  const cli = await openCli();
  const served = new Served();
  const image = served.image([[{ name: "file", data: "content" }]]);
  const index = served.index([image]);
  served.tag("1", index);
  const signature = { ...served.add("{}", OCI), artifactType: "application/vnd.test.signature" };
  const other = { ...served.add("{} ", OCI), artifactType: "application/vnd.test.other" };
  // As registries have it that do not know the newer way.
  served.tag(index.digest.replace(":", "-"), served.index([signature, other]));
  const server = await MadeServer.start(
    served.handler((path) => {
      if (path.startsWith("/v1/search")) return { status: 404 };
      if (!path.startsWith("/v2/_catalog")) return undefined;
      const link = { Link: '</v2/_catalog?n=1&last=a>; rel="next"' };
      return path.includes("last")
        ? { body: JSON.stringify({ repositories: ["tools/b", "c"] }) }
        : { body: JSON.stringify({ repositories: ["tools/a"] }), headers: link };
    }),
  );
  cli.scene.defer(() => server[Symbol.asyncDispose]());
  const name = `${server.host}/a/b:1`;
  const raw = await cli.tare(["manifest", "inspect", "--raw", name]);
  expect(raw.stdout).toBe(served.content.get(index.digest)?.bytes.toString() ?? "none");
  const shown = await cli.tare(["manifest", "inspect", name]);
  expect(JSON.parse(shown.stdout)).toEqual(JSON.parse(raw.stdout));
  const all = JSON.parse((await cli.tare(["manifest", "referrers", name])).stdout);
  expect(all.manifests.map((each: { digest: string }) => each.digest)).toEqual([
    signature.digest,
    other.digest,
  ]);
  const flag = ["--artifact-type", "application/vnd.test.signature"];
  const some = JSON.parse((await cli.tare(["manifest", "referrers", ...flag, name])).stdout);
  expect(some.manifests).toEqual([signature]);
  const found = await cli.tare(["search", `${server.host}/tools`]);
  expect(found.stdout).toMatch(/^NAME +DESCRIPTION +STARS +OFFICIAL\ntools\/a .*\ntools\/b .*\n$/);
  expect((await cli.tare(["images", "-q"])).stdout).toBe("");
});

test("all tags come in by one command, each with its name", async () => {
  const cli = await openCli();
  const served = new Served();
  for (const tag of ["1", "2"]) served.tag(tag, served.image([[{ name: tag, data: tag }]]));
  const server = await MadeServer.start(served.handler());
  cli.scene.defer(() => server[Symbol.asyncDispose]());
  const pulled = await cli.tare(["pull", "--all-tags", "-q", `${server.host}/a/b`]);
  expect(pulled.stdout).toBe(`${server.host}/a/b:1\n${server.host}/a/b:2\n`);
  expect((await cli.tare(["pull", "-a", `${server.host}/a/b:1`])).code).toBe(1);
});
