/** Other engines drive the runtime by its command line: podman with all of its state in the scene. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { copyRootfs } from "../harness/fixtures.ts";
import { patiently, runtimeProgram } from "../harness/places.ts";
import { type Ran, run } from "../harness/run.ts";
import { openScene, type Scene } from "../harness/scene.ts";

setDefaultTimeout(patiently(120_000));

/** Directories podman writes to whatever it is told; the scene's lie over them. */
const PODMAN_STATE = ["/run/libpod", "/run/containers", "/var/lib/containers", "/var/lib/cni"];

type Podman = (...words: string[]) => Promise<Ran>;

/** Podman in a mount namespace of its own, which one sleeping process holds for all its calls. */
async function openPodman(scene: Scene): Promise<Podman> {
  const mounts = PODMAN_STATE.map((dir) => `test -d ${dir} && mount -t tmpfs none ${dir};`).join(
    " ",
  );
  const holder = Bun.spawn(
    ["unshare", "--mount", "sh", "-c", `${mounts} echo ready; exec sleep 600`],
    {
      stdout: "pipe",
    },
  );
  await holder.stdout.getReader().read();
  scene.defer(async () => {
    holder.kill("SIGKILL");
    await holder.exited;
  });
  const dirs = ["root", "runroot", "tmp"].map((name) => join(scene.dir, "podman", name));
  for (const dir of dirs) mkdirSync(dir, { recursive: true });
  const [root = "", runroot = "", tmpdir = ""] = dirs;
  const flags = [
    "--root",
    root,
    "--runroot",
    runroot,
    "--tmpdir",
    tmpdir,
    "--cgroup-manager",
    "cgroupfs",
  ];
  const enter = ["nsenter", `--mount=/proc/${holder.pid}/ns/mnt`, "podman", ...flags];
  return (...words) =>
    run(
      [
        ...enter,
        "--storage-driver",
        "vfs",
        "--events-backend",
        "none",
        "--runtime",
        runtimeProgram(),
        ...words,
      ],
      {
        env: { TARE_TEST_MARK: scene.mark },
        timeoutMs: 60_000,
      },
    );
}

/** The machine may not let limits rise, and has no need of a network here. */
const RUN_FLAGS = [
  "--network",
  "none",
  "--ulimit",
  "nofile=1024:1024",
  "--ulimit",
  "nproc=4096:4096",
];

test.skipIf(Bun.which("podman") === null)(
  "podman runs, waits, stops and removes containers",
  async () => {
    const scene = await openScene();
    const podman = await openPodman(scene);
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    const env = ["--env", `TARE_TEST_MARK=${scene.mark}`];

    const echo = await podman(
      "run",
      "--rm",
      ...RUN_FLAGS,
      ...env,
      "--rootfs",
      rootfs,
      "sh",
      "-c",
      "echo out; exit 4",
    );
    expect(echo).toMatchObject({ stdout: "out\n", code: 4 });

    const name = `${scene.mark}-long`;
    const trap = "trap 'exit 9' TERM; while :; do sleep 0.05; done";
    const started = await podman(
      "run",
      "-d",
      "--name",
      name,
      ...RUN_FLAGS,
      ...env,
      "--rootfs",
      rootfs,
      "sh",
      "-c",
      trap,
    );
    expect(started.code).toBe(0);
    const inspect = await podman("inspect", "--format", "{{.State.Status}} {{.OCIRuntime}}", name);
    expect(inspect.stdout).toStartWith("running ");
    expect((await podman("stop", "--time", "5", name)).code).toBe(0);
    expect((await podman("wait", name)).stdout).toBe("9\n");
    expect((await podman("rm", name)).code).toBe(0);
    expect((await podman("ps", "--all", "--quiet")).stdout).toBe("");
  },
);
