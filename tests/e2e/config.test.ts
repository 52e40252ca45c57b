/** What the runtime says about itself, and what it does with a config.json that is wrong or hostile. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { BundleConfig, JsonObject } from "../harness/bundle.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { patiently } from "../harness/places.ts";
import { type Ran, run } from "../harness/run.ts";
import { openScene, type Scene } from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

/** Refused: not run, told on standard error, soon. */
function expectRefused(ran: Ran): void {
  expect(ran.stdout).toBe("");
  expect(ran.code).not.toBe(0);
  expect(ran.code).not.toBeNull();
  expect(ran.stderr.trim()).not.toBe("");
  expect(ran.wallMs).toBeLessThan(patiently(5_000));
}

/** Runs a bundle whose config.json is this text. */
async function runText(scene: Scene, text: string | Uint8Array): Promise<Ran> {
  const bundle = scene.bundle({ sh: "echo ran" });
  writeFileSync(join(bundle.dir, "config.json"), text);
  return scene.run(bundle);
}

/** The usual configuration with one change of its text. */
async function runChanged(
  scene: Scene,
  change: (config: BundleConfig & JsonObject) => void,
): Promise<Ran> {
  const bundle = scene.bundle({ sh: "echo ran" });
  change(bundle.config as BundleConfig & JsonObject);
  return runText(scene, JSON.stringify(bundle.config));
}

