/** `mounts add` and `mounts remove`: a running container gets and loses mounts, and the host does not. */
import { expect, setDefaultTimeout, test } from "bun:test";
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { DEFAULT_NAMESPACES, type MountConfig } from "../harness/bundle.ts";
import { copyRootfs, mustSucceed } from "../harness/fixtures.ts";
import { mountAt, parseMountTable, readMountTable } from "../harness/mount-table.ts";
import { patiently, runtimeProgram } from "../harness/places.ts";
import { type Ran, run } from "../harness/run.ts";
import { openScene, type Scene, type SceneBundleOptions } from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

const MAPPED = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
const USERNS = {
  namespaces: [...DEFAULT_NAMESPACES, "user"].map((type) => ({ type })),
  uidMappings: MAPPED,
  gidMappings: MAPPED,
};
const kinds: [name: string, linux: NonNullable<SceneBundleOptions["linux"]>][] = [
  ["as the machine", {}],
  ["in a user namespace", USERNS],
];

type Running = { readonly id: string; readonly pid: number; readonly dir: string };

async function start(scene: Scene, options: SceneBundleOptions = {}): Promise<Running> {
  const bundle = scene.bundle({ args: ["sleep", "60"], ...options });
  mustSucceed((await scene.create(bundle)).ran);
  mustSucceed(await scene.start(bundle.id));
  scene.defer(() => scene.delete(bundle.id, "--force"));
  return { id: bundle.id, pid: (await scene.state(bundle.id))?.pid ?? 0, dir: bundle.dir };
}

function change(scene: Scene, verb: string, id: string, mounts: unknown): Promise<Ran> {
  const file = join(scene.dir, "mounts.json");
  writeFileSync(file, JSON.stringify(mounts));
  return scene.verb("mounts", verb, id, file);
}

const tableOf = (pid: number) => parseMountTable(readFileSync(`/proc/${pid}/mountinfo`, "utf8"));
const inside = (pid: number, path: string) => `/proc/${pid}/root${path}`;
const bind = (source: string, destination: string, ...options: string[]): MountConfig => ({
  destination,
  type: "bind",
  source,
  options: ["bind", ...options],
});

test.each(kinds)("binds and new file systems come and go, %s", async (_name, linux) => {
  const scene = await openScene();
  const source = join(scene.dir, "source");
  mkdirSync(source);
  writeFileSync(join(source, "file"), "content");
  // As in crun's test: the places are made in a tmpfs that belongs to the container.
  const mounts = [{ destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["rw"] }];
  const { id, pid, dir } = await start(scene, { linux, mounts });
  writeFileSync(join(dir, "relative"), "relative");
  const host = readMountTable("self").length;
  const added = [
    bind(source, "/tmp/a/bound", "ro", "nosuid"),
    { destination: "/tmp/new", type: "tmpfs", source: "tmpfs", options: ["size=1m", "ro"] },
    { destination: "/tmp/q", type: "mqueue", source: "mqueue" },
    bind("relative", "tmp/file"),
  ];
  expect(await change(scene, "add", id, added)).toMatchObject({ code: 0, stdout: "", stderr: "" });
  const table = tableOf(pid);
  expect(readFileSync(inside(pid, "/tmp/a/bound/file"), "utf8")).toBe("content");
  expect(readFileSync(inside(pid, "/tmp/file"), "utf8")).toBe("relative");
  expect(mountAt(table, "/tmp/a/bound")?.options).toEqual(expect.arrayContaining(["ro", "nosuid"]));
  expect(mountAt(table, "/tmp/new")?.options).toContain("ro");
  expect(mountAt(table, "/tmp/new")?.superOptions).toContain("size=1024k");
  const owner = "uidMappings" in linux ? 100_000 : 0;
  for (const path of ["/tmp/new", "/tmp/a"]) {
    expect(statSync(inside(pid, path)).uid).toBe(owner);
  }
  expect(await change(scene, "remove", id, added)).toMatchObject({ code: 0, stderr: "" });
  expect(tableOf(pid).map(({ point }) => point)).not.toContain("/tmp/new");
  expect(readdirSync(inside(pid, "/tmp/a/bound"))).toEqual([]);
  expect(readMountTable("self")).toHaveLength(host);
});

