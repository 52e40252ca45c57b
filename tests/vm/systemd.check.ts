/**
 * Runs inside the virtual machine whose pid 1 is systemd: containers as its scopes, seen through
 * systemctl(1), which is the judge.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { chownSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { onlyCgroup2 } from "../harness/cgroups.ts";
import { copyRootfs, mustSucceed } from "../harness/fixtures.ts";
import { patiently } from "../harness/places.ts";
import { OutputFiles, type Ran, run, runToFiles, until } from "../harness/run.ts";
import {
  openScene,
  type Scene,
  type SceneBundle,
  type SceneBundleOptions,
} from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

const CGROUPS = "/sys/fs/cgroup";
const INFINITY = "infinity";

function bundleIn(scene: Scene, options: SceneBundleOptions = {}, slice = ""): SceneBundle {
  return scene.bundle({
    ...options,
    edit: (config) => {
      config.linux.cgroupsPath = `${slice}:tt:${scene.mark}`;
      options.edit?.(config);
    },
  });
}

function unitOf(scene: Scene): string {
  return `tt-${scene.mark}.scope`;
}

async function create(scene: Scene, bundle: SceneBundle): Promise<void> {
  const output = new OutputFiles();
  scene.defer(() => output[Symbol.dispose]());
  const argv = scene.command("--systemd-cgroup", "create", "-b", bundle.dir, bundle.id);
  const ran = await runToFiles(argv, output, { env: { TARE_TEST_MARK: scene.mark } });
  expect(ran.stderr).toBe("");
  expect((await scene.start(bundle.id)).code).toBe(0);
}

async function remove(scene: Scene, { id }: SceneBundle): Promise<void> {
  expect(await scene.delete(id, "--force")).toMatchObject({ code: 0, stderr: "" });
}

function runIn(scene: Scene, bundle: SceneBundle, env: Record<string, string> = {}): Promise<Ran> {
  const argv = scene.command("--systemd-cgroup", "run", "-b", bundle.dir, bundle.id);
  return run(argv, { env: { TARE_TEST_MARK: scene.mark, ...env } });
}

async function show(unit: string, ...names: string[]): Promise<Record<string, string>> {
  const ran = await run(["systemctl", "show", unit, ...names.flatMap((name) => ["-p", name])]);
  const lines = mustSucceed(ran).stdout.trim().split("\n");
  return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
}

/** Whether systemd knows nothing of a unit, not even that it failed. */
async function isForgotten(unit: string): Promise<boolean> {
  const ran = await run(["systemctl", "list-units", "--all", "--no-legend", "--plain", unit]);
  return mustSucceed(ran).stdout.trim() === "";
}

function readIn(dir: string, file: string): string {
  return readFileSync(join(CGROUPS, dir, file), "utf8").trim();
}

test("pid 1 is systemd, on cgroup v2 alone", () => {
  expect(readFileSync("/proc/1/comm", "utf8")).toBe("systemd\n");
  expect(existsSync("/run/systemd/system")).toBeTrue();
  expect(onlyCgroup2()).toBeTrue();
});

const HOST_VIEW: SceneBundleOptions = {
  sh: "cat /proc/self/cgroup",
  edit: (config) => {
    config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "cgroup");
  },
};

test.each([
  ["", "system.slice"],
  ["tare-a.slice", "tare.slice/tare-a.slice"],
  ["-.slice", ""],
])("in the slice %p a container lies in /%s, and no unit is left of it", async (slice, path) => {
  const scene = await openScene();
  const ran = await runIn(scene, bundleIn(scene, HOST_VIEW, slice));
  expect(ran.stderr).toBe("");
  expect(ran.stdout.trim()).toBe(`0::${join("/", path, unitOf(scene))}`);
  expect(await isForgotten(unitOf(scene))).toBeTrue();
  expect(existsSync(join(CGROUPS, path, unitOf(scene)))).toBeFalse();
});

test("the same over the bus instead of systemd's own socket", async () => {
  const scene = await openScene();
  const bus = "unix:path=/run/dbus/system_bus_socket";
  const ran = await runIn(scene, bundleIn(scene, HOST_VIEW), { DBUS_SYSTEM_BUS_ADDRESS: bus });
  expect(ran.stderr).toBe("");
  expect(ran.stdout.trim()).toBe(`0::/system.slice/${unitOf(scene)}`);
  expect(await isForgotten(unitOf(scene))).toBeTrue();
});

