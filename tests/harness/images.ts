/**
 * Images of the fixture root file systems as other tools save them, for tests that load or run them:
 * an OCI layout by umoci, archives by skopeo, and one in the form of `docker save`.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { busyboxRootfs, cached, mustSucceed } from "./fixtures.ts";
import { run } from "./run.ts";

/** What each of the images says about itself. */
export const IMAGE_NAME = "example.test/fixture/busybox";
export const IMAGE_TAG = "1.0";
export const IMAGE_CONFIG = {
  Env: ["PATH=/bin:/usr/bin", "GREETING=hello from the image"],
  Entrypoint: ["/bin/sh", "-c"],
  Cmd: ['echo "$GREETING"; id -u; pwd'],
  WorkingDir: "/home/test",
  User: "test",
  StopSignal: "SIGUSR1",
  Volumes: ["/data"],
  Labels: { "test.label": "value" },
} as const;

export type ImageFiles = {
  /** Directory: `oci-layout`, `index.json`, `blobs`. */
  readonly ociLayout: string;
  /** The layout in one tar file. */
  readonly ociArchive: string;
  /** The same with zstd layers, where the others have gzip. */
  readonly ociArchiveZstd: string;
  /** `docker save`, as skopeo writes it. */
  readonly dockerArchive: string;
  /** The same, compressed. */
  readonly dockerArchiveGzip: string;
  readonly dockerArchiveZstd: string;
  /** `docker save` of old engines: a directory a layer, with `VERSION`, `json` and `layer.tar`. */
  readonly dockerLegacy: string;
  /** A plain tarball of the root file system, for `import`. */
  readonly rootTarball: string;
};

/** Two layers: the busybox root, and one that adds /added, changes /etc/hostname, removes /t/report. */
export async function images(): Promise<ImageFiles> {
  const rootfs = await busyboxRootfs();
  const recipe = [basename(rootfs), readFileSync(import.meta.path)];
  const dir = await cached("images", recipe, (made) => makeImages(made, rootfs));
  return {
    ociLayout: join(dir, "oci"),
    ociArchive: join(dir, "oci.tar"),
    ociArchiveZstd: join(dir, "oci-zstd.tar"),
    dockerArchive: join(dir, "docker.tar"),
    dockerArchiveGzip: join(dir, "docker.tar.gz"),
    dockerArchiveZstd: join(dir, "docker.tar.zst"),
    dockerLegacy: join(dir, "legacy.tar"),
    rootTarball: join(dir, "root.tar"),
  };
}

async function makeImages(dir: string, rootfs: string): Promise<void> {
  const layout = join(dir, "oci");
  const image = `${layout}:${IMAGE_TAG}`;
  await must(["umoci", "init", "--layout", layout]);
  await must(["umoci", "new", "--image", image]);
  await must(["umoci", "insert", "--image", image, rootfs, "/"]);
  await addSecondLayer(dir, image);
  await must(["umoci", "config", "--image", image, ...configFlags()]);
  await must(["umoci", "gc", "--layout", layout]);

  const source = `oci:${image}`;
  const reference = `${IMAGE_NAME}:${IMAGE_TAG}`;
  const copy = (target: string, ...flags: string[]) =>
    must(["skopeo", "--insecure-policy", "copy", "--quiet", ...flags, source, target]);
  await copy(`oci-archive:${join(dir, "oci.tar")}:${reference}`);
  await copy(
    `oci-archive:${join(dir, "oci-zstd.tar")}:${reference}`,
    "--dest-compress-format=zstd",
  );
  await copy(`docker-archive:${join(dir, "docker.tar")}:${reference}`);
  await must(["gzip", "--keep", "--fast", join(dir, "docker.tar")]);
  await must(["zstd", "--quiet", "--keep", "-1", join(dir, "docker.tar")]);
  await must(["tar", "-C", rootfs, "--numeric-owner", "-cf", join(dir, "root.tar"), "."]);
  await makeLegacy(dir);
}

/** A file more, a file changed, a file gone: what a layer can do. */
async function addSecondLayer(dir: string, image: string): Promise<void> {
  const work = join(dir, "work");
  await must(["umoci", "unpack", "--image", image, work]);
  const script = `echo added > added; echo changed > etc/hostname; rm t/report; mkdir -p data
    rm -r var/tmp; mkdir -m 1777 var/tmp; echo new > var/tmp/new; ln -s /added link; ln added hard`;
  await must(["sh", "-ec", script], join(work, "rootfs"));
  await must(["umoci", "repack", "--image", image, work]);
  await must(["rm", "-r", work]);
}

function configFlags(): string[] {
  const config = IMAGE_CONFIG;
  return [
    ...config.Env.flatMap((value) => ["--config.env", value]),
    ...config.Entrypoint.flatMap((value) => ["--config.entrypoint", value]),
    ...config.Cmd.flatMap((value) => ["--config.cmd", value]),
    ...["--config.workingdir", config.WorkingDir, "--config.user", config.User],
    ...["--config.stopsignal", config.StopSignal],
    ...config.Volumes.flatMap((value) => ["--config.volume", value]),
    ...Object.entries(config.Labels).flatMap(([name, value]) => [
      "--config.label",
      `${name}=${value}`,
    ]),
    ...["--created", "2024-05-06T07:08:09Z", "--author", "fixture", "--architecture", "amd64"],
  ];
}

/** Docker before 25: layers by directory, with ids that are not digests. */
async function makeLegacy(dir: string): Promise<void> {
  const [from, to] = [join(dir, "docker"), join(dir, "legacy")];
  for (const path of [from, to]) mkdirSync(path);
  await must(["tar", "-C", from, "-xf", join(dir, "docker.tar")]);
  const [manifest] = JSON.parse(readFileSync(join(from, "manifest.json"), "utf8"));
  const layers: string[] = [];
  for (const [index, layer] of (manifest.Layers as string[]).entries()) {
    const id = String(index + 1).repeat(64);
    const parent = index === 0 ? {} : { parent: String(index).repeat(64) };
    mkdirSync(join(to, id));
    writeFileSync(join(to, id, "VERSION"), "1.0");
    writeFileSync(join(to, id, "json"), JSON.stringify({ id, ...parent }));
    await must(["cp", "--dereference", join(from, layer), join(to, id, "layer.tar")]);
    layers.push(`${id}/layer.tar`);
  }
  await must(["cp", join(from, manifest.Config), to]);
  writeFileSync(join(to, "manifest.json"), JSON.stringify([{ ...manifest, Layers: layers }]));
  const top = String(layers.length).repeat(64);
  writeFileSync(join(to, "repositories"), JSON.stringify({ [IMAGE_NAME]: { [IMAGE_TAG]: top } }));
  await must(["sh", "-c", "tar -cf ../legacy.tar *"], to);
  await must(["rm", "-r", from, to]);
}

async function must(argv: string[], cwd = "/"): Promise<void> {
  mustSucceed(await run(argv, { cwd, timeoutMs: 120_000 }));
}
