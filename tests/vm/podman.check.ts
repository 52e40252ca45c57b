/**
 * Runs inside the virtual machine whose pid 1 is systemd: podman with its systemd cgroup manager, and
 * with criu, which works on that machine's kernel.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustSucceed } from "../harness/fixtures.ts";
import { patiently, runtimeProgram, stubbornly } from "../harness/places.ts";
import { type Ran, run } from "../harness/run.ts";
import { openScene, type Scene } from "../harness/scene.ts";

setDefaultTimeout(patiently(120_000));

const IMAGE = "localhost/busybox:test";
const MIB = 1024 * 1024;
const COMMAND_TIMEOUT_MS = 60_000;
const LONG_MS = 30_000;

const lacking = ["podman", "conmon", "criu"].some((name) => Bun.which(name) === null);
const impossible = lacking || !existsSync("/run/systemd/system");

const SETTINGS = `[containers]
log_driver = "k8s-file"
[engine]
events_logger = "none"
`;
const POLICY = '{ "default": [{ "type": "insecureAcceptAnything" }] }';

type Podman = {
  /** Answers what it printed; throws when it fails. */
  readonly must: (...words: string[]) => Promise<string>;
  readonly may: (...words: string[]) => Promise<Ran>;
};

/** With its state in the scene, and the image in it. */
async function openPodman(scene: Scene): Promise<Podman> {
  const config = join(scene.dir, "containers.conf");
  const home = join(scene.dir, "home");
  mkdirSync(join(home, ".config/containers"), { recursive: true });
  writeFileSync(join(home, ".config/containers/policy.json"), POLICY);
  writeFileSync(config, SETTINGS);
  const places = ["root", "runroot", "tmpdir"].flatMap((name) => [
    `--${name}`,
    join(scene.dir, `podman-${name}`),
  ]);
  const means = ["--storage-driver=vfs", "--cgroup-manager=systemd", "--runtime", runtimeProgram()];
  const may = (...words: string[]) =>
    run(["podman", ...places, ...means, ...words], {
      env: { CONTAINERS_CONF: config, HOME: home, TARE_TEST_MARK: scene.mark },
      timeoutMs: patiently(COMMAND_TIMEOUT_MS),
    });
  const must = async (...words: string[]) => {
    const ran = await may(...words);
    if (ran.code !== 0) throw new Error(`podman ${words.join(" ")}: ${ran.stderr}${ran.stdout}`);
    return ran.stdout.trim();
  };
  // What criu of that machine would use else, iptables, is not there.
  mkdirSync("/etc/criu", { recursive: true });
  writeFileSync("/etc/criu/default.conf", "network-lock nftables\n");
  scene.defer(() => may("rm", "--all", "--force", "--time", "0"));
  const tarball = join(scene.dir, "image.tar");
  mustSucceed(await run(["tar", "-C", scene.rootfs, "-cf", tarball, "."]));
  await must("import", "--change", "CMD sh", tarball, IMAGE);
  return { must, may };
}

/** Asks systemctl, which is the judge. */
async function show(unit: string, name: string): Promise<string> {
  const ran = await run(["systemctl", "show", unit, "-p", name, "--value"]);
  return mustSucceed(ran).stdout.trim();
}

async function eventually<T>(ask: () => Promise<T>, holds: (answer: T) => boolean): Promise<T> {
  const end = performance.now() + stubbornly(LONG_MS);
  for (;;) {
    const answer = await ask();
    if (holds(answer)) return answer;
    if (performance.now() > end) throw new Error(`In vain; the last was ${JSON.stringify(answer)}`);
    await Bun.sleep(100);
  }
}