describe("about the runtime", () => {
  test("--version names the program and the specification", async () => {
    const scene = await openScene();
    const ran = mustSucceed(await scene.verb("--version"));
    expect(ran.stdout).toMatch(/version \d+\.\d+/);
    expect(ran.stdout).toMatch(/^spec: 1\.\d+\.\d+/m);
  });

  test("features is JSON that names namespaces, mount options, hooks and capabilities", async () => {
    const scene = await openScene();
    const { stdout } = mustSucceed(await scene.verb("features"));
    const features = JSON.parse(stdout);
    expect(features.ociVersionMax).toMatch(/^1\.\d+\.\d+/);
    expect(features.hooks).toEqual(
      expect.arrayContaining(["prestart", "startContainer", "poststop"]),
    );
    expect(features.mountOptions).toEqual(
      expect.arrayContaining(["bind", "rro", "idmap", "rslave"]),
    );
    const wanted = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];
    expect(features.linux.namespaces).toEqual(expect.arrayContaining(wanted));
    expect(features.linux.capabilities).toContain("CAP_CHOWN");
    expect(features.linux.seccomp.enabled).toBeTrue();
    expect(features.annotations["org.opencontainers.runc.checkpoint.enabled"]).toBe("true");
  });

  test("spec writes a configuration that runs, and does not overwrite one", async () => {
    const scene = await openScene();
    const dir = join(scene.dir, "new");
    mkdirSync(dir);
    mustSucceed(await run(scene.command("spec"), { cwd: dir }));
    const path = join(dir, "config.json");
    const config = JSON.parse(readFileSync(path, "utf8")) as BundleConfig;
    expect((await run(scene.command("spec"), { cwd: dir })).code).not.toBe(0);

    config.root = { path: scene.rootfs, readonly: true };
    config.process.terminal = false;
    config.process.args = ["echo", "it runs"];
    const id = `${scene.mark}-spec`;
    config.linux.cgroupsPath = `/${id}`;
    writeFileSync(path, JSON.stringify(config));
    expect(await run(scene.command("run", "--bundle", dir, id))).toMatchObject({
      stdout: "it runs\n",
      code: 0,
    });
  });

  test("an unknown verb and an unknown flag are refused", async () => {
    const scene = await openScene();
    const unknown = await scene.verb("moon");
    expectRefused(unknown);
    expect(unknown.code).toBe(3);
    expectRefused(await scene.verb("list", "--moon"));
    expectRefused(await scene.verb("state"));
  });

  test("an error goes to the log as JSON where the caller asks for it", async () => {
    const scene = await openScene();
    const log = join(scene.dir, "log.json");
    const bundle = scene.bundle({
      mounts: [{ destination: "/mnt", type: "moonfs", source: "none" }],
    });
    const [program = "", ...rest] = scene.command("run", "--bundle", bundle.dir, bundle.id);
    const ran = await run([program, "--log", log, "--log-format", "json", ...rest]);
    expect(ran.code).not.toBe(0);
    const lines = readFileSync(log, "utf8").trim().split("\n");
    const last = JSON.parse(lines.at(-1) ?? "");
    expect(last).toMatchObject({ level: "error" });
    expect(last.msg).not.toBe("");
  });

  test("a log that cannot be opened is an error, before anything is done", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["true"] });
    const [program = "", ...rest] = scene.command("create", "--bundle", bundle.dir, bundle.id);
    for (const log of ["/no/such/directory/log", scene.dir]) {
      const ran = await run([program, "--log", log, ...rest]);
      expect([ran.code, ran.stderr]).toEqual([1, expect.stringContaining(`--log "${log}"`)]);
    }
    expect(await scene.state(bundle.id)).toBeNull();
    const log = join(scene.dir, "log");
    mustSucceed(await run([program, "--log", log, ...scene.command("list").slice(1)]));
    expect(readFileSync(log, "utf8")).toBe("");
  });

  test("a state root in /tmp must be its user's alone", async () => {
    const scene = await openScene();
    const uid = 64_123;
    const root = `/tmp/tare-runtime-${uid}`;
    const clear = () => rmSync(root, { recursive: true, force: true });
    clear();
    scene.defer(clear);
    const drop = ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
    const list = () => {
      const env = ["env", "-i", `TARE_TEST_MARK=${scene.mark}`, "XDG_RUNTIME_DIR="];
      return run([...drop, "--inh-caps=-all", ...env, scene.command()[0] ?? "", "list", "-q"]);
    };
    mustSucceed(await list());
    expect([statSync(root).uid, statSync(root).mode & 0o7777]).toEqual([uid, 0o700]);
    mustSucceed(await list());
    const refused = async () => {
      expect(await list()).toMatchObject({ code: 1, stderr: expect.stringContaining(root) });
    };
    chmodSync(root, 0o770);
    await refused();
    chmodSync(root, 0o700);
    chownSync(root, 0, 0);
    await refused();
    chmodSync(root, 0o777);
    await refused();
    clear();
    const elsewhere = join(scene.dir, "elsewhere");
    mkdirSync(elsewhere, { mode: 0o700 });
    chownSync(elsewhere, uid, uid);
    symlinkSync(elsewhere, root);
    await refused();
  });

  test("an error is one line", async () => {
    const scene = await openScene();
    const ran = await scene.runIn({
      mounts: [{ destination: "/mnt", type: "moonfs", source: "none" }],
    });
    expect(ran.stderr.trim().split("\n").length).toBeLessThanOrEqual(2); // The cause, and a hint.
    expect(ran.stderr).toContain("moonfs");
  });
});

describe("text that is no configuration", () => {
  const texts: [name: string, text: string | Uint8Array][] = [
    ["nothing", ""],
    ["an array", "[]"],
    ["a number", "42"],
    ["null", "null"],
    ["a text", '"config"'],
    ["an empty object", "{}"],
    ["bytes that are not UTF-8", new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d])],
    ["two hundred thousand levels", "[".repeat(200_000) + "]".repeat(200_000)],
    ["two hundred thousand objects", `${'{"a":'.repeat(200_000)}1${"}".repeat(200_000)}`],
    ["twenty megabytes", `{"annotations":{"a":"${"x".repeat(20_000_000)}"}}`],
  ];
  test.each(texts)("%s", async (_name, text) => {
    const scene = await openScene();
    expectRefused(await runText(scene, text));
  });
});

