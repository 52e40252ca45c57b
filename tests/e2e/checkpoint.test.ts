/**
 * `checkpoint` and `restore` with a program in criu's place: what it is asked, and that nothing is left
 * however it ends. With criu itself: checkpoint-criu.test.ts.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Asked } from "../harness/fake-criu.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { type Ran, run } from "../harness/run.ts";
import { openScene, type Scene, type SceneBundle } from "../harness/scene.ts";

const { PATH = "" } = process.env;
const FAKE = join(import.meta.dir, "../harness/fake-criu.ts");
/** Numbers of criu's `rpc.proto`. */
const [DUMP, RESTORE, PRE_DUMP] = [1, 2, 4];
const OPTION = { pid: 2, root: 13, sibling: 26, external: 37, freezer: 44 };

/** Plays criu: tells its version, records what it is asked, and does what `act` says. */
function playCriu(scene: Scene, act: string): { readonly path: string; asked: () => Asked } {
  const bin = join(scene.dir, "bin");
  const record = join(scene.dir, "asked");
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(scene.dir, "act"), act);
  const script = `#!/bin/bash
if [ "$1" = --version ]; then echo "Version: \${FAKE_VERSION:-3.17.1}"; exit 0; fi
if [ "$FAKE_BREAKDOWN" != "" ]; then echo "$FAKE_BREAKDOWN" >&2; exit 1; fi
exec ${process.execPath} ${FAKE} "$2" ${record} "$(cat ${scene.dir}/act)"
`;
  writeFileSync(join(bin, "criu"), script, { mode: 0o755 });
  return {
    path: `${bin}:${PATH}`,
    asked: () => JSON.parse(readFileSync(record, "utf8")) as Asked,
  };
}

/** Restores a process that does nothing for long. */
const SLEEPER = 'sleep 1000 < /dev/null > /dev/null 2>&1 & echo -n $! > "$pidfile"';

/** A container that does nothing for long, with the standard streams of a service. */
async function started(scene: Scene): Promise<SceneBundle> {
  const bundle = scene.bundle({ args: ["sleep", "1000"] });
  mustSucceed((await scene.create(bundle)).ran);
  mustSucceed(await scene.start(bundle.id));
  return bundle;
}

function verb(scene: Scene, path: string, ...words: string[]): Promise<Ran> {
  return told(scene, { PATH: path }, ...words);
}

function told(scene: Scene, env: Record<string, string>, ...words: string[]): Promise<Ran> {
  return run(scene.command(...words), { env: { ...env, TARE_TEST_MARK: scene.mark } });
}

/** A directory of images as a checkpoint leaves it. */
function images(scene: Scene, descriptors = '["/dev/null","/dev/null","/dev/null"]'): string {
  const dir = join(scene.dir, "images");
  mkdirSync(dir);
  writeFileSync(join(dir, "descriptors.json"), descriptors);
  return dir;
}