const LIMITS = {
  memory: { limit: 64 * 2 ** 20, reservation: 32 * 2 ** 20, swap: 96 * 2 ** 20 },
  cpu: { shares: 512, quota: 50_000, period: 200_000, cpus: "0" },
  pids: { limit: 50 },
  unified: { "memory.high": String(48 * 2 ** 20) },
};

test("limits are systemd's and the kernel's, and stay when systemd reads its units again", async () => {
  const scene = await openScene();
  const bundle = bundleIn(scene, { args: ["sleep", "1000"], linux: { resources: LIMITS } });
  await create(scene, bundle);
  const unit = unitOf(scene);
  const names = ["Slice", "Delegate", "MemoryMax", "MemoryLow", "MemoryHigh", "MemorySwapMax"];
  const more = [
    "CPUQuotaPerSecUSec",
    "CPUQuotaPeriodUSec",
    "TasksMax",
    "AllowedCPUs",
    "DevicePolicy",
  ];
  const seen = await show(unit, ...names, ...more, "ActiveState", "CollectMode", "Description");
  expect(seen).toEqual({
    Slice: "system.slice",
    Delegate: "yes",
    MemoryMax: "67108864",
    MemoryLow: "33554432",
    MemoryHigh: "50331648",
    MemorySwapMax: "33554432",
    CPUQuotaPerSecUSec: "250ms",
    CPUQuotaPeriodUSec: "200ms",
    TasksMax: "50",
    AllowedCPUs: "0",
    DevicePolicy: "strict",
    ActiveState: "active",
    CollectMode: "inactive-or-failed",
    Description: `tare container ${bundle.id}`,
  });
  const inKernel = () => {
    const files = ["memory.max", "memory.low", "memory.high", "memory.swap.max", "cpu.max"];
    const dir = `system.slice/${unit}`;
    return [...files, "pids.max", "cpuset.cpus"].map((file) => readIn(dir, file));
  };
  const wanted = ["67108864", "33554432", "50331648", "33554432", "50000 200000", "50", "0"];
  expect(inKernel()).toEqual(wanted);
  mustSucceed(await run(["systemctl", "daemon-reload"], { timeoutMs: 60_000 }));
  expect(inKernel()).toEqual(wanted);
  await remove(scene, bundle);
  expect(await isForgotten(unit)).toBeTrue();
});

test("update changes both, and exec joins the scope", async () => {
  const scene = await openScene();
  const bundle = bundleIn(scene, { args: ["sleep", "1000"], linux: { resources: LIMITS } });
  await create(scene, bundle);
  const words = ["--pids-limit", "60", "--memory", "128m", "--memory-swap", "128m"];
  const updated = await scene.verb("update", ...words, "--cpu-quota", "-1", bundle.id);
  expect(updated).toMatchObject({ code: 0, stderr: "" });
  const unit = unitOf(scene);
  expect(await show(unit, "TasksMax", "MemoryMax", "CPUQuotaPerSecUSec")).toEqual({
    TasksMax: "60",
    MemoryMax: "134217728",
    CPUQuotaPerSecUSec: INFINITY,
  });
  const dir = `system.slice/${unit}`;
  expect([readIn(dir, "pids.max"), readIn(dir, "memory.max")]).toEqual(["60", "134217728"]);
  const inside = await scene.verb("exec", bundle.id, "sh", "-c", "cat /proc/self/cgroup; nproc");
  expect(inside).toMatchObject({ code: 0, stdout: "0::/\n1\n" });
  const output = new OutputFiles();
  scene.defer(() => output[Symbol.dispose]());
  const detached = scene.command("exec", "--detach", bundle.id, "sleep", "1000");
  const env = { TARE_TEST_MARK: scene.mark };
  expect(await runToFiles(detached, output, { env })).toMatchObject({ code: 0, stderr: "" });
  expect(readIn(dir, "cgroup.procs").split("\n")).toHaveLength(2);
  expect((await scene.verb("pause", bundle.id)).code).toBe(0);
  expect((await scene.state(bundle.id))?.status).toBe("paused");
  expect((await scene.verb("resume", bundle.id)).code).toBe(0);
  await remove(scene, bundle);
  expect(await isForgotten(unit)).toBeTrue();
});

