/**
 * The systemd cgroup manager against a systemd of the test's own, which can fail at our word; what the
 * real one makes of it is for tests/vm/systemd.check.ts.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { hierarchies, onlyCgroup2 } from "../harness/cgroups.ts";
import { type Behaviour, FakeSystemd } from "../harness/fake-systemd.ts";
import { patiently, runtimeProgram } from "../harness/places.ts";
import { OutputFiles, type Ran, run, runToFiles } from "../harness/run.ts";
import {
  openScene,
  type Scene,
  type SceneBundle,
  type SceneBundleOptions,
} from "../harness/scene.ts";

setDefaultTimeout(patiently(120_000));

type Stage = { readonly scene: Scene; readonly systemd: FakeSystemd; readonly slice: string };

async function openStage(): Promise<Stage> {
  const scene = await openScene();
  const systemd = await FakeSystemd.open(join(scene.dir, "systemd"));
  scene.defer(() => systemd.close());
  // A dash would make it a slice in a slice.
  return { scene, systemd, slice: `${scene.mark.replaceAll("-", "_")}.slice` };
}

function bundleIn({ scene, slice }: Stage, options: SceneBundleOptions = {}): SceneBundle {
  return scene.bundle({
    ...options,
    edit: (config) => {
      config.linux.cgroupsPath = `${slice}:tt:${config.hostname ?? "x"}`;
      options.edit?.(config);
    },
  });
}

function runtime({ scene, systemd }: Stage, ...words: string[]): Promise<Ran> {
  const argv = [runtimeProgram(), "--root", scene.stateRoot, "--systemd-cgroup", ...words];
  const env = { TARE_TEST_MARK: scene.mark, ...systemd.environment };
  return run(argv, { env, timeoutMs: 60_000 });
}

/** `create`; what the container writes goes to a file that nobody reads. */
async function create(stage: Stage, bundle: SceneBundle): Promise<Ran> {
  const output = new OutputFiles();
  stage.scene.defer(() => output[Symbol.dispose]());
  const argv = stage.scene.command("--systemd-cgroup", "create", "-b", bundle.dir, bundle.id);
  const env = { TARE_TEST_MARK: stage.scene.mark, ...stage.systemd.environment };
  return runToFiles(argv, output, { env });
}

function runIn(stage: Stage, options: SceneBundleOptions): Promise<Ran> {
  const bundle = bundleIn(stage, options);
  return runtime(stage, "run", "--bundle", bundle.dir, bundle.id);
}

const SHOW_CGROUP = { sh: "cat /proc/self/cgroup" } as const;
/** The paths in a file as /proc/PID/cgroup, but for hierarchies that are mounted elsewhere only. */
function pathsOf(text: string): string[] {
  const mounted = hierarchies().flatMap(({ controllers }) => controllers);
  return text
    .trim()
    .split("\n")
    .map((line) => line.split(":"))
    .filter(
      ([, name = ""]) =>
        name === "" || name.includes("=") || mounted.includes(name.split(",")[0] ?? ""),
    )
    .map(([, , path = ""]) => path);
}

/** What the container sees of its cgroups where it has no namespace for them. */
const withoutNamespace = (config: { linux: { namespaces: { type: string }[] } }): void => {
  config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "cgroup");
};

test("a container lies in its scope in every hierarchy, and nothing is left of it", async () => {
  const stage = await openStage();
  const ran = await runIn(stage, { ...SHOW_CGROUP, hostname: "web", edit: withoutNamespace });
  expect(ran.stderr).toBe("");
  expect(new Set(pathsOf(ran.stdout))).toEqual(new Set([`/${stage.slice}/tt-web.scope`]));
  expect(stage.systemd.units).toEqual([]);
  const scopes = hierarchies().map(({ dir }) => join(dir, stage.slice, "tt-web.scope"));
  expect(scopes.filter((dir) => existsSync(dir))).toEqual([]);
});

test("systemd is told what the unit is, and its limits", async () => {
  const stage = await openStage();
  const ran = await runIn(stage, {
    args: ["true"],
    hostname: "web",
    linux: { resources: { memory: { limit: 64 * 2 ** 20 }, pids: { limit: 20 } } },
  });
  expect(ran).toMatchObject({ code: 0, stderr: "" });
  const start = stage.systemd.last("StartTransientUnit");
  expect(start?.unit).toBe("tt-web.scope");
  const { PIDs, ...told } = Object.fromEntries(start?.properties ?? []);
  const memory = onlyCgroup2() ? "MemoryMax" : "MemoryLimit";
  expect(told).toMatchObject({
    Slice: stage.slice,
    Delegate: true,
    DefaultDependencies: false,
    CPUAccounting: true,
    MemoryAccounting: true,
    TasksAccounting: true,
    DevicePolicy: "strict",
    TasksMax: 20n,
    [memory]: 64n * 2n ** 20n,
  });
  expect(PIDs).toHaveLength(1);
  const names = stage.systemd.calls.map(({ member }) => member);
  expect(names).toEqual(["StartTransientUnit", "StopUnit", "ResetFailedUnit"]);
});

