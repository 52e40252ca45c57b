/** dockerd, with the runtime as its default, asked by the docker command line. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { IMAGE_NAME, IMAGE_TAG, images } from "../harness/images.ts";
import { patiently, runtimeProgram } from "../harness/places.ts";
import { openScene, type Scene } from "../harness/scene.ts";
import { type EngineHost, lacks, openHost } from "./host.ts";

setDefaultTimeout(patiently(240_000));

const IMAGE = `${IMAGE_NAME}:${IMAGE_TAG}`;
const MIB = 1024 * 1024;
const CAP_SYS_ADMIN = 1n << 21n;

/** Of a line of /proc/PID/status. */
function capabilitiesIn(line: string): bigint {
  return BigInt(`0x${line.split("\t")[1]?.trim()}`);
}

/** No firewall and no bridge: that is dockerd's own work, and the runtime has no part in it. */
async function startDocker(scene: Scene, host: EngineHost): Promise<void> {
  const file = join(scene.dir, "daemon.json");
  const settings = {
    "default-runtime": "tare",
    runtimes: { tare: { path: runtimeProgram() } },
    "storage-driver": "vfs",
    bridge: "none",
    iptables: false,
    ip6tables: false,
    "oom-score-adjust": 0,
  };
  writeFileSync(file, JSON.stringify(settings));
  await host.daemon(["dockerd", "--config-file", file], ["docker", "version"]);
}

test.skipIf(lacks("dockerd", "docker", "containerd", "skopeo", "umoci"))(
  "docker, with tare in daemon.json",
  async () => {
    const scene = await openScene();
    const { dockerArchive } = await images();
    const host = await openHost(scene);
    await startDocker(scene, host);
    const docker = async (...words: string[]) => {
      const ran = await host.run("docker", ...words);
      if (ran.code !== 0) throw new Error(`docker ${words.join(" ")}: ${ran.stderr}${ran.stdout}`);
      return ran.stdout.trim();
    };

    await docker("load", "--input", dockerArchive);
    expect(await docker("info", "--format", "{{.DefaultRuntime}}")).toBe("tare");
    expect(await docker("run", "--rm", "--network", "none", IMAGE)).toBe(
      "hello from the image\n1000\n/home/test",
    );
    const limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"];
    const failing = await host.run("docker", "run", "--rm", ...limits, IMAGE, "ulimit -n; exit 7");
    expect(failing).toMatchObject({ stdout: "1024\n", code: 7 });

    // Whatever dockerd itself may do, and no complaint about what it may not.
    const strong = ["--privileged", "--user", "0", "--network", "none"];
    const status = ["grep", "CapEff", "/proc/self/status"];
    const privileged = await host.run("docker", "run", "--rm", ...strong, IMAGE, status.join(" "));
    expect(privileged).toMatchObject({ code: 0, stderr: "" });
    expect(capabilitiesIn(privileged.stdout) & CAP_SYS_ADMIN).not.toBe(0n);

    const statusOf = async (...words: string[]) =>
      (await host.run("docker", "run", "--rm", ...words)).code;
    expect(await statusOf("--entrypoint", "/nonexistent", IMAGE)).toBe(127);
    expect(await statusOf("--entrypoint", "/etc/passwd", IMAGE)).toBe(126);
    const onDirectory = ["run", "--rm", "--volume", "/etc/passwd:/bin", IMAGE];
    expect((await host.run("docker", ...onDirectory)).stderr).toContain("Are you trying to mount");

    const loop = "trap 'exit 9' USR1; while :; do sleep 0.05; done";
    const flags = ["--memory", "64m", "--pids-limit", "50"];
    const id = await docker("run", "-d", "--name", "long", ...flags, IMAGE, loop);
    const pid = await docker("inspect", "--format", "{{.State.Pid}}", "long");
    expect(await host.memoryLimit(pid)).toBe(String(64 * MIB));
    expect(await docker("exec", "--user", "0", "long", "sh", "-c", "id -u; cat /added")).toBe(
      "0\nadded",
    );
    expect((await host.run("docker", "exec", "long", "sh", "-c", "exit 5")).code).toBe(5);
    const inside = await docker("exec", "--privileged", "--user", "0", "long", ...status);
    expect(capabilitiesIn(inside) & CAP_SYS_ADMIN).not.toBe(0n);
    expect(await docker("top", "long")).toContain("sleep 0.05");
    const stats = await docker(
      "stats",
      "--no-stream",
      "--format",
      "{{.MemUsage}} {{.PIDs}}",
      "long",
    );
    expect(stats).toMatch(/ \/ 64MiB [1-9]/);

    await docker("pause", "long");
    expect(await docker("inspect", "--format", "{{.State.Status}}", "long")).toBe("paused");
    await docker("unpause", "long");
    await docker("update", "--memory", "96m", "--memory-swap", "192m", "long");
    expect(await host.memoryLimit(pid)).toBe(String(96 * MIB));

    await docker("stop", "--time", "20", "long");
    expect(await docker("wait", "long")).toBe("9");
    await docker("start", "long");
    await docker("kill", "long");
    expect(await docker("wait", "long")).toBe("137");
    await docker("rm", "long");
    expect(await docker("ps", "--all", "--quiet")).toBe("");
    expect(await host.cgroups(id)).toEqual([]);
  },
);