test("an id-mapped bind, by the option's maps and by those of the container", async () => {
  const scene = await openScene();
  const source = join(scene.dir, "source");
  mkdirSync(source);
  writeFileSync(join(source, "file"), "");
  const mounts = [{ destination: "/tmp", type: "tmpfs", source: "tmpfs" }];
  const { id, pid } = await start(scene, { linux: USERNS, mounts });
  const words = "idmap=uids=0-100007-1;gids=0-100007-1";
  const added = [bind(source, "/tmp/a", "idmap"), bind(source, "/tmp/b", words)];
  expect(await change(scene, "add", id, added)).toMatchObject({ code: 0, stderr: "" });
  expect(statSync(inside(pid, "/tmp/a/file")).uid).toBe(100_000);
  expect(statSync(inside(pid, "/tmp/b/file")).uid).toBe(100_007);
});

test("all or none: what was added before a failure is taken away", async () => {
  const scene = await openScene();
  const { id, pid } = await start(scene);
  const before = tableOf(pid);
  const tmpfs = { destination: "/tmp", type: "tmpfs", source: "tmpfs" };
  const bad = { destination: "/mnt", type: "tmpfs", options: ["nonsense"] };
  const ran = await change(scene, "add", id, [tmpfs, bad]);
  expect(ran.code).toBe(1);
  expect(ran.stderr).toContain("Unknown parameter 'nonsense'");
  expect(tableOf(pid)).toEqual(before);
});

test.each(kinds)("what was added behind a link is taken away, too, %s", async (_name, linux) => {
  const scene = await openScene();
  const mounts = [{ destination: "/mnt", type: "tmpfs", source: "tmpfs" }];
  const { id, pid } = await start(scene, { linux, mounts });
  const sh =
    "mkdir /mnt/there /mnt/in; ln -s there /mnt/link; >/mnt/there/f; ln -s there/f /mnt/file";
  mustSucceed(await scene.verb("exec", id, "sh", "-c", sh));
  const source = join(scene.dir, "source");
  mkdirSync(source, { mode: 0o700 });
  writeFileSync(join(source, "file"), "");
  const before = tableOf(pid);
  const bad = { destination: "/mnt", type: "tmpfs", options: ["nonsense"] };
  const added: MountConfig[][] = [
    [bind(source, "/mnt/link")],
    [bind(join(source, "file"), "/mnt/file")],
    [{ destination: "/mnt/link", type: "tmpfs", source: "tmpfs" }],
    [
      { destination: "/mnt/in", type: "proc", source: "proc" },
      bind(join(source, "file"), "/mnt/file"),
    ],
  ];
  for (const some of added) {
    const ran = await change(scene, "add", id, [...some, bad]);
    expect(ran.stderr).toContain("Unknown parameter 'nonsense'");
    expect(tableOf(pid)).toEqual(before);
  }
});

test("what cannot be is an error, and changes nothing", async () => {
  const scene = await openScene();
  const { id, pid } = await start(scene);
  const before = tableOf(pid);
  const refused: unknown[] = [
    [{ destination: "/", type: "tmpfs" }],
    [{ destination: "/proc/self", type: "tmpfs" }],
    [{ destination: "/sys/fs/cgroup", type: "cgroup" }],
    [bind("/no/such/source", "/mnt")],
    [bind(scene.dir, "/mnt", "copy-symlink")],
    { destination: "/mnt" },
    [{ destination: 1 }],
  ];
  for (const mounts of refused) expect((await change(scene, "add", id, mounts)).code).toBe(1);
  expect((await change(scene, "remove", id, [{ destination: "/mnt" }])).code).toBe(1);
  expect((await change(scene, "remove", id, [{ destination: "/a/.." }])).code).toBe(1);
  expect((await change(scene, "turn", id, [])).code).toBe(1);
  expect((await scene.verb("mounts", "add", id)).code).toBe(1);
  expect((await scene.verb("mounts", "add", "no-such", "/dev/null")).code).toBe(1);
  await scene.kill(id, "KILL");
  await scene.waitForStatus(id, "stopped");
  expect((await change(scene, "add", id, [])).code).toBe(1);
  expect(before.length).toBeGreaterThan(5);
});

