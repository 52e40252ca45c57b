/**
 * Hostile root file systems in honest bundles: whatever lies in the image, nothing outside of it
 * changes or shows. The canary is a harmless tree of the test; its content, names, modes and owners
 * are compared. The recipes are those of published advisories, named at each test.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { type BundleConfig, DEFAULT_NAMESPACES, type NamespaceConfig } from "../harness/bundle.ts";
import { describeTree } from "../harness/canary.ts";
import { copyRootfs } from "../harness/fixtures.ts";
import { patiently, runtimeProgram } from "../harness/places.ts";
import { type Ran, run } from "../harness/run.ts";
import {
  openScene,
  type Scene,
  type SceneBundle,
  type SceneBundleOptions,
} from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

let scene: Scene;
let rootfs: string;
let canary: string;
let before: string[];

/** A scene with a root file system of its own to spoil, and a canary outside of it. */
async function setUp(spoil: () => void): Promise<void> {
  scene = await openScene();
  rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
  canary = join(scene.dir, "canary");
  mkdirSync(join(canary, "sub"), { recursive: true });
  for (const name of ["f", "ptmx", "null", "console", "sub/deep"]) {
    writeFileSync(join(canary, name), `content of ${name}`);
  }
  chmodSync(join(canary, "f"), 0o600);
  spoil();
  before = describeTree(canary);
}

function expectCanaryUntouched(): void {
  expect(describeTree(canary)).toEqual(before);
}

function replaceByLink(name: string, target: string): void {
  rmSync(join(rootfs, name), { recursive: true, force: true });
  symlinkSync(target, join(rootfs, name));
}

const upwards = (path: string) => `../../../../../../../..${path}`;

function without(type: string): { type: string }[] {
  return DEFAULT_NAMESPACES.filter((each) => each !== type).map((each) => ({ type: each }));
}

/** Leaves out the mounts at and below /dev, so that the image's own /dev is used. */
function withoutDev(config: BundleConfig): void {
  config.mounts = config.mounts.filter(({ destination }) => !destination.startsWith("/dev"));
}

function hostile(options: SceneBundleOptions): SceneBundleOptions {
  return { rootfs, writable: true, ...options };
}

describe("/dev", () => {
  // CVE-2026-41579, CVE-2026-47766: nodes and links made, ptmx removed, in a directory of the host.
  test.each(["absolute", "upwards"])("is a symbolic link to the outside, %s", async (form) => {
    await setUp(() => replaceByLink("dev", form === "absolute" ? canary : upwards(canary)));
    await scene.runIn(hostile({ args: ["true"], edit: withoutDev }));
    expectCanaryUntouched();
  });

  // CVE-2025-31133: the mask binds whatever /dev/null leads to.
  test("/dev/null is a link and a mask is laid with it", async () => {
    await setUp(() => replaceByLink("dev/null", "/mnt/f"));
    const script = "cat /etc/passwd; echo spoiled > /etc/passwd";
    const ran = await scene.runIn(
      hostile({
        sh: script,
        edit: withoutDev,
        linux: { maskedPaths: ["/etc/passwd"] },
        mounts: [{ destination: "/mnt", type: "bind", source: canary, options: ["bind", "rw"] }],
      }),
    );
    expect(ran.stdout).not.toContain("content of");
    expectCanaryUntouched();
  });

  // CVE-2026-88265: standard streams re-opened on the link's target, and given to the user.
  test("/dev/null is a link and the standard streams are pipes or the null device", async () => {
    await setUp(() => replaceByLink("dev/null", "/mnt/f"));
    for (const uid of [0, 1000]) {
      const bundle = scene.bundle(
        hostile({
          edit: withoutDev,
          process: { args: ["echo", "from inside"], user: { uid, gid: uid } },
          mounts: [{ destination: "/mnt", type: "bind", source: canary, options: ["bind", "rw"] }],
        }),
      );
      const argv = scene.command("run", "--bundle", bundle.dir, bundle.id);
      await run(argv);
      await run(["sh", "-c", 'exec "$@" </dev/null >/dev/null 2>&1', "sh", ...argv]);
    }
    expectCanaryUntouched();
  });

  // CVE-2026-88264: the console is made through a link, before the root has changed.
  test("/dev/console is a link and a terminal is asked for", async () => {
    await setUp(() => replaceByLink("dev/console", join(canary, "new")));
    const bundle = scene.bundle(
      hostile({ edit: withoutDev, process: { terminal: true, args: ["true"] } }),
    );
    await scene.runOnTerminal(bundle);
    expect(existsSync(join(canary, "new"))).toBeFalse();
    expectCanaryUntouched();
  });

  test("/dev/pts, /dev/shm and /dev/mqueue are links to the outside", async () => {
    await setUp(() => {
      for (const name of ["pts", "shm", "mqueue"]) symlinkSync(canary, join(rootfs, "dev", name));
    });
    const edit = (config: BundleConfig) => {
      config.mounts = config.mounts.filter(({ destination }) => destination !== "/dev");
    };
    const ran = await scene.runIn(hostile({ sh: "touch /dev/shm/x; true", edit }));
    expect(ran.signal).toBeNull();
    expectCanaryUntouched();
  });
});

