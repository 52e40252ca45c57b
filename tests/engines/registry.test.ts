/**
 * One registry, several engines: what tare pushes, docker, podman and skopeo pull and run; what they push,
 * tare pulls. The registry and all engines are in the host of the test, on its loopback.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Cli, openCli } from "../e2e/cli-scene.ts";
import { imageId, listLayers, makeRichImage, RICH } from "../e2e/rich-image.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { IMAGE_NAME, IMAGE_TAG, images } from "../harness/images.ts";
import { patiently, runtimeProgram } from "../harness/places.ts";
import { type EngineHost, lacks, openHost } from "./host.ts";

setDefaultTimeout(patiently(300_000));

/** In a network namespace of its own any port is free. */
const REGISTRY = "127.0.0.1:5000";
const SMALL = `${REGISTRY}/pushed/small:1`;
const LARGE = `${REGISTRY}/pushed/rich:1`;
const SAID = "hello from the image\n1000\n/home/test";

type World = { readonly cli: Cli; readonly host: EngineHost };

/** A host with a registry in it, which has two images that tare pushed. */
async function openPushed(): Promise<World> {
  const cli = await openCli();
  const host = await openHost(cli.scene);
  const data = join(cli.scene.dir, "registry");
  mkdirSync(data);
  const settings = join(cli.scene.dir, "registry.json");
  const storage = { filesystem: { rootdirectory: data } };
  // JSON is YAML.
  writeFileSync(settings, JSON.stringify({ version: "0.1", storage, http: { addr: REGISTRY } }));
  const probe = ["busybox", "wget", "-q", "-O", "/dev/null", `http://${REGISTRY}/v2/`];
  await host.daemon(["docker-registry", "serve", settings], probe);
  mustSucceed(await cli.tare(["load", "-i", (await images()).ociArchive]));
  await makeRichImage(cli);
  const names = [
    [`${IMAGE_NAME}:${IMAGE_TAG}`, SMALL],
    [RICH, LARGE],
  ];
  for (const [from = "", to = ""] of names) {
    mustSucceed(await cli.tare(["tag", from, to]));
    mustSucceed(await host.run(...cli.command("push", to)));
  }
  return { cli, host };
}

/** Both images are in the registry under another repository, by somebody else: they are still the same. */
async function expectPulled({ cli, host }: World, repository: string): Promise<void> {
  const to = await openCli();
  for (const [name, own] of [
    ["small:1", SMALL],
    ["rich:1", LARGE],
  ]) {
    const pulled = `${REGISTRY}/${repository}/${name}`;
    mustSucceed(await host.run(...to.command("pull", pulled)));
    expect([pulled, await imageId(to, pulled)]).toEqual([pulled, await imageId(cli, own)]);
  }
  expect(await listLayers(to)).toBe(await listLayers(cli));
  const ran = await to.run(`${REGISTRY}/${repository}/small:1`);
  expect(ran.stdout.trim()).toBe(SAID);
  mustSucceed(await to.tare(["system", "check"]));
}

test.skipIf(lacks("dockerd", "docker", "containerd", "docker-registry", "skopeo", "umoci"))(
  "docker pulls and runs what tare pushed, and tare pulls what docker pushed",
  async () => {
    const world = await openPushed();
    const { cli, host } = world;
    const settings = join(cli.scene.dir, "daemon.json");
    const quiet = { bridge: "none", iptables: false, ip6tables: false, "oom-score-adjust": 0 };
    writeFileSync(settings, JSON.stringify({ ...quiet, "storage-driver": "vfs" }));
    await host.daemon(["dockerd", "--config-file", settings], ["docker", "version"]);
    for (const name of [SMALL, LARGE]) {
      await host.sh(`docker pull --quiet ${name}`);
      expect(await host.sh(`docker image inspect --format '{{.Id}}' ${name}`)).toBe(
        await imageId(cli, name),
      );
      const other = name.replace("/pushed/", "/docker/");
      await host.sh(`docker tag ${name} ${other} && docker push --quiet ${other}`);
    }
    expect(await host.sh(`docker run --rm --network none ${SMALL}`)).toBe(SAID);
    await expectPulled(world, "docker");
  },
);

test.skipIf(lacks("podman", "conmon", "docker-registry", "skopeo", "umoci"))(
  "podman pulls and runs what tare pushed, and tare pulls what podman pushed",
  async () => {
    const world = await openPushed();
    const { cli, host } = world;
    const config = join(cli.scene.dir, "containers.conf");
    const limits = 'default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]';
    const engine = `cgroup_manager = "cgroupfs"\nevents_logger = "none"\nruntime = "tare"`;
    const runtime = `tare = ["${runtimeProgram()}"]`;
    writeFileSync(
      config,
      `[containers]\n${limits}\n[engine]\n${engine}\n[engine.runtimes]\n${runtime}\n`,
    );
    const podman = (line: string) =>
      host.sh(`CONTAINERS_CONF=${config} podman --storage-driver vfs ${line}`);
    for (const name of [SMALL, LARGE]) {
      await podman(`pull --quiet --tls-verify=false ${name}`);
      const id = await podman(`image inspect --format '{{.Id}}' ${name}`);
      expect(`sha256:${id}`).toBe(await imageId(cli, name));
      const other = name.replace("/pushed/", "/podman/");
      await podman(`push --quiet --tls-verify=false ${name} ${other}`);
    }
    expect(await podman(`run --rm --network none ${SMALL}`)).toBe(SAID);
    await expectPulled(world, "podman");
  },
);

test.skipIf(lacks("docker-registry", "skopeo", "umoci"))(
  "skopeo copies what tare pushed, and tare pulls what skopeo copied",
  async () => {
    const world = await openPushed();
    const { cli, host } = world;
    const plain = "--src-tls-verify=false --dest-tls-verify=false";
    for (const name of [SMALL, LARGE]) {
      // By way of a directory, so that each blob is read and sent and none is mounted.
      const dir = join(cli.scene.dir, `copied-${name.includes("rich")}`);
      const copy = `skopeo --insecure-policy copy --quiet ${plain}`;
      await host.sh(`${copy} docker://${name} dir:${dir}`);
      await host.sh(`${copy} dir:${dir} docker://${name.replace("/pushed/", "/skopeo/")}`);
    }
    await expectPulled(world, "skopeo");
  },
);