test("limits are in the files too, also those that systemd does not know", async () => {
  const stage = await openStage();
  const cpuset = { cpu: { cpus: "0" }, pids: { limit: 20 } };
  const bundle = bundleIn(stage, {
    args: ["sleep", "100"],
    hostname: "web",
    linux: { resources: cpuset },
  });
  expect((await create(stage, bundle)).stderr).toBe("");
  const read = (controller: string, file: string) => {
    const home = hierarchies().find(({ controllers }) => controllers.includes(controller));
    return readFileSync(join(home?.dir ?? "", stage.slice, "tt-web.scope", file), "utf8").trim();
  };
  expect(read("pids", "pids.max")).toBe("20");
  expect(read("cpuset", "cpuset.cpus")).toBe("0");
  const { pid } = (await stage.scene.state(bundle.id)) ?? {};
  expect(read("cpuset", "cgroup.procs")).toBe(String(pid));
  expect((await runtime(stage, "delete", "--force", bundle.id)).code).toBe(0);
  expect(stage.systemd.units).toEqual([]);
});

test("later commands find the unit without being told of a manager", async () => {
  const stage = await openStage();
  const bundle = stage.scene.bundle({
    args: ["sleep", "100"],
    edit: (config) => {
      // The root of all slices.
      config.linux.cgroupsPath = `-:tt:${stage.scene.mark}`;
    },
  });
  expect((await create(stage, bundle)).stderr).toBe("");
  expect(stage.systemd.units).toEqual([`tt-${stage.scene.mark}.scope`]);
  expect((await stage.scene.start(bundle.id)).code).toBe(0);
  expect((await stage.scene.state(bundle.id))?.status).toBe("running");
  // No word of the manager: the record knows the unit.
  const argv = stage.scene.command("kill", "--all", bundle.id, "KILL");
  expect((await run(argv, { env: stage.systemd.environment })).code).toBe(0);
  await stage.scene.waitForStatus(bundle.id, "stopped");
  const gone = await run(stage.scene.command("delete", bundle.id), {
    env: stage.systemd.environment,
  });
  expect(gone).toMatchObject({ code: 0, stderr: "" });
  expect(stage.systemd.units).toEqual([]);
});

test("the container's first process does not hold the connection", async () => {
  const stage = await openStage();
  const kinds = async (bundle: SceneBundle) => {
    const { pid } = (await stage.scene.state(bundle.id)) ?? {};
    const links = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    return links.filter((link) => link.startsWith("socket:")).length;
  };
  const managed = bundleIn(stage, { args: ["true"], hostname: "web" });
  await create(stage, managed);
  const own = stage.scene.bundle({ args: ["true"] });
  await stage.scene.create(own);
  expect(await kinds(managed)).toBe(await kinds(own));
  for (const { id } of [managed, own]) await runtime(stage, "delete", "--force", id);
});

test("a container's cgroup may lie below its scope, when an annotation asks for it", async () => {
  const stage = await openStage();
  const ran = await runIn(stage, {
    ...SHOW_CGROUP,
    hostname: "web",
    annotations: { "run.oci.systemd.subgroup": "container" },
    edit: withoutNamespace,
  });
  expect(ran.stderr).toBe("");
  expect(new Set(pathsOf(ran.stdout))).toEqual(new Set([`/${stage.slice}/tt-web.scope/container`]));
  const scopes = hierarchies().map(({ dir }) => join(dir, stage.slice, "tt-web.scope"));
  expect(scopes.filter((dir) => existsSync(dir))).toEqual([]);
});

test("annotations of the list reach systemd, in its types; others are refused", async () => {
  const stage = await openStage();
  const annotated = (annotations: Record<string, string>) =>
    runIn(stage, { args: ["true"], hostname: "web", annotations });
  const good = await annotated({
    "org.systemd.property.TimeoutStopSec": "uint64 5",
    "org.systemd.property.CollectMode": "'inactive'",
    "org.systemd.property.After": "['a.service']",
  });
  expect(good).toMatchObject({ code: 0, stderr: "" });
  const told = Object.fromEntries(stage.systemd.last("StartTransientUnit")?.properties ?? []);
  expect(told).toMatchObject({
    TimeoutStopUSec: 5000000n,
    CollectMode: "inactive",
    After: ["a.service"],
  });
  const bad = await annotated({ "org.systemd.property.FailureAction": "'reboot'" });
  expect(bad.code).toBe(1);
  expect(bad.stderr).toContain("org.systemd.property.FailureAction");
  // Without systemd an annotation of systemd's means nothing.
  const ran = await stage.scene.runIn({
    args: ["true"],
    annotations: { "org.systemd.property.FailureAction": "'reboot'" },
  });
  expect(ran.code).toBe(0);
});

