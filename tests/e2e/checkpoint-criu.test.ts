/**
 * `checkpoint` and `restore` with criu itself, where it works (in the virtual machine): a container goes
 * on where it was, and what criu can save besides processes comes back.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { NamespaceConfig } from "../harness/bundle.ts";
import { copyRootfs, mustSucceed } from "../harness/fixtures.ts";
import { patiently } from "../harness/places.ts";
import { type Ran, run, runOnTerminal, until } from "../harness/run.ts";
import {
  openScene,
  type Scene,
  type SceneBundle,
  type SceneBundleOptions,
} from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

const can = (...words: string[]) =>
  Bun.which("criu") !== null && Bun.spawnSync(["criu", "check", ...words]).exitCode === 0;
const impossible = !can();
/** Before criu 4. */
const isOld =
  !impossible && Bun.spawnSync(["criu", "--version"]).stdout.toString().startsWith("Version: 3.");
const tracksMemory = !impossible && can("--feature", "mem_dirty_track");
const fetchesLazily = !impossible && can("--feature", "uffd-noncoop");

/** Counts into a file of the host, which says where the program is. */
const COUNTER =
  "n=0; while :; do n=$((n+1)); echo $n > /v/now.new; mv /v/now.new /v/now; sleep 0.05; done";
const NAMESPACES: readonly NamespaceConfig[] = [
  ..."pid ipc uts mount cgroup".split(" ").map((type) => ({ type })),
];
const LONG_MS = 10_000;
/** Of a network namespace: criu's own choice, iptables, is not on every machine. */
const LOCK = ["--network-lock", "nftables"];

type Saved = {
  readonly scene: Scene;
  readonly bundle: SceneBundle;
  /** On the host; `/v` inside. */
  readonly volume: string;
  /** Where the images go. */
  readonly images: string;
  /** All must succeed; what criu wrote is told otherwise. */
  readonly checkpoint: (...flags: string[]) => Promise<void>;
  readonly restore: (...flags: string[]) => Promise<void>;
};

/** A container with a root file system and a volume of its own; not created yet. */
async function prepared(options: SceneBundleOptions): Promise<Saved> {
  const scene = await openScene();
  const volume = join(scene.dir, "volume");
  mkdirSync(volume);
  const bundle = scene.bundle({
    rootfs: await copyRootfs(scene.rootfs, join(scene.dir, "rootfs")),
    writable: true,
    ...options,
    ...(options.sh === undefined ? {} : { sh: `exec < /dev/null > /dev/null 2>&1; ${options.sh}` }),
    mounts: [
      { destination: "/v", type: "bind", source: volume, options: ["rbind", "rw"] },
      ...(options.mounts ?? []),
    ],
    linux: { namespaces: [...NAMESPACES], ...options.linux },
  });
  const images = join(scene.dir, "saved");
  const tell = (ran: Ran, log: string) => {
    if (ran.code !== 0) throw new Error(ran.stderr + tail(join(images, log)));
  };
  const checkpoint = async (...flags: string[]) => {
    tell(await scene.verb("checkpoint", "--image-path", images, ...flags, bundle.id), "dump.log");
  };
  const restore = async (...flags: string[]) => {
    const words = ["--detach", "--image-path", images, "--bundle", bundle.dir, ...flags];
    tell(await scene.verb("restore", ...words, bundle.id), "restore.log");
  };
  return { scene, bundle, volume, images, checkpoint, restore };
}

/** The same, running. */
async function running(options: SceneBundleOptions): Promise<Saved> {
  const saved = await prepared(options);
  mustSucceed((await saved.scene.create(saved.bundle)).ran);
  mustSucceed(await saved.scene.start(saved.bundle.id));
  return saved;
}

function tail(log: string): string {
  return existsSync(log) ? readFileSync(log, "utf8").split("\n").slice(-60).join("\n") : "";
}

/** The number that the container wrote last. */
function counted({ volume }: Saved): number {
  const file = join(volume, "now");
  return Number(existsSync(file) ? readFileSync(file, "utf8").trim() : 0);
}

async function countsBeyond(saved: Saved, number: number): Promise<number> {
  await until(
    () => counted(saved) > number,
    LONG_MS,
    () => `more than ${number}; it is at ${counted(saved)}`,
  );
  return counted(saved);
}

/** In the configuration, which `restore` reads again. */
function placeElsewhere({ dir, config }: SceneBundle, cgroupsPath: string): void {
  const linux = { ...config.linux, cgroupsPath };
  writeFileSync(join(dir, "config.json"), JSON.stringify({ ...config, linux }));
}

