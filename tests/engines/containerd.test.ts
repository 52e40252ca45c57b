/** containerd by its own client: the shim of Debian's package calls the runtime. */
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
const SETTINGS = 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n';

test.skipIf(lacks("containerd", "ctr", "containerd-shim-runc-v2", "skopeo", "umoci"))(
  "containerd's ctr, with --runc-binary",
  async () => {
    const scene = await openScene();
    const { dockerArchive } = await images();
    const config = join(scene.dir, "containerd.toml");
    writeFileSync(config, SETTINGS);
    const host = await openHost(scene);
    await host.daemon(["containerd", "--config", config], ["ctr", "version"]);
    const ctr = async (...words: string[]) => {
      const ran = await host.run("ctr", ...words);
      if (ran.code !== 0) throw new Error(`ctr ${words.join(" ")}: ${ran.stderr}${ran.stdout}`);
      return ran.stdout.trim();
    };
    const runtime = ["--runtime", "io.containerd.runc.v2", "--runc-binary", runtimeProgram()];

    await ctr("image", "import", dockerArchive);
    const once = `${scene.mark}-once`;
    expect(await ctr("run", "--rm", ...runtime, IMAGE, once)).toBe(
      "hello from the image\n1000\n/home/test",
    );
    const failing = await host.run(
      "ctr",
      "run",
      "--rm",
      ...runtime,
      IMAGE,
      once,
      "sh",
      "-c",
      "exit 7",
    );
    expect(failing.code).toBe(7);

    const id = `${scene.mark}-long`;
    const loop = "trap 'exit 9' TERM; while :; do sleep 0.05; done";
    const group = ["--cgroup", `/ctr/${id}`, "--memory-limit", String(64 * MIB)];
    await ctr("run", "-d", ...runtime, ...group, IMAGE, id, "sh", "-c", loop);
    const status = async () => (await ctr("task", "ls")).split("\n").at(-1)?.split(/\s+/) ?? [];
    const [, pid = "", running] = await status();
    expect(running).toBe("RUNNING");
    expect(await host.memoryLimit(pid)).toBe(String(64 * MIB));

    const exec = ["task", "exec", "--exec-id", "more"];
    expect(await ctr(...exec, id, "sh", "-c", "id -u; cat /added")).toBe("1000\nadded");
    expect((await host.run("ctr", ...exec, id, "sh", "-c", "exit 5")).code).toBe(5);
    expect(await ctr("task", "ps", id)).toContain(pid);
    expect(await ctr("task", "metrics", "--format", "json", id)).toContain(String(64 * MIB));

    await ctr("task", "pause", id);
    expect((await status())[2]).toBe("PAUSED");
    await ctr("task", "resume", id);
    await ctr("task", "kill", "--signal", "SIGTERM", id);
    while ((await status())[2] !== "STOPPED") await Bun.sleep(50);
    const deleted = await host.run("ctr", "task", "delete", id);
    expect(deleted.stderr).toContain("exit code 9");
    await ctr("container", "delete", id);
    expect(await ctr("container", "ls", "--quiet")).toBe("");
    expect(await host.cgroups(id)).toEqual([]);
  },
);