describe("/proc and /sys", () => {
  // CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642.
  test.each([
    ["proc", "inside"],
    ["proc", "outside"],
    ["sys", "inside"],
    ["sys", "outside"],
  ])("/%s is a link to the %s", async (name, where) => {
    await setUp(() => replaceByLink(name, where === "inside" ? "/tmp" : canary));
    const ran = await scene.runIn(hostile({ sh: "echo ran" }));
    expect(ran.stdout).toBe("");
    expect(ran.code).not.toBe(0);
    expectCanaryUntouched();
  });

  test.each(["/proc", "/proc/sys", "/proc/self/attr", "/proc/1"])(
    "a directory of the image is bound over %s",
    async (destination) => {
      await setUp(() => mkdirSync(join(scene.dir, "fake/self/attr"), { recursive: true }));
      const mounts = [
        { destination, type: "bind", source: join(scene.dir, "fake"), options: ["bind"] },
      ];
      const ran = await scene.runIn(hostile({ sh: "echo ran", mounts }));
      expect(ran.stdout).toBe("");
      expect(ran.code).not.toBe(0);
    },
  );
});

describe("mount targets", () => {
  const links: [name: string, target: () => string][] = [
    ["absolute", () => canary],
    ["upwards", () => upwards(canary)],
    ["through /proc/self/root", () => `/proc/self/root${canary}`],
    ["through another link", () => "/second"],
  ];
  test.each(links)("a link to the outside, %s", async (_name, target) => {
    await setUp(() => {
      symlinkSync(target(), join(rootfs, "link"));
      symlinkSync(canary, join(rootfs, "second"));
    });
    const mounts = ["/link", "/link/new", "/link/f", "/link/sub"].map((destination) => ({
      destination,
      type: "tmpfs",
      source: "tmpfs",
    }));
    for (const mount of mounts) await scene.runIn(hostile({ args: ["true"], mounts: [mount] }));
    const file = { type: "bind", source: join(rootfs, "etc/passwd"), options: ["bind"] };
    await scene.runIn(hostile({ mounts: [{ ...file, destination: "/link/made" }] }));
    expectCanaryUntouched();
  });

  // CVE-2021-30465, CVE-2024-45310: the target changes between look and mount.
  test("a directory that is exchanged for a link all the time", async () => {
    await setUp(() => {
      mkdirSync(join(rootfs, "vol/a"), { recursive: true });
      symlinkSync(canary, join(rootfs, "vol/b"));
    });
    const names = ["a", "b"].map((name) => join(rootfs, "vol", name));
    const swapper = run([join(scene.rootfs, "t/swap-names"), ...names, "3"]);
    const mounts = [
      { destination: "/vol/a/new/sub", type: "tmpfs", source: "tmpfs" },
      { destination: "/vol/b/new/sub", type: "tmpfs", source: "tmpfs" },
    ];
    let rounds = 0;
    for (const end = performance.now() + 2_500; performance.now() < end; rounds++) {
      await scene.runIn(hostile({ args: ["true"], mounts }));
    }
    await swapper;
    expect(rounds).toBeGreaterThan(0);
    expectCanaryUntouched();
  });

  test("masked and read-only paths that are links lead nowhere outside", async () => {
    await setUp(() => {
      symlinkSync(join(canary, "f"), join(rootfs, "masked"));
      symlinkSync(canary, join(rootfs, "closed"));
    });
    await scene.runIn(
      hostile({ linux: { maskedPaths: ["/masked"], readonlyPaths: ["/closed"] }, sh: "true" }),
    );
    writeFileSync(join(canary, "f"), "content of f"); // Still writable on the host.
    expectCanaryUntouched();
  });
});