describe("values of the wrong kind", () => {
  type Change = (config: BundleConfig & JsonObject) => void;
  const set = (path: string, value: unknown): Change => {
    return (config) => {
      const names = path.split(".");
      const last = names.pop() ?? "";
      // biome-ignore lint/suspicious/noExplicitAny: the point is to break the type
      let at: any = config;
      for (const name of names) at = at[name];
      at[last] = value;
    };
  };
  const changes: [name: string, change: Change][] = [
    ["arguments that are a text", set("process.args", "true")],
    ["an argument that is a number", set("process.args", ["true", 5])],
    ["no arguments", set("process.args", [])],
    ["a uid below 0", set("process.user.uid", -1)],
    ["a uid of 2^32", set("process.user.uid", 2 ** 32)],
    ["a uid of 2^32 - 1, which means none", set("process.user.uid", 2 ** 32 - 1)],
    ["a uid of 1.5", set("process.user.uid", 1.5)],
    ["a gid that is a text", set("process.user.gid", "0")],
    ["an additional group of 2^33", set("process.user.additionalGids", [2 ** 33])],
    ["an oom score out of range", set("process.oomScoreAdj", 5_000)],
    ["an environment that is an object", set("process.env", { PATH: "/bin" })],
    ["a root that is a text", set("root", "rootfs")],
    ["a root path of nothing", set("root.path", "")],
    ["mounts that are an object", set("mounts", {})],
    ["a mount without a destination", set("mounts", [{ type: "tmpfs" }])],
    ["namespaces that are texts", set("linux.namespaces", ["pid"])],
    ["a memory limit that is a text", set("linux.resources", { memory: { limit: "1g" } })],
    ["a memory limit of 1.5", set("linux.resources", { memory: { limit: 1.5 } })],
    ["a limit of pids that is an object", set("linux.resources", { pids: { limit: {} } })],
    [
      "a device of an unknown type",
      set("linux.devices", [{ path: "/dev/x", type: "z", major: 1, minor: 3 }]),
    ],
    [
      "a device rule without access",
      set("linux.resources", { devices: [{ allow: true, type: "c", access: "q" }] }),
    ],
    ["a hook without a path", set("hooks", { prestart: [{ args: ["x"] }] })],
    ["a hook with a relative path", set("hooks", { prestart: [{ path: "bin/true" }] })],
    ["a host name of 65 bytes", set("hostname", "x".repeat(65))],
  ];
  test.each(changes)("%s", async (_name, change) => {
    const scene = await openScene();
    expectRefused(await runChanged(scene, change));
  });
});

/** What the kernel refuses, which knows only its own names for things. */
describe("a value that the kernel refuses is told with its field", () => {
  const at = (config: BundleConfig & JsonObject, type: string, path: string) => {
    const found = config.linux.namespaces.filter((each) => each.type !== type);
    config.linux.namespaces = [...found, { type, path }];
  };
  const changes: [field: RegExp, change: (config: BundleConfig & JsonObject) => void][] = [
    [
      /"\/data" \(mounts\[\d+\]\).*"\/no\/such"/,
      ({ mounts }) =>
        mounts.push({ destination: "/data", type: "bind", source: "/no/such", options: ["bind"] }),
    ],
    [
      /"\/data" \(mounts\[\d+\]\).*moonfs/,
      ({ mounts }) => mounts.push({ destination: "/data", type: "moonfs", source: "x" }),
    ],
    [
      /"\/data" \(mounts\[\d+\]\).*size/,
      ({ mounts }) =>
        mounts.push({ destination: "/data", type: "tmpfs", source: "x", options: ["size=moon"] }),
    ],
    [/ipc namespace of linux\.namespaces.*"\/no\/such"/, (config) => at(config, "ipc", "/no/such")],
    [/pid namespace of linux\.namespaces.*"\/no\/such"/, (config) => at(config, "pid", "/no/such")],
    [/ipc namespace of linux\.namespaces.*null/, (config) => at(config, "ipc", "/dev/null")],
    [
      /linux\.timeOffsets\.boottime/,
      ({ linux }) => {
        linux.namespaces = [...linux.namespaces, { type: "time" }];
        linux.timeOffsets = { boottime: { secs: 2 ** 50, nanosecs: 0 } };
      },
    ],
    [
      /process\.rlimits RLIMIT_NOFILE/,
      ({ process }) => {
        process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 100, hard: 99 }];
      },
    ],
    [
      /linux\.sysctl "kernel\.msgmax"/,
      ({ linux }) => {
        linux.sysctl = { "kernel.msgmax": "moon" };
      },
    ],
  ];
  test.each(changes)("%s", async (field, change) => {
    const scene = await openScene();
    const ran = await runChanged(scene, change);
    expectRefused(ran);
    expect(ran.stderr).toMatch(field);
  });

  test("--pid-file", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ sh: "true" });
    const words = ["run", "--bundle", bundle.dir, "--pid-file", "/no/such/p", bundle.id];
    const ran = await scene.verb(...words);
    expectRefused(ran);
    expect(ran.stderr).toContain('--pid-file "/no/such/p"');
  });
});