test("devices: what is not listed stays closed, also after systemd has read its units again", async () => {
  const scene = await openScene();
  const sh = "mknod /tmp/d b 254 0; head -c 1 /dev/null && ! head -c 1 /tmp/d 2>&1";
  const tmp = { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["mode=1777"] };
  const bundle = bundleIn(scene, { args: ["sleep", "1000"], mounts: [tmp] });
  await create(scene, bundle);
  const look = () => scene.verb("exec", "--cap", "CAP_MKNOD", bundle.id, "sh", "-c", sh);
  const before = await look();
  expect(before.stdout).toContain("Operation not permitted");
  mustSucceed(await run(["systemctl", "daemon-reload"], { timeoutMs: 60_000 }));
  expect((await look()).stdout).toContain("Operation not permitted");
  await remove(scene, bundle);
});

test("one that the kernel killed for its memory leaves no failed unit", async () => {
  const scene = await openScene();
  const resources = { memory: { limit: 16 * 2 ** 20, swap: 16 * 2 ** 20 } };
  const bundle = bundleIn(scene, { args: ["/t/eat-memory", "64"], linux: { resources } });
  const ran = await runIn(scene, bundle);
  expect(ran.code).toBe(137);
  expect(await isForgotten(unitOf(scene))).toBeTrue();
});

test("what ends by itself is forgotten by systemd, and delete finds nothing to complain of", async () => {
  const scene = await openScene();
  const bundle = bundleIn(scene, { args: ["true"] });
  await create(scene, bundle);
  await scene.waitForStatus(bundle.id, "stopped");
  let forgotten = false;
  for (let tries = 0; tries < 100 && !forgotten; tries++) {
    forgotten = await isForgotten(unitOf(scene));
  }
  expect(forgotten).toBeTrue();
  expect(await scene.delete(bundle.id)).toMatchObject({ code: 0, stderr: "" });
});

test("a unit's name that is taken is an error, and the other container stays", async () => {
  const scene = await openScene();
  const first = bundleIn(scene, { args: ["sleep", "1000"] });
  await create(scene, first);
  const second = await runIn(scene, bundleIn(scene, { args: ["true"] }));
  expect(second.code).toBe(1);
  expect(second.stderr).toContain("already");
  expect((await scene.state(first.id))?.status).toBe("running");
  expect(await show(unitOf(scene), "ActiveState")).toEqual({ ActiveState: "active" });
  await remove(scene, first);
});

test("annotations are properties; one that systemd refuses is an error with its words", async () => {
  const scene = await openScene();
  const annotations = {
    "org.systemd.property.TimeoutStopSec": "7",
    "org.systemd.property.RuntimeMaxUSec": "uint64 900000000",
    "org.systemd.property.After": "['dbus.service']",
  };
  const bundle = bundleIn(scene, { args: ["sleep", "1000"], annotations });
  await create(scene, bundle);
  const seen = await show(unitOf(scene), "TimeoutStopUSec", "RuntimeMaxUSec", "After");
  expect(seen).toMatchObject({ TimeoutStopUSec: "7s", RuntimeMaxUSec: "15min" });
  expect(Object.entries(seen).flat().join(" ")).toContain("dbus.service");
  await remove(scene, bundle);
  const wrong = { "org.systemd.property.CollectMode": "'sometimes'" };
  const ran = await runIn(scene, bundleIn(scene, { args: ["true"], annotations: wrong }));
  expect(ran.code).toBe(1);
  expect(ran.stderr).toContain("CollectMode");
});