async function remove({ scene, bundle }: Saved): Promise<void> {
  mustSucceed(await scene.delete(bundle.id, "--force"));
}

describe.skipIf(impossible)("a container that counts", () => {
  test("goes on counting where it was, twice", async () => {
    const saved = await running({ sh: COUNTER });
    const { scene, bundle } = saved;
    for (let round = 0; round < 2; round++) {
      const start = await countsBeyond(saved, counted(saved) + 20);
      await saved.checkpoint();
      expect(await scene.state(bundle.id)).toBeNull();
      const before = counted(saved);
      expect(before).toBeGreaterThanOrEqual(start);
      await saved.restore();
      // Begun anew it would be at 1, and needs more than a second to come so far.
      const after = await countsBeyond(saved, before);
      expect(after).toBeGreaterThan(20);
      expect((await scene.state(bundle.id))?.status).toBe("running");
    }
    await remove(saved);
  });

  test("goes on here when it stays, and there, too", async () => {
    const saved = await running({ sh: COUNTER });
    const { scene, bundle, images } = saved;
    await countsBeyond(saved, 20);
    await saved.checkpoint("--leave-running");
    await countsBeyond(saved, counted(saved));
    const other = { ...bundle, id: `${bundle.id}-other` };
    await scene.delete(bundle.id, "--force");
    rmSync(join(saved.volume, "now"));
    const words = ["--image-path", images, "--bundle", bundle.dir];
    mustSucceed(await scene.verb("restore", "--detach", ...words, other.id));
    expect(await countsBeyond(saved, 0)).toBeGreaterThan(20);
    mustSucceed(await scene.delete(other.id, "--force"));
  });

  test("in a cgroup of another name comes back in that", async () => {
    const saved = await running({ sh: COUNTER });
    const { scene, bundle } = saved;
    await countsBeyond(saved, 0);
    await saved.checkpoint("--manage-cgroups-mode", "ignore");
    const path = `/${scene.mark}-elsewhere`;
    placeElsewhere(bundle, path);
    const file = join(scene.dir, "pid");
    await saved.restore("--manage-cgroups-mode", "ignore", "--pid-file", file);
    const pid = Number(readFileSync(file, "utf8"));
    expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toContain(`${path}\n`);
    await remove(saved);
  });

  test.skipIf(!tracksMemory)("is saved in two steps, the second with less memory", async () => {
    const saved = await running({
      sh: `ballast=$(head -c 4000000 /dev/zero | tr '\\0' x); ${COUNTER}`,
    });
    const { scene, bundle, images } = saved;
    await countsBeyond(saved, 0);
    const parent = join(scene.dir, "parent");
    const words = ["--pre-dump", "--image-path", parent, bundle.id];
    mustSucceed(await scene.verb("checkpoint", ...words));
    const before = await countsBeyond(saved, counted(saved));
    await saved.checkpoint("--parent-path", "../parent");
    const size = (dir: string) =>
      readdirSync(dir)
        .filter((name) => name.startsWith("pages-"))
        .reduce((sum, name) => sum + Bun.file(join(dir, name)).size, 0);
    expect(size(images)).toBeLessThan(size(parent) / 2);
    await saved.restore();
    await countsBeyond(saved, before);
    await remove(saved);
  });

  test.skipIf(!fetchesLazily)("comes back before its memory", async () => {
    const saved = await running({ sh: COUNTER });
    const { scene, bundle, images } = saved;
    const before = await countsBeyond(saved, 5);
    const port = "28731";
    const status = join(scene.dir, "status");
    mustSucceed(await run(["mkfifo", status]));
    const flags = ["--lazy-pages", "--page-server", `127.0.0.1:${port}`, "--status-fd", "9"];
    const words = ["checkpoint", ...flags, "--image-path", images, bundle.id];
    const given = ["bash", "-c", `exec 9> ${status}; "$@"`, "bash", ...scene.command(...words)];
    const env = { TARE_TEST_MARK: scene.mark };
    const saving = run(given, { env });
    // A byte says that pages can be fetched.
    const said = await run(["head", "-c", "1", status]);
    expect(said.stdout).toBe("\0");
    const fetching = ["lazy-pages", "--page-server", "--address", "127.0.0.1", "--port", port];
    const serving = run(["criu", ...fetching, "--images-dir", images], { env });
    // The first is there until all is fetched, with its cgroup.
    const other = `${bundle.id}-other`;
    placeElsewhere(bundle, `/${other}`);
    const back = ["restore", "--detach", "--lazy-pages", "--manage-cgroups-mode", "ignore"];
    const restored = await scene.verb(
      ...[...back, "--work-path", images, "--image-path", images, "--bundle", bundle.dir, other],
    );
    if (restored.code !== 0) throw new Error(restored.stderr + tail(join(images, "restore.log")));
    mustSucceed(await saving);
    mustSucceed(await serving);
    expect(await countsBeyond(saved, before)).toBeGreaterThan(5);
    expect(await scene.state(bundle.id)).toBeNull();
    mustSucceed(await scene.delete(other, "--force"));
  });
});