describe("a NUL byte", () => {
  const places: [name: string, change: (config: BundleConfig & JsonObject) => void][] = [
    ["in an argument", (config) => config.process.args.push("a\0b")],
    ["in the environment", (config) => config.process.env.push("A=a\0b")],
    ["in the working directory", (config) => (config.process.cwd = "/\0x")],
    ["in the path of the root", (config) => (config.root.path += "\0/../../etc")],
    [
      "in a mount's destination",
      (config) => config.mounts.push({ destination: "/mnt\0x", type: "tmpfs" }),
    ],
    [
      "in a mount's source",
      (config) => config.mounts.push({ destination: "/mnt", type: "tmpfs", source: "a\0b" }),
    ],
    ["in the host name", (config) => (config.hostname = "a\0b")],
    ["in a masked path", (config) => config.linux.maskedPaths.push("/etc\0x")],
    ["in the cgroup's path", (config) => (config.linux.cgroupsPath += "\0x")],
  ];
  test.each(places)("%s", async (_name, change) => {
    const scene = await openScene();
    expectRefused(await runChanged(scene, change));
  });
});

describe("odd but lawful", () => {
  test("unknown fields, repeated keys and odd names are ignored or taken as names", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({
      sh: "echo ran",
      annotations: { __proto__x: "1", constructor: "2" },
    });
    const text = JSON.stringify({
      ...bundle.config,
      moon: { deep: [1, 2, 3] },
      vm: {},
      windows: {},
    });
    writeFileSync(
      join(bundle.dir, "config.json"),
      text.replace('"annotations":{', '"annotations":{"__proto__":"0",'),
    );
    expect(await scene.run(bundle)).toMatchObject({ stdout: "ran\n", code: 0 });
  });

  test("white space and a late newline", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ sh: "echo ran" });
    writeFileSync(
      join(bundle.dir, "config.json"),
      `\n\t ${JSON.stringify(bundle.config, null, "\t")}\n\n`,
    );
    expect((await scene.run(bundle)).stdout).toBe("ran\n");
  });

  test("a root path that is a link", async () => {
    const scene = await openScene();
    symlinkSync(scene.rootfs, join(scene.dir, "link"));
    const ran = await runChanged(scene, (config) => (config.root.path = join(scene.dir, "link")));
    expect(ran).toMatchObject({ stdout: "ran\n", code: 0 });
  });

  test("no host name, no annotations, no masked paths, no resources", async () => {
    const scene = await openScene();
    const ran = await runChanged(scene, (config) => {
      delete config.hostname;
      Object.assign(config.linux, {
        maskedPaths: undefined,
        readonlyPaths: undefined,
        resources: undefined,
      });
    });
    expect(ran).toMatchObject({ stdout: "ran\n", code: 0 });
  });

  test("a cgroup path that climbs stays below the root of the hierarchies", async () => {
    const scene = await openScene();
    const canary = join(scene.dir, "cgroup");
    await runChanged(scene, (config) => (config.linux.cgroupsPath = `/../../../../..${canary}`));
    expect(existsSync(canary)).toBeFalse();
  });
});