test("links of the container lead nowhere outside of it", async () => {
  const scene = await openScene();
  const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
  const canary = join(scene.dir, "canary");
  mkdirSync(join(canary, "sub"), { recursive: true });
  symlinkSync(canary, join(rootfs, "absolute"));
  symlinkSync(`../../../../../../../..${canary}`, join(rootfs, "upwards"));
  symlinkSync(`/proc/1/root${canary}`, join(rootfs, "through"));
  const { id } = await start(scene, { rootfs, writable: true });
  const host = readMountTable("self").length;
  for (const link of ["absolute", "upwards", "through"]) {
    for (const name of ["", "/new", "/sub"]) {
      const mount = { destination: `/${link}${name}`, type: "tmpfs", source: "tmpfs" };
      await change(scene, "add", id, [mount]);
    }
  }
  expect(readdirSync(canary)).toEqual(["sub"]);
  expect(readMountTable("self")).toHaveLength(host);
});

test("remove follows no link of the container: what protects /proc stays", async () => {
  const scene = await openScene();
  const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
  symlinkSync("/proc", join(rootfs, "link"));
  symlinkSync("/", join(rootfs, "top"));
  const { id, pid } = await start(scene, { rootfs, writable: true });
  expect(mountAt(tableOf(pid), "/proc/sys")).toBeDefined();
  const before = tableOf(pid).length;
  for (const destination of ["/link/sys", "/link/sys/..", "/top/proc/sys", "/link"]) {
    expect((await change(scene, "remove", id, [{ destination }])).code).toBe(1);
  }
  expect(tableOf(pid)).toHaveLength(before);
  // Its twin: by its own name it is the caller's to take off.
  expect((await change(scene, "remove", id, [{ destination: "/proc/sys" }])).code).toBe(0);
  expect(tableOf(pid)).toHaveLength(before - 1);
});

// CVE-2019-5736, CVE-2016-9962: whoever is in the container can look at what joins it.
test("the program that goes in cannot be opened for writing from inside", async () => {
  const scene = await openScene();
  mkdirSync(join(scene.dir, "victim"));
  const copy = join(scene.dir, "victim", basename(runtimeProgram()));
  copyFileSync(runtimeProgram(), copy);
  const { ino, size } = statSync(copy, { bigint: true });
  const all = ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"];
  const bundle = scene.bundle({
    args: ["/t/spoil-exe", `${ino}`, `${size}`],
    process: { capabilities: { bounding: all, permitted: all, effective: all } },
  });
  const { output } = await scene.create(bundle);
  await scene.start(bundle.id);
  const file = join(scene.dir, "mounts.json");
  writeFileSync(file, JSON.stringify([{ destination: "/mnt", type: "tmpfs", source: "tmpfs" }]));
  for (let round = 0; round < 10; round++) {
    for (const verb of ["add", "remove"]) {
      const [, ...words] = scene.command("mounts", verb, bundle.id, file);
      const ran = await run([copy, ...words], { env: { TARE_TEST_MARK: scene.mark } });
      expect([ran.code, ran.stderr]).toEqual([0, ""]);
    }
  }
  await scene.kill(bundle.id, "TERM");
  await scene.waitForStatus(bundle.id, "stopped");
  await scene.delete(bundle.id);
  expect(output.stdout()).toMatch(/^looking\nspoiled 0 of \d+\n$/);
  expect(readFileSync(copy).equals(readFileSync(runtimeProgram()))).toBeTrue();
});
