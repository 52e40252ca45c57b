/** podman drives the runtime with all of its own state in the host of the test. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { IMAGE_NAME, IMAGE_TAG, images } from "../harness/images.ts";
import { patiently, runtimeProgram } from "../harness/places.ts";
import { openScene } from "../harness/scene.ts";
import { lacks, openHost } from "./host.ts";

setDefaultTimeout(patiently(180_000));

const IMAGE = `${IMAGE_NAME}:${IMAGE_TAG}`;
const MIB = 1024 * 1024;

/** Where CAP_SYS_RESOURCE is missing podman's own limits cannot be had. */
const settings = (runtime: string) => `[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "tare"
[engine.runtimes]
tare = ["${runtime}"]
`;

test.skipIf(lacks("podman", "conmon", "skopeo", "umoci"))(
  "podman, with tare in containers.conf",
  async () => {
    const scene = await openScene();
    const { dockerArchive } = await images();
    const config = join(scene.dir, "containers.conf");
    writeFileSync(config, settings(runtimeProgram()));
    const host = await openHost(scene);
    const run = (...words: string[]) =>
      host.run("env", `CONTAINERS_CONF=${config}`, "podman", "--storage-driver", "vfs", ...words);
    const podman = async (...words: string[]) => {
      const ran = await run(...words);
      if (ran.code !== 0) throw new Error(`podman ${words.join(" ")}: ${ran.stderr}${ran.stdout}`);
      return ran.stdout.trim();
    };

    await podman("load", "--input", dockerArchive);
    expect(await podman("info", "--format", "{{.Host.OCIRuntime.Name}}")).toBe("tare");
    const said = await podman("run", "--rm", "--network", "none", IMAGE);
    expect(said).toBe("hello from the image\n1000\n/home/test");
    const byPath = [
      "--runtime",
      runtimeProgram(),
      "run",
      "--rm",
      "--network",
      "none",
      IMAGE,
      "pwd",
    ];
    expect(await podman(...byPath)).toBe("/home/test");
    const failing = await run("run", "--rm", "--network", "none", IMAGE, "ulimit -n; exit 7");
    expect(failing).toMatchObject({ stdout: "4096\n", code: 7 });

    const loop = "trap 'exit 9' USR1; while :; do sleep 0.05; done";
    const flags = ["--network", "none", "--memory", "64m", "--pids-limit", "50"];
    const id = await podman("run", "-d", "--name", "long", ...flags, IMAGE, loop);
    const pid = await podman("inspect", "--format", "{{.State.Pid}}", "long");
    expect(await host.memoryLimit(pid)).toBe(String(64 * MIB));
    expect(await podman("exec", "--user", "0", "long", "sh", "-c", "id -u; cat /added")).toBe(
      "0\nadded",
    );
    expect((await run("exec", "long", "sh", "-c", "exit 5")).code).toBe(5);
    const stats = await podman(
      "stats",
      "--no-stream",
      "--format",
      "{{.MemUsage}} {{.PIDS}}",
      "long",
    );
    expect(stats).toMatch(/ \/ 67\.11MB [1-9]/);

    await podman("pause", "long");
    expect(await podman("inspect", "--format", "{{.State.Status}}", "long")).toBe("paused");
    await podman("unpause", "long");
    await podman("update", "--memory", "96m", "long");
    expect(await host.memoryLimit(pid)).toBe(String(96 * MIB));

    await podman("stop", "--time", "20", "long");
    expect(await podman("wait", "long")).toBe("9");
    await podman("rm", "long");
    expect(await podman("ps", "--all", "--quiet")).toBe("");
    expect(await host.cgroups(id)).toEqual([]);
  },
);
