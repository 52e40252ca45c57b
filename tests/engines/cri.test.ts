/**
 * containerd's CRI plug-in, which Kubernetes talks to, asked by crictl: a pod with the runtime's
 * handler, as a RuntimeClass names it. crictl is not in Debian: TARE_CRICTL names it, or it is in PATH.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { cached, mustSucceed } from "../harness/fixtures.ts";
import { IMAGE_NAME, IMAGE_TAG, images } from "../harness/images.ts";
import { patiently, runtimeProgram } from "../harness/places.ts";
import { run } from "../harness/run.ts";
import { openScene, type Scene } from "../harness/scene.ts";
import { type EngineHost, lacks, openHost } from "./host.ts";

setDefaultTimeout(patiently(240_000));

const { TARE_CRICTL: CRICTL = "crictl" } = process.env;
const CNI_PROGRAMS = "/usr/lib/cni";
const SOCKET = "unix:///run/containerd/containerd.sock";
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

type Cri = (...words: string[]) => Promise<string>;

/** containerd with both images; answers crictl, which throws when it fails. */
async function startCri(scene: Scene, host: EngineHost): Promise<Cri> {
  const config = join(scene.dir, "containerd.toml");
  writeFileSync(config, settings(scene));
  mustSucceed(await run(["mkdir", join(scene.dir, "cni")]));
  writeFileSync(join(scene.dir, "cni/10-pods.conflist"), JSON.stringify(NETWORK));
  const crictl = [CRICTL, "--runtime-endpoint", SOCKET, "--image-endpoint", SOCKET];
  await host.daemon(["containerd", "--config", config], [...crictl, "info"]);
  const { dockerArchive } = await images();
  for (const archive of [dockerArchive, await pauseImage()]) {
    await host.sh(`ctr --namespace k8s.io image import ${archive}`);
  }
  return async (...words) => {
    const ran = await host.run(...crictl, ...words);
    if (ran.code === 0) return ran.stdout.trim();
    const log = await host.sh("tail -n 5 /run/containerd.log");
    throw new Error(`crictl ${words.join(" ")}: ${ran.stderr}${ran.stdout}\n${log}`);
  };
}

function writeConfigs(scene: Scene): { readonly pod: string; readonly container: string } {
  const [pod, container] = [join(scene.dir, "pod.json"), join(scene.dir, "container.json")];
  const podConfig = {
    metadata: { name: "pod", namespace: "default", uid: scene.mark, attempt: 1 },
    hostname: "the-pod",
    log_directory: "/run/pod-logs",
    linux: { cgroup_parent: `/${scene.mark}-pod` },
  };
  const containerConfig = {
    metadata: { name: "long", attempt: 1 },
    image: { image: IMAGE },
    command: ["/bin/sh", "-c"],
    args: ["echo began; trap 'exit 9' USR1; while :; do sleep 0.05; done"],
    log_path: "long.log",
    linux: { resources: { memory_limit_in_bytes: 64 * MIB } },
  };
  writeFileSync(pod, JSON.stringify(podConfig));
  writeFileSync(container, JSON.stringify(containerConfig));
  return { pod, container };
}

const missing =
  lacks("containerd", "ctr", "containerd-shim-runc-v2", "skopeo", "umoci", CRICTL) ||
  !existsSync(join(CNI_PROGRAMS, "ptp"));

test.skipIf(missing)("a pod of containerd's CRI plug-in, with tare as its handler", async () => {
  const scene = await openScene();
  const host = await openHost(scene);
  const cri = await startCri(scene, host);
  const files = writeConfigs(scene);

  const pod = await cri("runp", "--runtime", "tare", files.pod);
  const id = await cri("create", pod, files.container, files.pod);
  await cri("start", id);
  const inspect = async (path: string) =>
    await cri("inspect", "--output", "go-template", "--template", `{{${path}}}`, id);
  expect(await inspect(".status.state")).toBe("CONTAINER_RUNNING");
  const pid = await inspect(".info.pid");
  expect(await host.memoryLimit(pid)).toBe(String(64 * MIB));
  expect(await host.cgroups(id)).not.toEqual([]);

  expect(await cri("exec", "--sync", id, "sh", "-c", "id -u; hostname")).toBe("1000\nthe-pod");
  expect(await cri("exec", id, "ip", "-4", "addr", "show", "eth0")).toContain("inet 10.99.0.");
  await expect(cri("exec", "--sync", id, "sh", "-c", "exit 5")).rejects.toThrow("5");
  expect(await cri("logs", id)).toBe("began");
  const { stats } = JSON.parse(await cri("stats", "--output", "json", "--id", id));
  expect(Number(stats[0].memory.workingSetBytes.value)).toBeGreaterThan(0);
  await cri("update", "--memory", String(96 * MIB), id);
  expect(await host.memoryLimit(pid)).toBe(String(96 * MIB));

  await cri("stop", "--timeout", "20", id);
  expect(await inspect(".status.exitCode")).toBe("9");
  await cri("rm", id);
  await cri("stopp", pod);
  await cri("rmp", pod);
  expect(await cri("pods", "--quiet")).toBe("");
  expect(await cri("ps", "--all", "--quiet")).toBe("");
  expect(await host.cgroups(id)).toEqual([]);
  expect(await host.cgroups(pod)).toEqual([]);
});