describe("the working directory", () => {
  // CVE-2024-21626: a descriptor of the host, the runtime's or its caller's, as the way out.
  test("a path through a leaked descriptor shows nothing of the host", async () => {
    await setUp(() => {
      writeFileSync(join(scene.dir, "host-only"), "");
      for (let fd = 3; fd <= 12; fd++)
        symlinkSync(`/proc/self/fd/${fd}`, join(rootfs, `cwd-${fd}`));
    });
    const script = 'exec 9<"$0"; exec "$@"';
    const ways = (fd: number) => [`/proc/self/fd/${fd}`, `/proc/1/fd/${fd}`, `/cwd-${fd}`];
    for (const cwd of [3, 4, 5, 6, 7, 8, 9, 10, 12].flatMap(ways)) {
      const bundle = scene.bundle(
        hostile({ process: { cwd, args: ["/bin/ls", ".", "..", "../.."] } }),
      );
      const argv = scene.command("run", "--bundle", bundle.dir, bundle.id);
      const ran = await run(["bash", "-c", script, scene.dir, ...argv]);
      expect(ran.stdout).not.toContain("host-only");
    }
  });

  test("a program named through a leaked descriptor does not run", async () => {
    await setUp(() =>
      writeFileSync(join(scene.dir, "tool"), "#!/bin/sh\necho ran\n", { mode: 0o755 }),
    );
    const bundle = scene.bundle(hostile({ process: { args: ["/proc/self/fd/9/tool"] } }));
    const argv = scene.command("run", "--bundle", bundle.dir, bundle.id);
    const ran = await run(["bash", "-c", 'exec 9<"$0"; exec "$@"', scene.dir, ...argv]);
    expect(ran.stdout).toBe("");
    expect(ran.code).not.toBe(0);
  });

  // CVE-2026-55686.
  test("a link to the outside makes no directory there", async () => {
    await setUp(() => symlinkSync(canary, join(rootfs, "w")));
    await scene.runIn(hostile({ process: { cwd: "/w/made", args: ["true"] } }));
    expectCanaryUntouched();
  });
});

