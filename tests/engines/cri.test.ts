/**
 * containerd's CRI plug-in, asked as Kubernetes asks it: a pod with the runtime's handler, as a
 * RuntimeClass names it. crictl is not in Debian, so the calls are made by a client of the test's.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { cached, mustSucceed } from "../harness/fixtures.ts";
import { IMAGE_NAME, IMAGE_TAG, images } from "../harness/images.ts";
import { patiently, runtimeProgram } from "../harness/places.ts";
import { run } from "../harness/run.ts";
import { openScene, type Scene } from "../harness/scene.ts";
import { type ContainerOf, CriClient, type Pod } from "./cri-client.ts";
import { type EngineHost, lacks, openHost } from "./host.ts";

setDefaultTimeout(patiently(240_000));

const CNI_PROGRAMS = "/usr/lib/cni";
const SOCKET = "/run/containerd/containerd.sock";
const READY_TIMEOUT_MS = patiently(60_000);
const IMAGE = `${IMAGE_NAME}:${IMAGE_TAG}`;
const PAUSE = "example.test/fixture/pause:1.0";
const MIB = 1024 * 1024;

/** The default handler names no program: a pod that does not get the handler asked for fails. */
const settings = (scene: Scene) => `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE}"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "${CNI_PROGRAMS}"
  conf_dir = "${scene.dir}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "none"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.none]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.none.options]
  BinaryName = "/nonexistent"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tare]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tare.options]
  BinaryName = "${runtimeProgram()}"
`;

const NETWORK = {
  cniVersion: "0.4.0",
  name: "pods",
  plugins: [{ type: "ptp", ipam: { type: "host-local", ranges: [[{ subnet: "10.99.0.0/24" }]] } }],
};

/** The fixture's layers with a program that only waits. */
async function pauseImage(): Promise<string> {
  const { ociLayout } = await images();
  const dir = await cached(
    "pause-image",
    [basename(join(ociLayout, "..")), PAUSE],
    async (made) => {
      const layout = join(made, "oci");
      const image = `${layout}:${IMAGE_TAG}`;
      const config = "--config.entrypoint sleep --config.cmd 3600 --config.user 65534".split(" ");
      const archive = `docker-archive:${join(made, "pause.tar")}:${PAUSE}`;
      mustSucceed(await run(["cp", "-a", ociLayout, layout]));
      mustSucceed(await run(["umoci", "config", "--image", image, ...config]));
      mustSucceed(await run(["skopeo", "--insecure-policy", "copy", `oci:${image}`, archive]));
      mustSucceed(await run(["rm", "-r", layout]));
    },
  );
  return join(dir, "pause.tar");
}

/** containerd with both images, and a connection to it that ends with the scene. */
async function startCri(scene: Scene, host: EngineHost): Promise<CriClient> {
  const config = join(scene.dir, "containerd.toml");
  writeFileSync(config, settings(scene));
  mustSucceed(await run(["mkdir", join(scene.dir, "cni")]));
  writeFileSync(join(scene.dir, "cni/10-pods.conflist"), JSON.stringify(NETWORK));
  await host.daemon(["containerd", "--config", config], ["ctr", "version"]);
  const { dockerArchive } = await images();
  for (const archive of [dockerArchive, await pauseImage()]) {
    await host.sh(`ctr --namespace k8s.io image import ${archive}`);
  }
  const cri = new CriClient(`${host.root}${SOCKET}`);
  scene.defer(() => cri.close());
  // The plug-in says no while it reads what was there before.
  const end = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    try {
      await cri.ready();
      return cri;
    } catch (error) {
      if (performance.now() > end) throw error;
      await Bun.sleep(200);
    }
  }
}

const missing =
  lacks("containerd", "ctr", "containerd-shim-runc-v2", "skopeo", "umoci") ||
  !existsSync(join(CNI_PROGRAMS, "ptp"));

test.skipIf(missing)("a pod of containerd's CRI plug-in, with tare as its handler", async () => {
  const scene = await openScene();
  const host = await openHost(scene);
  const cri = await startCri(scene, host);
  const podOf: Pod = {
    name: scene.mark,
    hostname: "the-pod",
    logs: "/run/pod-logs",
    cgroupParent: `/${scene.mark}-pod`,
  };
  const script = "echo began; trap 'exit 9' USR1; while :; do sleep 0.05; done";
  const containerOf: ContainerOf = {
    image: IMAGE,
    command: ["/bin/sh", "-c", script],
    log: "long.log",
    memoryBytes: 64 * MIB,
  };

  const pod = await cri.runPod(podOf, "tare");
  const id = await cri.create(pod, podOf, containerOf);
  await cri.start(id);
  const { state, pid } = await cri.status(id);
  expect(state).toBe("running");
  expect(await host.memoryLimit(String(pid))).toBe(String(64 * MIB));
  expect(await host.cgroups(id)).not.toEqual([]);

  const ran = await cri.exec(id, "sh", "-c", "id -u; hostname; echo aside >&2; exit 5");
  expect(ran).toEqual({ stdout: "1000\nthe-pod\n", stderr: "aside\n", code: 5 });
  const shown = await cri.exec(id, "ip", "-4", "addr", "show", "eth0");
  expect(shown.stdout).toContain("inet 10.99.0.");
  expect(await host.sh("cat /run/pod-logs/long.log")).toEndWith(" stdout F began");
  expect(await cri.memoryInUse(id)).toBeGreaterThan(0);
  await cri.limitMemory(id, 96 * MIB);
  expect(await host.memoryLimit(String(pid))).toBe(String(96 * MIB));

  await cri.stop(id, 20);
  expect(await cri.status(id)).toMatchObject({ state: "exited", exitCode: 9 });
  await cri.remove(id);
  await cri.stopPod(pod);
  await cri.removePod(pod);
  expect(await cri.count()).toEqual({ pods: 0, containers: 0 });
  expect(await host.cgroups(id)).toEqual([]);
  expect(await host.cgroups(pod)).toEqual([]);
});

test.skipIf(missing)(
  "a pod of a handler that does not exist, or whose program is gone",
  async () => {
    const scene = await openScene();
    const host = await openHost(scene);
    const cri = await startCri(scene, host);
    const pod: Pod = {
      name: scene.mark,
      hostname: "h",
      logs: "/run/pod-logs",
      cgroupParent: `/${scene.mark}-pod`,
    };
    // Not by .rejects, which lets nothing else of this process go on while it waits.
    const refusal = (handler: string) => cri.runPod(pod, handler).then(() => "", String);
    expect(await refusal("other")).toContain('no runtime for "other"');
    expect(await refusal("")).toContain("/nonexistent");
    expect(await cri.count()).toEqual({ pods: 0, containers: 0 });
  },
);