test.skipIf(impossible)("podman: a container is a scope, with its limits there", async () => {
  const scene = await openScene();
  const { must, may } = await openPodman(scene);
  const failing = await may("run", "--rm", "--network=none", IMAGE, "sh", "-c", "echo out; exit 7");
  expect(failing).toMatchObject({ stdout: "out\n", code: 7 });

  const flags = ["--network=none", "--memory=64m", "--pids-limit=50"];
  const loop = "trap 'exit 9' TERM; while :; do sleep 0.05; done";
  const id = await must("run", "-d", "--name", "long", ...flags, IMAGE, "sh", "-c", loop);
  const unit = `libpod-${id}.scope`;
  expect(await show(unit, "ActiveState")).toBe("active");
  expect(await show(unit, "MemoryMax")).toBe(String(64 * MIB));
  expect(await show(unit, "TasksMax")).toBe("50");
  expect(await must("exec", "long", "sh", "-c", "id -u")).toBe("0");
  expect((await may("exec", "long", "sh", "-c", "exit 5")).code).toBe(5);
  const usage = ["--no-stream", "--format", "{{.MemUsage}} {{.PIDS}}"];
  expect(await must("stats", ...usage, "long")).toMatch(/ \/ 67\.11MB [1-9]/);

  await must("pause", "long");
  expect(await must("inspect", "--format", "{{.State.Status}}", "long")).toBe("paused");
  await must("unpause", "long");
  await must("update", "--memory=96m", "--memory-swap=96m", "long");
  expect(await show(unit, "MemoryMax")).toBe(String(96 * MIB));

  await must("stop", "--time", "60", "long");
  expect(await must("wait", "long")).toBe("9");
  await must("rm", "long");
  expect(await must("ps", "--all", "--quiet")).toBe("");
  expect(await show(unit, "ActiveState")).toBe("inactive");
});

/** Each line has what only the memory of the program knows: a name chosen at its start, and a count. */
const COUNTER = `name=$(cat /proc/sys/kernel/random/uuid); count=0
  while :; do count=$((count + 1)); echo $name $count; sleep 0.2; done`;

type Line = { readonly name: string; readonly count: number };

async function lastLine({ must }: Podman, container: string): Promise<Line> {
  const [name = "", count = "0"] = (await must("logs", "--tail", "1", container)).split(" ");
  return { name, count: Number(count) };
}

async function counting(podman: Podman, container: string, from: number): Promise<Line> {
  return await eventually(
    () => lastLine(podman, container),
    ({ count }) => count > from + 2,
  );
}

test.skipIf(impossible)("podman: a container goes on after a checkpoint", async () => {
  const scene = await openScene();
  const podman = await openPodman(scene);
  const { must } = podman;
  const id = await must("run", "-d", "--name", "one", "--network=none", IMAGE, "sh", "-c", COUNTER);
  const first = await counting(podman, "one", 0);
  await must("container", "checkpoint", "one");
  expect(await must("inspect", "--format", "{{.State.Status}}", "one")).toBe("exited");
  const saved = await lastLine(podman, "one");
  expect(saved.name).toBe(first.name);

  await must("container", "restore", "one");
  expect(await must("inspect", "--format", "{{.State.Status}}", "one")).toBe("running");
  expect(await show(`libpod-${id}.scope`, "ActiveState")).toBe("active");
  const restored = await counting(podman, "one", saved.count);
  expect(restored.name).toBe(first.name);
  // What is added now is as confined as what was restored.
  const filters = ["grep", "-h", "Seccomp:", "/proc/1/status", "/proc/self/status"];
  expect((await must("exec", "one", ...filters)).match(/2$/gm)).toHaveLength(2);
  await must("rm", "--force", "--time", "0", "one");
});

test.skipIf(impossible)("podman: a terminal comes back", async () => {
  const scene = await openScene();
  const podman = await openPodman(scene);
  const { must } = podman;
  const flags = ["-d", "--tty", "--network=none", "--name", "three"];
  await must("run", ...flags, IMAGE, "sh", "-c", COUNTER);
  const first = await counting(podman, "three", 0);
  await must("container", "checkpoint", "three");
  const saved = await lastLine(podman, "three");
  await must("container", "restore", "three");
  const restored = await counting(podman, "three", saved.count);
  expect(restored.name).toBe(first.name);
  expect(await must("exec", "three", "sh", "-c", "readlink /proc/1/fd/1")).toBe("/dev/pts/0");
  await must("rm", "--force", "--time", "0", "three");
});

test.skipIf(impossible)("podman: a checkpoint leaves the machine and comes back", async () => {
  const scene = await openScene();
  const podman = await openPodman(scene);
  const { must } = podman;
  await must("run", "-d", "--name", "two", "--network=none", IMAGE, "sh", "-c", COUNTER);
  const first = await counting(podman, "two", 0);
  const archive = join(scene.dir, "checkpoint.tar");
  await must(
    "container",
    "checkpoint",
    "--leave-running",
    "--compress=none",
    "--export",
    archive,
    "two",
  );
  expect(await must("inspect", "--format", "{{.State.Status}}", "two")).toBe("running");
  await must("rm", "--force", "--time", "0", "two");

  await must("container", "restore", "--import", archive, "--name", "other");
  const restored = await counting(podman, "other", first.count);
  expect(restored.name).toBe(first.name);
  await must("rm", "--force", "--time", "0", "other");
});