describe.skipIf(impossible)("a process that exec adds", () => {
  test("to a restored container has its filter, its clocks and its root", async () => {
    const denied = { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 1 };
    const saved = await running({
      sh: COUNTER,
      linux: {
        namespaces: [...NAMESPACES],
        seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [denied] },
      },
    });
    const { scene, bundle } = saved;
    await countsBeyond(saved, 0);
    await saved.checkpoint();
    await saved.restore();
    const exec = (sh: string) => scene.verb("exec", bundle.id, "/bin/sh", "-c", sh);
    const made = await exec("mkdir /v/made");
    expect([made.code === 0, existsSync(join(saved.volume, "made"))]).toEqual([false, false]);
    const filtered = await exec("grep Seccomp: /proc/1/status /proc/self/status");
    expect(filtered.stdout.match(/2$/gm)).toHaveLength(2);
    const { pid } = (await scene.state(bundle.id)) ?? {};
    const spaces = ["ipc", "mnt", "pid", "time", "uts"];
    const seen = await exec(
      `for each in ${spaces.join(" ")}; do readlink /proc/self/ns/$each; done`,
    );
    expect(seen.stdout.trim().split("\n")).toEqual(
      spaces.map((each) => readlinkSync(`/proc/${pid}/ns/${each}`)),
    );
    await remove(saved);
  });

  test("is saved with the others", async () => {
    const saved = await running({ sh: "sleep 1000" });
    const { scene, bundle } = saved;
    const sh = "sleep 1000 < /dev/null > /dev/null 2>&1 & echo $!";
    const added = mustSucceed(
      await scene.verb("exec", bundle.id, "/bin/sh", "-c", sh),
    ).stdout.trim();
    await saved.checkpoint();
    await saved.restore();
    const words = ["exec", bundle.id, "cat", `/proc/${added}/cmdline`];
    expect((await scene.verb(...words)).stdout).toBe("sleep\x001000\0");
    await remove(saved);
  });
});

/** Receives one terminal, types a line into it, and shows what comes. */
async function receiver(scene: Scene, name: string, typed: string) {
  const socket = join(scene.dir, name);
  const shown = run([join(scene.rootfs, "t/receive-terminal"), socket], {
    env: { TARE_TEST_MARK: scene.mark },
    stdin: typed,
    timeoutMs: patiently(30_000),
  });
  await until(
    () => Bun.spawnSync(["test", "-S", socket]).exitCode === 0,
    LONG_MS,
    () => "the socket",
  );
  return { socket, shown };
}

describe.skipIf(impossible)("a terminal", () => {
  const ECHO =
    'echo ready; while read line; do [ "$line" = end ] && exit 7; echo "got $line"; done';

  async function onTerminal() {
    const saved = await prepared({
      edit: (config) => {
        config.process.terminal = true;
        config.process.args = ["/bin/sh", "-c", `touch /v/begun; stty size -echo; ${ECHO}`];
        config.process.consoleSize = { height: 21, width: 65 };
      },
    });
    const { scene, bundle } = saved;
    const first = await receiver(scene, "first", "one\n");
    const flags = ["--console-socket", first.socket];
    mustSucceed((await scene.create(bundle, { flags })).ran);
    mustSucceed(await scene.start(bundle.id));
    await until(
      () => existsSync(join(saved.volume, "begun")),
      LONG_MS,
      () => "the program",
    );
    await saved.checkpoint();
    expect((await first.shown).stdout).toContain("got one");
    return saved;
  }

  test("goes to the console socket of the restore", async () => {
    const saved = await onTerminal();
    const { scene, bundle } = saved;
    const second = await receiver(scene, "second", "two\nend\n");
    await saved.restore("--console-socket", second.socket);
    const { stdout } = await second.shown;
    expect(stdout).toContain("got two");
    expect(stdout).not.toContain("ready");
    await scene.waitForStatus(bundle.id, "stopped", LONG_MS);
    mustSucceed(await scene.delete(bundle.id));
  });

  test("is the caller's where the restore is in the foreground", async () => {
    const { scene, bundle, images } = await onTerminal();
    const words = ["restore", "--image-path", images, "--bundle", bundle.dir, bundle.id];
    const ran = await runOnTerminal(scene.command(...words), {
      env: { TARE_TEST_MARK: scene.mark },
      act: async (terminal) => {
        terminal.type("three\r");
        await terminal.waitFor("got three", LONG_MS);
        terminal.type("end\r");
      },
    });
    expect(ran.code).toBe(7);
    expect(await scene.state(bundle.id)).toBeNull();
  });

  test("that nobody would take is refused", async () => {
    const saved = await onTerminal();
    const words = ["restore", "--detach", "--image-path", saved.images];
    const { scene, bundle } = saved;
    const ran = await scene.verb(...words, "--bundle", bundle.dir, bundle.id);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("nobody would take it");
    expect(await scene.state(bundle.id)).toBeNull();
  });
});