describe("checkpoint", () => {
  test("tells criu the process, its mounts and its freezer, and removes the container", async () => {
    const scene = await openScene();
    const criu = playCriu(scene, "exit 0");
    const bundle = await started(scene);
    const { pid } = (await scene.state(bundle.id)) ?? {};
    const dir = join(scene.dir, "saved");
    mustSucceed(await verb(scene, criu.path, "checkpoint", "--image-path", dir, bundle.id));
    const { type, options } = criu.asked();
    expect([type, options[OPTION.pid]]).toEqual([DUMP, [pid ?? 0]]);
    expect(options[OPTION.external]).toContain("mnt[/proc/timer_list]:/dev/null");
    expect(String(options[OPTION.freezer])).toEndWith(bundle.id);
    expect(JSON.parse(readFileSync(join(dir, "descriptors.json"), "utf8"))).toHaveLength(3);
    expect(await scene.state(bundle.id)).toBeNull();
  });

  test.each([
    ["--leave-running", DUMP],
    ["--pre-dump", PRE_DUMP],
  ])("%s leaves it as it is", async (flag, type) => {
    const scene = await openScene();
    const criu = playCriu(scene, "exit 0");
    const bundle = await started(scene);
    const dir = join(scene.dir, "saved");
    mustSucceed(await verb(scene, criu.path, "checkpoint", flag, "--image-path", dir, bundle.id));
    expect(criu.asked().type).toBe(type);
    expect((await scene.state(bundle.id))?.status).toBe("running");
    await scene.delete(bundle.id, "--force");
  });

  test("which fails says criu's reason in one line, and the container goes on", async () => {
    const scene = await openScene();
    const act = 'echo "(00.1) Error (criu/x.c:1): a reason" > "$work/dump.log"; exit 1';
    const criu = playCriu(scene, act);
    const bundle = await started(scene);
    const dir = join(scene.dir, "saved");
    const ran = await verb(scene, criu.path, "checkpoint", "--image-path", dir, bundle.id);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("Error (criu/x.c:1): a reason");
    expect(ran.stderr).toContain(`${dir}/dump.log`);
    expect(ran.stderr.trimEnd().split("\n")).toHaveLength(1);
    expect((await scene.state(bundle.id))?.status).toBe("running");
    await scene.delete(bundle.id, "--force");
  });

  test("which fails before there is a log says what criu printed", async () => {
    const scene = await openScene();
    const criu = playCriu(scene, "exit 0");
    const bundle = await started(scene);
    const dir = join(scene.dir, "saved");
    const env = { PATH: criu.path, FAKE_BREAKDOWN: "criu: no such thing" };
    const ran = await told(scene, env, "checkpoint", "--image-path", dir, bundle.id);
    expect(ran.stderr).toContain("criu: no such thing; see ");
    expect((await scene.state(bundle.id))?.status).toBe("running");
    await scene.delete(bundle.id, "--force");
  });

  test.each([
    ["missing", "/nowhere", {}],
    ["too old", undefined, { FAKE_VERSION: "3.15" }],
  ])("without criu (%s) says so and changes nothing", async (_why, path, env) => {
    const scene = await openScene();
    const criu = playCriu(scene, "exit 0");
    const bundle = await started(scene);
    const dir = join(scene.dir, "saved");
    const found = { PATH: path ?? criu.path, ...env };
    const ran = await told(scene, found, "checkpoint", "--image-path", dir, bundle.id);
    expect([ran.code, ran.stderr.trimEnd().split("\n").length]).toEqual([1, 1]);
    expect(ran.stderr).toContain("criu");
    expect(existsSync(dir)).toBe(false);
    expect((await scene.state(bundle.id))?.status).toBe("running");
    await scene.delete(bundle.id, "--force");
  });

  test.each(["/nowhere", "./nowhere", "file"])("--parent-path %s is refused", async (parent) => {
    const scene = await openScene();
    const criu = playCriu(scene, "exit 0");
    const bundle = await started(scene);
    const dir = join(scene.dir, "saved");
    mkdirSync(dir);
    writeFileSync(join(dir, "file"), "");
    const words = ["--parent-path", parent, "--image-path", dir, bundle.id];
    const ran = await verb(scene, criu.path, "checkpoint", ...words);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("Cannot use --parent-path");
    expect((await scene.state(bundle.id))?.status).toBe("running");
    await scene.delete(bundle.id, "--force");
  });
});