test("update tells systemd and the kernel; what either refuses changes nothing", async () => {
  const stage = await openStage();
  const resources = { pids: { limit: 20 }, cpu: { quota: 50_000, period: 100_000 } };
  const bundle = bundleIn(stage, { args: ["sleep", "100"], hostname: "web", linux: { resources } });
  expect((await create(stage, bundle)).stderr).toBe("");
  const limit = () => {
    const home = hierarchies().find(({ controllers }) => controllers.includes("pids"));
    const dir = join(home?.dir ?? "", stage.slice, "tt-web.scope");
    return readFileSync(join(dir, "pids.max"), "utf8").trim();
  };
  const update = (...words: string[]) => runtime(stage, "update", ...words, bundle.id);
  const done = await update("--pids-limit", "30", "--cpu-quota", "12345");
  expect(done).toMatchObject({ code: 0, stderr: "" });
  expect(limit()).toBe("30");
  const told = Object.fromEntries(stage.systemd.last("SetUnitProperties")?.properties ?? []);
  expect(told).toMatchObject({ TasksMax: 30n, CPUQuotaPerSecUSec: 130_000n });
  stage.systemd.behave.set("SetUnitProperties", { error: "org.freedesktop.DBus.Error.Failed" });
  const refused = await update("--pids-limit", "40");
  expect(refused.code).toBe(1);
  expect(limit()).toBe("30");
  stage.systemd.behave.clear();
  // What is refused after systemd has been told.
  const later = await update(
    "--pids-limit",
    "50",
    "--cpu-quota",
    "70000",
    "--l3-cache-schema",
    "L3:0=f",
  );
  expect(later.code).toBe(1);
  expect(limit()).toBe("30");
  const again = Object.fromEntries(stage.systemd.last("SetUnitProperties")?.properties ?? []);
  expect(again).toMatchObject({ TasksMax: 30n, CPUQuotaPerSecUSec: 130_000n });
  expect((await runtime(stage, "delete", "--force", bundle.id)).code).toBe(0);
});

/** What systemd does, and what the one line says then. */
const FAILURES: readonly (readonly [what: string, member: string, Behaviour, says: string])[] = [
  ["a job that fails", "StartTransientUnit", { result: "failed" }, 'systemd says "failed"'],
  ["a job that is cancelled", "StartTransientUnit", { result: "canceled" }, '"canceled"'],
  [
    "a caller that may not",
    "StartTransientUnit",
    { error: "org.freedesktop.DBus.Error.AccessDenied" },
    "AccessDenied",
  ],
  [
    "a unit of that name",
    "StartTransientUnit",
    { error: "org.freedesktop.systemd1.UnitExists" },
    "UnitExists",
  ],
  ["an end in the middle", "StartTransientUnit", "close", "closed the connection"],
  ["noise", "StartTransientUnit", new Uint8Array(64).fill(0x55), "byte order"],
  [
    "a message of four gigabytes",
    "StartTransientUnit",
    Uint8Array.of(0x6c, 2, 0, 1, 255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0),
    "longer than",
  ],
  ["no word of where it is", "Get", { error: "org.freedesktop.DBus.Error.Failed" }, "Failed"],
];

test.each([...FAILURES])(
  "%s is one error, and nothing is left",
  async (_what, member, how, says) => {
    const stage = await openStage();
    stage.systemd.behave.set(member, how);
    const ran = await runIn(stage, { args: ["true"], hostname: "web" });
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain(says);
    expect(ran.stderr.split("\n").filter((line) => line.startsWith("tare-runtime: "))).toHaveLength(
      1,
    );
    expect(stage.systemd.units).toEqual([]);
    expect(readdirSync(stage.scene.stateRoot).filter((name) => !name.startsWith("."))).toEqual([]);
  },
);

test("a failed unit of the same name is forgotten, and the start tried again", async () => {
  const stage = await openStage();
  const error = "org.freedesktop.systemd1.UnitExists";
  stage.systemd.behave.set("StartTransientUnit", { error, times: 1 });
  expect((await runIn(stage, { args: ["true"], hostname: "web" })).code).toBe(0);
  const names = stage.systemd.calls.map(({ member }) => member).slice(0, 3);
  expect(names).toEqual(["StartTransientUnit", "ResetFailedUnit", "StartTransientUnit"]);
});

