/** The saved images are what other tools take for images, and hold what the tests expect in them. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mustSucceed } from "./fixtures.ts";
import { IMAGE_CONFIG, IMAGE_NAME, IMAGE_TAG, images } from "./images.ts";
import { requireRoot } from "./places.ts";
import { run } from "./run.ts";

requireRoot();
setDefaultTimeout(120_000);

test("skopeo reads each with the same configuration and two layers", async () => {
  const files = await images();
  const sources = [
    `oci:${files.ociLayout}:${IMAGE_TAG}`,
    `oci-archive:${files.ociArchive}`,
    `oci-archive:${files.ociArchiveZstd}`,
    `docker-archive:${files.dockerArchive}`,
    `docker-archive:${files.dockerLegacy}`,
  ];
  for (const source of sources) {
    const image = mustSucceed(await run(["skopeo", "inspect", "--config", source])).stdout;
    const { config, rootfs } = JSON.parse(image);
    expect(config).toMatchObject({ Env: IMAGE_CONFIG.Env, User: IMAGE_CONFIG.User });
    expect(rootfs.diff_ids).toHaveLength(2);
  }
});

test("the second layer adds, changes and removes", async () => {
  const { ociLayout } = await images();
  const dir = mkdtempSync(join(tmpdir(), "tare-images-"));
  try {
    const bundle = join(dir, "bundle");
    mustSucceed(await run(["umoci", "unpack", "--image", `${ociLayout}:${IMAGE_TAG}`, bundle]));
    const script = "cat added etc/hostname var/tmp/new; ls t; stat -c %h hard; readlink link";
    const { stdout } = await run(["sh", "-c", script], { cwd: join(bundle, "rootfs") });
    expect(stdout).toStartWith("added\nchanged\nnew\n");
    expect(stdout).not.toContain("report");
    expect(stdout).toEndWith("2\n/added\n");
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("the archive names its image", async () => {
  const { dockerArchive } = await images();
  const { stdout } = await run(["tar", "-xOf", dockerArchive, "manifest.json"]);
  expect(JSON.parse(stdout)[0].RepoTags).toEqual([`${IMAGE_NAME}:${IMAGE_TAG}`]);
});

test("the compressed archives are the plain one", async () => {
  const { dockerArchive, dockerArchiveGzip, dockerArchiveZstd } = await images();
  const compare = (unpack: string) => run(["sh", "-c", `${unpack} | cmp - ${dockerArchive}`]);
  mustSucceed(await compare(`gzip -dc ${dockerArchiveGzip}`));
  mustSucceed(await compare(`zstd -dcq ${dockerArchiveZstd}`));
});