describe("restore", () => {
  const orphan = "setsid -f sleep 1000 < /dev/null > /dev/null 2>&1 & ";

  test("records what criu made, and delete takes it away", async () => {
    const scene = await openScene();
    const criu = playCriu(scene, `${SLEEPER}; readlink /proc/self/ns/mnt > ${scene.dir}/ns`);
    const bundle = scene.bundle();
    const file = join(scene.dir, "pid");
    const words = ["--image-path", images(scene), "--bundle", bundle.dir, "--pid-file", file];
    mustSucceed(await verb(scene, criu.path, "restore", "--detach", ...words, bundle.id));
    const state = await scene.state(bundle.id);
    expect(state?.status).toBe("running");
    expect(readFileSync(file, "utf8")).toBe(String(state?.pid));
    // It is in the container's cgroup, where criu was; criu's mounts were its own.
    expect(readFileSync(`/proc/${state?.pid}/cgroup`, "utf8")).toContain(bundle.id);
    const namespace = readFileSync(join(scene.dir, "ns"), "utf8").trim();
    expect(namespace).not.toBe(readlinkSync("/proc/self/ns/mnt"));
    const { type, options } = criu.asked();
    expect([type, options[OPTION.sibling], options[OPTION.root]]).toEqual([
      RESTORE,
      [1],
      [bundle.config.root.path],
    ]);
    mustSucceed(await scene.delete(bundle.id, "--force"));
  });

  test("and exec afterwards: the added process has the filter of the configuration", async () => {
    const scene = await openScene();
    const criu = playCriu(scene, SLEEPER);
    const denied = { names: ["uname"], action: "SCMP_ACT_ERRNO", errnoRet: 1 };
    const bundle = scene.bundle({
      linux: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [denied] } },
      edit: (config) => {
        config.process.cwd = "/";
      },
    });
    const words = ["--image-path", images(scene), "--bundle", bundle.dir];
    mustSucceed(await verb(scene, criu.path, "restore", "--detach", ...words, bundle.id));
    // What criu plays is a process of this machine: so are the programs that are executed beside it.
    const read = await scene.verb("exec", bundle.id, "grep", "Seccomp:", "/proc/self/status");
    expect([read.code, read.stdout.trim()]).toEqual([0, "Seccomp:\t2"]);
    const called = await scene.verb("exec", bundle.id, "uname");
    expect([called.code === 0, called.stdout]).toEqual([false, ""]);
    mustSucceed(await scene.delete(bundle.id, "--force"));
  });

  const NOTICES = "network-unlock setup-namespaces post-restore";

  test("runs the hooks of the host where the namespaces are made, and no others", async () => {
    const scene = await openScene();
    const criu = playCriu(scene, SLEEPER);
    const log = join(scene.dir, "hooks");
    const hook = (name: string) => [
      { path: "/bin/bash", args: ["bash", "-c", `echo ${name} $(</dev/stdin) >> ${log}`] },
    ];
    const names = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"];
    const bundle = scene.bundle({
      hooks: Object.fromEntries(names.map((name) => [name, hook(name)])),
    });
    const env = { PATH: criu.path, FAKE_NOTICES: NOTICES };
    const words = ["--image-path", images(scene), "--bundle", bundle.dir];
    mustSucceed(await told(scene, env, "restore", "--detach", ...words, bundle.id));
    const ran = readFileSync(log, "utf8").trim().split("\n");
    expect(ran.map((line) => line.split(" ")[0])).toEqual(["prestart", "createRuntime"]);
    const { pid } = (await scene.state(bundle.id)) ?? {};
    const seen = JSON.parse(ran[0]?.slice("prestart ".length) ?? "");
    expect(seen).toMatchObject({ id: bundle.id, pid, status: "created" });
    mustSucceed(await scene.delete(bundle.id, "--force"));
  });

  test("a hook that fails ends it, and nothing is left", async () => {
    const scene = await openScene();
    const criu = playCriu(scene, SLEEPER);
    const createRuntime = [{ path: "/bin/bash", args: ["bash", "-c", "exit 9"] }];
    const bundle = scene.bundle({ hooks: { createRuntime } });
    const env = { PATH: criu.path, FAKE_NOTICES: NOTICES };
    const words = ["--image-path", images(scene), "--bundle", bundle.dir];
    const ran = await told(scene, env, "restore", "--detach", ...words, bundle.id);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("error running createRuntime hook #0");
    expect(await scene.state(bundle.id)).toBeNull();
  });

  test.each([
    ["a file that an image could bring", "/tmp/own.conf"],
    ["a way out of the directory", "/etc/criu/../../tmp/own.conf"],
  ])("with %s as criu's options is refused before anything is made", async (_what, path) => {
    const scene = await openScene();
    const criu = playCriu(scene, SLEEPER);
    const bundle = scene.bundle({
      edit: (config) => {
        config.annotations = { "org.criu.config": path };
      },
    });
    const words = ["--image-path", images(scene), "--bundle", bundle.dir];
    const ran = await verb(scene, criu.path, "restore", "--detach", ...words, bundle.id);
    expect([ran.code, existsSync(join(scene.dir, "asked"))]).toEqual([1, false]);
    expect(ran.stderr).toContain("org.criu.config");
    expect(await scene.state(bundle.id)).toBeNull();
  });

  test("which fails takes all back, also what criu left in the cgroup", async () => {
    const scene = await openScene();
    const act = `${orphan} echo "(00.1) Error (criu/y.c:2): no way" > "$work/restore.log"; exit 1`;
    const criu = playCriu(scene, act);
    const bundle = scene.bundle();
    const words = ["--image-path", images(scene), "--bundle", bundle.dir];
    const ran = await verb(scene, criu.path, "restore", ...words, bundle.id);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("Error (criu/y.c:2): no way");
    expect(ran.stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(await scene.state(bundle.id)).toBeNull();
  });

  test.each([
    ["no file of descriptors", undefined],
    ["one that is hostile", '{"0": "pipe:[1]"}'],
  ])("from images with %s makes nothing", async (_what, text) => {
    const scene = await openScene();
    const criu = playCriu(scene, "exit 0");
    const bundle = scene.bundle();
    const dir = text === undefined ? scene.dir : images(scene, text);
    const words = ["--image-path", dir, "--bundle", bundle.dir];
    const ran = await verb(scene, criu.path, "restore", ...words, bundle.id);
    expect([ran.code, existsSync(join(scene.dir, "asked"))]).toEqual([1, false]);
    expect(await scene.state(bundle.id)).toBeNull();
  });
});