describe("the runtime's own program", () => {
  /** A copy that stands for the installed runtime; the host finds its program by the file's name. */
  function copyRuntime(): string {
    const directory = join(scene.dir, "victim");
    mkdirSync(directory);
    const copy = join(directory, basename(runtimeProgram()));
    copyFileSync(runtimeProgram(), copy);
    return copy;
  }

  async function runWith(copy: string, bundle: SceneBundle): Promise<Ran> {
    const [, ...words] = scene.command("run", "--bundle", bundle.dir, bundle.id);
    return await run([copy, ...words], { env: { TARE_TEST_MARK: scene.mark } });
  }

  // CVE-2019-5736.
  const places: [name: string, pid: (host: number) => NamespaceConfig[]][] = [
    ["its pid namespace is joined", (host) => [{ type: "pid", path: `/proc/${host}/ns/pid` }]],
    ["it shares the caller's pid namespace", () => []],
  ];
  test.each(places)("cannot be overwritten by who sees it start: %s", async (_name, pidOf) => {
    let copy = "";
    await setUp(() => {
      copy = copyRuntime();
    });
    // It writes to this one file only, also where it sees all of the machine's processes.
    const { ino, size } = statSync(copy, { bigint: true });
    const spoiler = hostile({ args: ["/t/spoil-exe", `${ino}`, `${size}`] });
    const own = pidOf(1).length === 0 ? { linux: { namespaces: without("pid") } } : {};
    const first = scene.bundle({ ...spoiler, ...own });
    const { output } = await scene.create(first);
    await scene.start(first.id);
    const pid = (await scene.state(first.id))?.pid ?? 0;
    for (let round = 0; round < 10; round++) {
      const namespaces = [...without("pid"), ...pidOf(pid)];
      const ran = await runWith(copy, scene.bundle({ args: ["true"], linux: { namespaces } }));
      expect(ran.code).toBe(0);
    }
    await scene.kill(first.id, "TERM");
    await scene.waitForStatus(first.id, "stopped");
    await scene.delete(first.id);
    expect(output.stdout()).toMatch(/^looking\nspoiled 0 of \d+\n$/);
    expect(readFileSync(copy).equals(readFileSync(runtimeProgram()))).toBeTrue();
  });

  test("says with --debug from which copy of itself it runs", async () => {
    await setUp(() => {});
    const bundle = scene.bundle({ args: ["true"] });
    const [program = "", ...words] = scene.command("run", "--bundle", bundle.dir, bundle.id);
    const { stderr } = await run([program, "--debug", ...words]);
    expect(stderr).toMatch(/exeseal: using (overlayfs|memfd) for sealed/);
  });

  test("is not what `#!/proc/self/exe` runs with the host's file in reach", async () => {
    let copy = "";
    await setUp(() => {
      copy = copyRuntime();
      writeFileSync(join(rootfs, "entry"), "#!/proc/self/exe tare-init\n", { mode: 0o755 });
      // As tare-init the host's file stays process 1, and starts the words it was given: the first
      // of them is its own name, here a program of the image that reaches for process 1's file.
      const reach = "#!/bin/sh\necho reached; touch /proc/1/exe; chmod 777 /proc/1/exe\n";
      writeFileSync(join(rootfs, "bin/tare-init"), reach, { mode: 0o755 });
    });
    const times = statSync(copy);
    const ran = await runWith(copy, scene.bundle(hostile({ args: ["/entry"] })));
    const after = statSync(copy);
    expect(ran.stdout).toBe("reached\n");
    expect(readFileSync(copy).equals(readFileSync(runtimeProgram()))).toBeTrue();
    expect([after.mtimeMs, after.mode]).toEqual([times.mtimeMs, times.mode]);
  });
});

describe("ordinary images that look a little odd still work", () => {
  test("no /proc, /sys or /dev directory", async () => {
    await setUp(() => {
      for (const name of ["proc", "sys", "dev"]) rmSync(join(rootfs, name), { recursive: true });
    });
    const ran = await scene.runIn(
      hostile({ sh: "test -d /proc/self && test -c /dev/null && echo fine" }),
    );
    expect(ran.stdout).toBe("fine\n");
  });

  test("/dev with files of its own under the tmpfs", async () => {
    await setUp(() => writeFileSync(join(rootfs, "dev/null"), "not a device"));
    const ran = await scene.runIn(hostile({ sh: "echo x > /dev/null && echo fine" }));
    expect(ran.stdout).toBe("fine\n");
  });

  test("/var/run is a link and something is mounted below it", async () => {
    await setUp(() => symlinkSync("/run", join(rootfs, "var/run")));
    const mounts = [{ destination: "/var/run/x", type: "tmpfs", source: "tmpfs" }];
    const ran = await scene.runIn(hostile({ sh: "touch /run/x/f && echo fine", mounts }));
    expect(ran.stdout).toBe("fine\n");
  });
});