test("the container's cgroup below the scope is its own to divide", async () => {
  const scene = await openScene();
  const sh = `cat /proc/self/cgroup && cd /sys/fs/cgroup && mkdir a b && echo $$ > a/cgroup.procs &&
    echo +pids +memory > cgroup.subtree_control && cat b/cgroup.controllers`;
  const bundle = bundleIn(scene, {
    sh,
    annotations: { "run.oci.systemd.subgroup": "container" },
    edit: (config) => {
      for (const mount of config.mounts) {
        if (mount.type === "cgroup") mount.options = ["nosuid", "noexec", "nodev", "rw"];
      }
    },
  });
  const ran = await runIn(scene, bundle);
  expect(ran.stderr).toBe("");
  expect(ran.stdout).toStartWith("0::/\n");
  expect(ran.stdout).toMatch(/memory.*pids/);
  expect(await isForgotten(unitOf(scene))).toBeTrue();
});

/** Of the image: tests/vm/machine.ts. */
const UID = 1000;

test("an ordinary user's container is a scope of the user's own systemd", async () => {
  const scene = await openScene();
  mustSucceed(await run(["loginctl", "enable-linger", "tester"]));
  const runtimeDir = `/run/user/${UID}`;
  const hasManager = () => existsSync(`${runtimeDir}/systemd/private`);
  await until(hasManager, 60_000, () => "the user's systemd");
  const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
  const maps = [{ containerID: 0, hostID: UID, size: 1 }];
  const bundle = bundleIn(scene, {
    rootfs,
    sh: "grep -o '/user@.*' /proc/self/cgroup; sleep 1000",
    linux: {
      uidMappings: maps,
      gidMappings: maps,
      resources: { pids: { limit: 33 } },
    },
    edit: (config) => {
      const kept = config.linux.namespaces.filter(({ type }) => type !== "cgroup");
      config.linux.namespaces = [...kept, { type: "user" }];
      config.mounts = config.mounts.filter(({ type }) => type !== "cgroup");
      for (const mount of config.mounts) {
        mount.options = mount.options?.filter((option) => option !== "gid=5") ?? [];
      }
    },
  });
  mustSucceed(await run(["chown", "-R", `${UID}:${UID}`, rootfs, bundle.dir, scene.stateRoot]));
  chownSync(scene.dir, UID, UID);
  const asUser = (...argv: string[]) => [
    ...["setpriv", "--reuid", String(UID), "--regid", String(UID), "--clear-groups"],
    ...["--inh-caps=-all", "env", `XDG_RUNTIME_DIR=${runtimeDir}`, ...argv],
  ];
  const output = new OutputFiles();
  scene.defer(() => output[Symbol.dispose]());
  const argv = scene.command("--systemd-cgroup", "run", "-d", "-b", bundle.dir, bundle.id);
  const ran = await runToFiles(asUser(...argv), output, { env: { TARE_TEST_MARK: scene.mark } });
  expect(ran.stderr).toBe("");
  expect(ran.code).toBe(0);
  const place = `/user@${UID}.service/user.slice/${unitOf(scene)}`;
  await until(
    () => output.stdout().includes(place),
    10_000,
    () => output.stdout(),
  );
  const shown = await run(asUser("systemctl", "--user", "show", unitOf(scene), "-p", "TasksMax"));
  expect(shown.stdout.trim()).toBe("TasksMax=33");
  const inside = await run(asUser(...scene.command("exec", bundle.id, "cat", "/proc/self/cgroup")));
  expect(inside).toMatchObject({ code: 0, stderr: "" });
  expect(inside.stdout).toContain(place);
  // The way to a cgroup below it leads through those of the machine's too.
  const below = `${CGROUPS}/user.slice/user-${UID}.slice${place}/inner`;
  mustSucceed(await run(asUser("mkdir", below)));
  const command = ["--cgroup", "inner", bundle.id, "cat", "/proc/self/cgroup"];
  const lower = await run(asUser(...scene.command("exec", ...command)));
  expect(lower).toMatchObject({ code: 0, stderr: "" });
  expect(lower.stdout.trim()).toEndWith(`${place}/inner`);
  const missing = ["--cgroup", "missing", bundle.id, "true"];
  expect((await run(asUser(...scene.command("exec", ...missing)))).code).not.toBe(0);
  const gone = await run(asUser(...scene.command("delete", "--force", bundle.id)));
  expect(gone).toMatchObject({ code: 0, stderr: "" });
  const left = ["systemctl", "--user", "list-units", "--all", "--no-legend", unitOf(scene)];
  expect((await run(asUser(...left))).stdout.trim()).toBe("");
});