describe.skipIf(impossible)("mounts", () => {
  test("bound in one another and behind a link come back, also where their points are gone", async () => {
    const saved = await prepared({
      sh: COUNTER,
      mounts: [],
      edit: (config) => {
        const dir = config.root.path;
        mkdirSync(join(dir, "real/conf"), { recursive: true });
        symlinkSync("/real/conf", join(dir, "conf"));
        const bind = (destination: string, source: string) =>
          config.mounts.push({ destination, type: "bind", source, options: ["bind", "rw"] });
        for (const name of ["outer", "inner", "linked"]) {
          mkdirSync(join(dir, "..", name));
          writeFileSync(join(dir, "..", name, "which"), name);
        }
        bind("/test", join(dir, "../outer"));
        bind("/test/for/nested", join(dir, "../inner"));
        bind("/conf", join(dir, "../linked"));
      },
    });
    const { scene, bundle } = saved;
    mustSucceed((await scene.create(bundle)).ran);
    mustSucceed(await scene.start(bundle.id));
    const before = await countsBeyond(saved, 0);
    await saved.checkpoint();
    rmSync(join(scene.dir, "outer/for"), { recursive: true });
    await saved.restore();
    await countsBeyond(saved, before);
    const names = ["/test/which", "/test/for/nested/which", "/real/conf/which"];
    const seen = await scene.verb("exec", bundle.id, "cat", ...names);
    expect(seen.stdout).toBe("outerinnerlinked");
    await remove(saved);
  });
});

describe.skipIf(impossible)("the hooks of the host", () => {
  test("find the new namespaces before the program goes on", async () => {
    const saved = await prepared({
      sh: COUNTER,
      linux: { namespaces: [...NAMESPACES, { type: "network" }] },
      edit: (config) => {
        const dir = join(config.root.path, "..");
        const sh = `read -r state; pid=\${state#*'"pid":'}; pid=\${pid%%[!0-9]*}
          echo $(readlink /proc/$pid/ns/net) $(cat ${dir}/volume/now) >> ${dir}/log`;
        config.hooks = { createRuntime: [{ path: "/bin/bash", args: ["bash", "-c", sh] }] };
      },
    });
    const { scene, bundle } = saved;
    mustSucceed((await scene.create(bundle)).ran);
    mustSucceed(await scene.start(bundle.id));
    await countsBeyond(saved, 5);
    await saved.checkpoint(...LOCK);
    const before = counted(saved);
    await saved.restore(...LOCK);
    const { pid } = (await scene.state(bundle.id)) ?? {};
    const [, second = ""] = readFileSync(join(scene.dir, "log"), "utf8").trim().split("\n");
    expect(second).toBe(`${readlinkSync(`/proc/${pid}/ns/net`)} ${before}`);
    expect(second).not.toContain(readlinkSync("/proc/self/ns/net"));
    await remove(saved);
  });
});

