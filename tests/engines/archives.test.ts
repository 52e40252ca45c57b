/** Images go from tare to docker and podman, and back, and stay the same. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Cli, openCli } from "../e2e/cli-scene.ts";
import { imageId, listLayers, makeRichImage, RICH } from "../e2e/rich-image.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { patiently } from "../harness/places.ts";
import { lacks, openHost } from "./host.ts";

setDefaultTimeout(patiently(240_000));

/** Saved in each format. */
async function saveAll(cli: Cli): Promise<string[]> {
  const files: string[] = [];
  for (const format of ["both", "docker", "oci"]) {
    const file = join(cli.scene.dir, `${format}.tar`);
    mustSucceed(await cli.tare(["save", "--format", format, "-o", file, RICH]));
    files.push(file);
  }
  return files;
}

async function expectSame(from: Cli, archive: string): Promise<void> {
  const to = await openCli();
  mustSucceed(await to.tare(["load", "-i", archive]));
  expect([archive, await imageId(to)]).toEqual([archive, await imageId(from)]);
  expect(await listLayers(to)).toBe(await listLayers(from));
}

test.skipIf(lacks("dockerd", "docker", "containerd"))(
  "docker loads what tare saves, and tare what docker saves",
  async () => {
    const cli = await openCli();
    await makeRichImage(cli);
    const host = await openHost(cli.scene);
    const settings = join(cli.scene.dir, "daemon.json");
    const quiet = { bridge: "none", iptables: false, ip6tables: false, "oom-score-adjust": 0 };
    writeFileSync(settings, JSON.stringify({ ...quiet, "storage-driver": "vfs" }));
    await host.daemon(["dockerd", "--config-file", settings], ["docker", "version"]);
    const [both = "", docker = ""] = await saveAll(cli);
    for (const [index, archive] of [both, docker].entries()) {
      await host.sh(`docker load --quiet --input ${archive}`);
      expect(await host.sh(`docker image inspect --format '{{.Id}}' ${RICH}`)).toBe(
        await imageId(cli),
      );
      const back = join(cli.scene.dir, `docker-${index}.tar`);
      await host.sh(`docker save --output ${back} ${RICH}; docker rmi ${RICH}`);
      await expectSame(cli, back);
    }
  },
);

test.skipIf(lacks("podman"))(
  "podman loads what tare saves, and tare what podman saves",
  async () => {
    const cli = await openCli();
    await makeRichImage(cli);
    const host = await openHost(cli.scene);
    const podman = (line: string) => host.sh(`podman --storage-driver vfs ${line}`);
    for (const [index, archive] of (await saveAll(cli)).entries()) {
      await podman(`load --quiet --input ${archive}`);
      expect(`sha256:${await podman(`image inspect --format '{{.Id}}' ${RICH}`)}`).toBe(
        await imageId(cli),
      );
      // From docker's archive it makes a layout by writing the configuration anew, which is another image.
      const formats = index === 1 ? ["docker-archive"] : ["docker-archive", "oci-archive"];
      for (const format of formats) {
        const back = join(cli.scene.dir, `podman-${index}-${format}.tar`);
        await podman(`save --quiet --format ${format} --output ${back} ${RICH}`);
        await expectSame(cli, back);
      }
      await podman(`rmi ${RICH}`);
    }
  },
);