test("a container of another's unit leaves that unit alone", async () => {
  const stage = await openStage();
  const first = bundleIn(stage, { args: ["sleep", "100"], hostname: "web" });
  await create(stage, first);
  const second = await runIn(stage, { args: ["true"], hostname: "web" });
  expect(second.code).toBe(1);
  expect(stage.systemd.units).toEqual(["tt-web.scope"]);
  expect((await stage.scene.state(first.id))?.status).toBe("created");
  expect((await runtime(stage, "delete", "--force", first.id)).code).toBe(0);
});

test("who answers nothing is not waited for without end", async () => {
  const stage = await openStage();
  const silent = await openStage();
  stage.systemd.behave.set("StartTransientUnit", { result: "never" });
  silent.systemd.behave.set("Get", "silence");
  const [never, nothing] = await Promise.all([
    runtime(stage, ...wordsOf(stage)),
    runtime(silent, ...wordsOf(silent)),
  ]);
  expect(never.code).toBe(1);
  expect(never.stderr).toContain("has not done it in 30 seconds");
  expect(nothing.code).toBe(1);
  expect(nothing.stderr).toContain("no answer in time");
});

function wordsOf(stage: Stage): string[] {
  const bundle = bundleIn(stage, { args: ["true"], hostname: "web" });
  return ["run", "--bundle", bundle.dir, bundle.id];
}

/** What comes to the first word of a caller. */
const GREETINGS: readonly (readonly [what: string, greeting: string, says: string])[] = [
  ["a refusal", "REJECTED EXTERNAL\r\n", "refused"],
  ["two lines", "DATA\r\nOK\r\n", "not one line"],
  ["a line without an end", "x".repeat(5000), "without an end"],
  ["another protocol", "HTTP/1.1 400\r\n", "strange"],
];

test.each([...GREETINGS])("%s for a greeting is an error", async (_what, greeting, says) => {
  const stage = await openStage();
  stage.systemd.greeting = greeting;
  const ran = await runIn(stage, { args: ["true"], hostname: "web" });
  expect(ran.code).toBe(1);
  expect(ran.stderr).toContain("Cannot use the systemd cgroup manager");
  expect(ran.stderr).toContain(says);
});

test("without systemd one line says so, and what to do", async () => {
  const stage = await openStage();
  const bundle = bundleIn(stage, { args: ["true"], hostname: "web" });
  const env = { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${stage.scene.dir}/nobody` };
  const argv = stage.scene.command(
    "--cgroup-manager",
    "systemd",
    "run",
    "-b",
    bundle.dir,
    bundle.id,
  );
  const [line, hint, ...rest] = (await run(argv, { env })).stderr.trim().split("\n");
  expect(line).toContain("Cannot use the systemd cgroup manager");
  expect(line).toContain("/nobody");
  expect(hint).toContain("cgroup-manager=cgroupfs");
  expect(rest).toEqual([]);
});

test("a container goes away also where systemd went first", async () => {
  const stage = await openStage();
  const bundle = bundleIn(stage, { args: ["sleep", "100"], hostname: "web" });
  await create(stage, bundle);
  const env = { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${stage.scene.dir}/nobody` };
  const gone = await run(stage.scene.command("delete", "--force", bundle.id), { env });
  expect(gone).toMatchObject({ code: 0, stderr: "" });
});

test("a scope that systemd is too busy to stop is no reason to keep the container", async () => {
  const stage = await openStage();
  const bundle = bundleIn(stage, { args: ["sleep", "100"], hostname: "web" });
  expect((await create(stage, bundle)).stderr).toBe("");
  stage.systemd.behave.set("StopUnit", { result: "timeout" });
  const gone = await runtime(stage, "delete", "--force", bundle.id);
  expect(gone).toMatchObject({ code: 0, stderr: "" });
  expect(await stage.scene.state(bundle.id)).toBeNull();
});

test("a path of the other manager's form is an error of either", async () => {
  const stage = await openStage();
  const plain = stage.scene.bundle({ args: ["true"] });
  const wrong = await runtime(stage, "run", "--bundle", plain.dir, plain.id);
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toContain("slice:prefix:name");
  const scoped = bundleIn(stage, { args: ["true"], hostname: "web" });
  const other = await stage.scene.run(scoped);
  expect(other.code).toBe(1);
  expect(other.stderr).toContain("--systemd-cgroup");
});