describe.skipIf(impossible)("what criu saves when it is asked to", () => {
  /** Without its option the checkpoint fails, and the container goes on. */
  async function refusedWithout(saved: Saved): Promise<void> {
    await expect(saved.checkpoint()).rejects.toThrow("Cannot checkpoint");
    expect((await saved.scene.state(saved.bundle.id))?.status).toBe("running");
  }

  async function exists(file: string): Promise<void> {
    await until(
      () => existsSync(file),
      LONG_MS,
      () => file,
    );
  }

  test("a lock of a file is held again: --file-locks", async () => {
    // On the open file, which the shell has, too.
    const flock = `/t/call ${process.arch === "arm64" ? 32 : 73} 8 2`;
    const sh = `exec 8> /v/lock; ${flock}; touch /v/held; while :; do sleep 1; done`;
    const saved = await running({ sh });
    const lock = join(saved.volume, "lock");
    const isFree = async () => (await run(["flock", "--nonblock", lock, "true"])).code === 0;
    await exists(join(saved.volume, "held"));
    expect(await isFree()).toBeFalse();
    await refusedWithout(saved);
    await saved.checkpoint("--file-locks");
    expect(await isFree()).toBeTrue();
    await saved.restore("--file-locks");
    expect(await isFree()).toBeFalse();
    await remove(saved);
  });

  test("a file without a name is given one: --link-remap", async () => {
    const sh = `exec 8>> /v/file 7>> /v/file; ln /v/file /v/other; rm /v/file; touch /v/removed
      while :; do [ -e /v/say ] && echo said >&8; sleep 0.05; done`;
    const saved = await running({ sh });
    await exists(join(saved.volume, "removed"));
    await refusedWithout(saved);
    await saved.checkpoint("--link-remap");
    await saved.restore();
    writeFileSync(join(saved.volume, "say"), "");
    await until(
      () => readFileSync(join(saved.volume, "other"), "utf8").startsWith("said"),
      LONG_MS,
      () => "what it says",
    );
    await remove(saved);
  });

  // With 3.17.1 and nftables nothing moves on the connection after the restore.
  test.skipIf(isOld)("a connection goes on in a network of others: --tcp-established", async () => {
    let network = "";
    const saved = await prepared({
      sh: `sleep 1000 | nc -l -p 7 > /v/got & say() { while :; do echo x; sleep 0.1; done; }
        until [ -s /v/got ]; do say | nc 127.0.0.1 7; done`,
      edit: (config) => {
        network = join(config.root.path, "../network");
        config.linux.namespaces.push({ type: "network", path: network });
      },
    });
    const { scene, bundle } = saved;
    writeFileSync(network, "");
    scene.defer(() => run(["umount", network]));
    const busybox = join(scene.rootfs, "bin/busybox");
    const up = ["unshare", `--net=${network}`, busybox, "ip", "link", "set", "lo", "up"];
    mustSucceed(await run(up));
    mustSucceed((await scene.create(bundle)).ran);
    mustSucceed(await scene.start(bundle.id));
    const got = () => {
      const file = join(saved.volume, "got");
      return existsSync(file) ? Bun.file(file).size : 0;
    };
    const more = (than: number) =>
      until(
        () => got() > than,
        LONG_MS,
        () => `more than ${than} bytes`,
      );
    await more(5);
    await refusedWithout(saved);
    const flags = ["--tcp-established", ...LOCK];
    await saved.checkpoint(...flags);
    const before = got();
    await saved.restore(...flags);
    await more(before);
    await remove(saved);
  });
});

describe.skipIf(impossible || Bun.which("ip") === null)("a device of the host", () => {
  test("goes into the network namespace that is made anew", async () => {
    const saved = await prepared({
      sh: "while :; do sleep 1; done",
      linux: { namespaces: [...NAMESPACES, { type: "network" }] },
      edit: (config) => {
        Object.assign(config.linux, { netDevices: { ta: { name: "in0" } } });
      },
    });
    const { scene, bundle, images } = saved;
    // The host is a namespace of the test.
    const script = `set -e
      veth() {
        ip link add ta type veth peer name tb
        ip address add 10.9.8.7/24 dev ta
      }
      ip link set lo up; veth
      $1 run --detach --bundle ${bundle.dir} ${bundle.id} < /dev/null > /dev/null 2>&1
      $1 checkpoint ${LOCK.join(" ")} --image-path ${images} ${bundle.id}
      until veth 2> /dev/null; do sleep 0.1; done
      $1 restore --detach ${LOCK.join(" ")} --image-path ${images} --bundle ${bundle.dir} ${bundle.id}
      $1 exec ${bundle.id} ip -o -4 address show dev in0`;
    const command = scene.command().join(" ");
    const ran = await run(["unshare", "--net", "bash", "-c", script, "bash", command], {
      env: { TARE_TEST_MARK: scene.mark },
      timeoutMs: patiently(30_000),
    });
    expect(ran.stderr).toBe("");
    expect(ran.stdout).toContain("inet 10.9.8.7/24");
    await remove(saved);
  });
});
