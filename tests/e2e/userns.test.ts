/** User namespaces: uid 0 inside is nobody outside, for root as caller and for an ordinary user. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type BundleConfig, DEFAULT_NAMESPACES, type IdMap } from "../harness/bundle.ts";
import { onlyCgroup2 } from "../harness/cgroups.ts";
import { copyRootfs, mustSucceed } from "../harness/fixtures.ts";
import { patiently } from "../harness/places.ts";
import { type Ran, run } from "../harness/run.ts";
import {
  openScene,
  type Scene,
  type SceneBundle,
  type SceneBundleOptions,
} from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

const MAP: IdMap[] = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
const namespaces = [...DEFAULT_NAMESPACES, "user"].map((type) => ({ type }));

/** The v1 hierarchies cannot be mounted from a user namespace with a cgroup namespace. */
function withoutCgroupMount(config: BundleConfig): void {
  if (!onlyCgroup2()) config.mounts = config.mounts.filter(({ type }) => type !== "cgroup");
}

function mapped(scene: Scene, options: SceneBundleOptions = {}): SceneBundle {
  return scene.bundle({
    ...options,
    linux: { namespaces, uidMappings: MAP, gidMappings: MAP, ...options.linux },
    edit: (config) => {
      withoutCgroupMount(config);
      options.edit?.(config);
    },
  });
}

describe("root as the caller", () => {
  test("uid 0 inside is an unprivileged uid outside", async () => {
    const scene = await openScene();
    const bundle = mapped(scene, {
      sh: "id -u; cat /proc/self/uid_map /proc/self/gid_map; sleep 30",
    });
    const { ran, output } = await scene.create(bundle);
    mustSucceed(ran);
    mustSucceed(await scene.start(bundle.id));
    const pid = (await scene.state(bundle.id))?.pid ?? 0;
    await Bun.sleep(200);
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    await scene.delete(bundle.id, "--force");
    expect(output.stdout().trim().split(/\s+/)).toEqual([
      "0",
      "0",
      "100000",
      "65536",
      "0",
      "100000",
      "65536",
    ]);
    expect(status).toMatch(/^Uid:\t100000\t100000\t100000\t100000$/m);
    expect(status).toMatch(/^Gid:\t100000\t100000\t100000\t100000$/m);
  });

  test("what it makes on a shared directory belongs to that uid; what is the host root's is closed", async () => {
    const scene = await openScene();
    const shared = join(scene.dir, "shared");
    mkdirSync(shared);
    chmodSync(shared, 0o777);
    writeFileSync(join(shared, "secret"), "secret", { mode: 0o600 });
    const ran = await scene.run(
      mapped(scene, {
        sh: "touch /mnt/made; cat /mnt/secret || echo closed; chown 5 /mnt/secret || echo refused",
        mounts: [{ destination: "/mnt", type: "bind", source: shared, options: ["bind"] }],
      }),
    );
    expect(ran.stdout).toBe("closed\nrefused\n");
    expect(statSync(join(shared, "made")).uid).toBe(100_000);
    expect(statSync(join(shared, "secret")).uid).toBe(0);
  });

  test("root of the namespace may change users inside the map and not outside of it", async () => {
    const scene = await openScene();
    const script =
      "touch /dev/shm/f; chown 1000:1000 /dev/shm/f && stat -c %u /dev/shm/f; chown 70000 /dev/shm/f || echo refused";
    const ran = await scene.run(mapped(scene, { sh: script }));
    expect(ran.stdout).toBe("1000\nrefused\n");
  });

  test("an ordinary user inside, with groups", async () => {
    const scene = await openScene();
    const user = { uid: 1000, gid: 1000, additionalGids: [50] };
    const ran = await scene.run(mapped(scene, { process: { args: ["/t/report"], user } }));
    const got = JSON.parse(ran.stdout);
    expect([got.uid, got.gid]).toEqual([1000, 1000]);
    expect(got.groups.toSorted()).toEqual([1000, 50]);
  });

  test("all namespaces of another container are joined, its cgroup is not", async () => {
    const scene = await openScene();
    const first = mapped(scene, { args: ["sleep", "31"] });
    mustSucceed((await scene.create(first)).ran);
    mustSucceed(await scene.start(first.id));
    const pid = (await scene.state(first.id))?.pid ?? 0;
    const file = (type: string) => `/proc/${pid}/ns/${type === "network" ? "net" : type}`;
    const joined = namespaces
      .filter(({ type }) => type !== "cgroup")
      .map(({ type }) => (type === "mount" ? { type } : { type, path: file(type) }));
    const second = mapped(scene, {
      sh: "cat /proc/1/cmdline /proc/self/cgroup",
      linux: { namespaces: joined, uidMappings: [], gidMappings: [] },
    });
    const ran = await scene.run(second);
    await scene.delete(first.id, "--force");
    expect(mustSucceed(ran).stdout).toStartWith("sleep\x0031\0");
    for (const line of ran.stdout.split("\0")[2]?.trim().split("\n") ?? []) {
      // A hierarchy without a controller of ours to set may be left where the caller is.
      if (line.includes(scene.mark)) expect(line).toContain(second.id);
    }
    expect(ran.stdout).toContain(second.id);
  });

  test("a network namespace of the host is joined beside the user namespace of another container", async () => {
    const scene = await openScene();
    const first = mapped(scene, { args: ["sleep", "31"] });
    mustSucceed((await scene.create(first)).ran);
    mustSucceed(await scene.start(first.id));
    const pid = (await scene.state(first.id))?.pid ?? 0;
    const joined = namespaces
      .filter(({ type }) => type !== "cgroup" && type !== "network" && type !== "user")
      .map(({ type }) => ({ type }));
    const second = mapped(scene, {
      sh: "readlink /proc/self/ns/user; readlink /proc/self/ns/net",
      linux: {
        namespaces: [
          ...joined,
          { type: "network", path: "/proc/self/ns/net" },
          { type: "user", path: `/proc/${pid}/ns/user` },
        ],
        uidMappings: [],
        gidMappings: [],
      },
      // Without rights in the network namespace there is no sysfs of it.
      edit: (config) => {
        config.mounts = config.mounts.filter(({ type }) => type !== "sysfs");
      },
    });
    const theirs = readlinkSync(`/proc/${pid}/ns/user`);
    const ran = await scene.run(second);
    await scene.delete(first.id, "--force");
    const here = readlinkSync("/proc/self/ns/net");
    expect(mustSucceed(ran).stdout).toBe(`${theirs}\n${here}\n`);
  });

  test("an id-mapped bind without maps has those of the user namespace that is joined", async () => {
    const scene = await openScene();
    const first = mapped(scene, { args: ["sleep", "31"] });
    mustSucceed((await scene.create(first)).ran);
    mustSucceed(await scene.start(first.id));
    const pid = (await scene.state(first.id))?.pid ?? 0;
    const source = join(scene.dir, "source");
    mkdirSync(source);
    chownSync(source, 42, 43);
    const joined = namespaces.map(({ type }) =>
      type === "user" ? { type, path: `/proc/${pid}/ns/user` } : { type },
    );
    const second = mapped(scene, {
      args: ["stat", "-c", "%u:%g", "/mnt"],
      linux: { namespaces: joined, uidMappings: [], gidMappings: [] },
      mounts: [{ destination: "/mnt", source, options: ["bind", "idmap"] }],
    });
    const ran = await scene.run(second);
    await scene.delete(first.id, "--force");
    expect(mustSucceed(ran).stdout).toBe("42:43\n");
  });

  test("an id-mapped source may lie on earlier mounts, and where root inside sees nothing", async () => {
    const scene = await openScene();
    const [outer, inner] = [join(scene.dir, "hidden/outer"), join(scene.dir, "hidden/inner")];
    mkdirSync(join(outer, "at"), { recursive: true });
    mkdirSync(inner);
    chmodSync(join(scene.dir, "hidden"), 0o700);
    writeFileSync(join(inner, "file"), "");
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    mkdirSync(join(rootfs, "final"));
    const map = [{ containerID: 0, hostID: 100_007, size: 1 }];
    const bundle = mapped(scene, {
      rootfs,
      args: ["stat", "-c", "%u", "/final/at/file"],
      mounts: [
        { destination: "/mnt", source: outer, options: ["bind"] },
        { destination: "/mnt/at", source: inner, options: ["bind"] },
        {
          destination: "/final",
          source: join(rootfs, "mnt"),
          options: ["rbind", "ridmap"],
          uidMappings: map,
          gidMappings: map,
        },
      ],
    });
    expect(mustSucceed(await scene.run(bundle)).stdout).toBe("7\n");
  });

  test("clocks of a time namespace that belongs to the user namespace are set", async () => {
    const scene = await openScene();
    const bundle = mapped(scene, {
      args: ["cat", "/proc/self/timens_offsets"],
      linux: {
        namespaces: [...namespaces, { type: "time" }],
        timeOffsets: { boottime: { secs: 1337, nanosecs: 3 }, monotonic: { secs: 7881 } },
      },
    });
    const words = mustSucceed(await scene.run(bundle))
      .stdout.trim()
      .split(/\s+/);
    expect(words).toEqual(["monotonic", "7881", "0", "boottime", "1337", "3"]);
  });

  test("several ranges, each in its place", async () => {
    const scene = await openScene();
    const ranges = [
      { containerID: 0, hostID: 100_000, size: 1 },
      { containerID: 1, hostID: 300_000, size: 1_000 },
      { containerID: 1_001, hostID: 200_000, size: 10 },
    ];
    const ran = await scene.run(
      mapped(scene, {
        args: ["cat", "/proc/self/uid_map"],
        linux: { namespaces, uidMappings: ranges, gidMappings: ranges },
      }),
    );
    expect(ran.stdout.trim().split(/\s+/).map(Number)).toEqual(
      ranges.flatMap(({ containerID, hostID, size }) => [containerID, hostID, size]),
    );
  });

  test("all capabilities inside give nothing outside: no mknod, no host name of the machine", async () => {
    const scene = await openScene();
    const all = [
      "CAP_MKNOD",
      "CAP_SYS_ADMIN",
      "CAP_DAC_OVERRIDE",
      "CAP_SYS_MODULE",
      "CAP_SYS_TIME",
    ];
    const capabilities = { bounding: all, permitted: all, effective: all };
    const ran = await scene.run(
      mapped(scene, {
        sh: "mknod /dev/shm/n c 1 3 || echo no device; echo 1 > /proc/sys/kernel/panic || echo no sysctl; /t/call 227 0 0",
        process: { capabilities },
      }),
    );
    expect(ran.stdout).toMatch(/^no device\nno sysctl\nret -1 errno (1|14)\n$/);
  });

  test("devices that the host has not are made as they are asked for, and bound like the others", async () => {
    const scene = await openScene();
    const asked = { type: "c", path: "/dev/ours", major: 1, minor: 5, fileMode: 0o626 };
    const bundle = mapped(scene, {
      sh: 'stat -c "%a %u:%g" /dev/ours; head -c 3 /dev/ours | wc -c; grep -cE " /dev/(ours|null) [^ ]*nosuid[^ ]*noexec" /proc/self/mountinfo; grep -cE "^([^ ]+ ){4}/ " /proc/self/mountinfo',
      linux: {
        devices: [{ ...asked, uid: 10, gid: 11 }],
        resources: { devices: [{ allow: true, type: "c", major: 1, minor: 5, access: "rw" }] },
      },
    });
    const ran = mustSucceed(await scene.run(bundle));
    expect(ran.stdout.trim().split("\n")).toEqual(["626 10:11", "3", "2", "1"]);
    const foreign = mapped(scene, {
      sh: "true",
      linux: { devices: [{ ...asked, uid: 70_000, gid: 0 }] },
    });
    expect((await scene.run(foreign)).stderr).toContain("has no id 70000");
  });

  test("the limits of the cgroup hold as ever", async () => {
    const scene = await openScene();
    const linux = {
      namespaces,
      uidMappings: MAP,
      gidMappings: MAP,
      resources: { pids: { limit: 10 } },
    };
    const ran = await scene.run(mapped(scene, { args: ["/t/fork-bomb", "60"], linux }));
    expect(ran.stdout).toBe("forked 9 errno 11\n");
  });

  test("without maps, root of the host is root inside, and nobody else is there", async () => {
    const scene = await openScene();
    const bundle = mapped(scene, {
      sh: "cat /proc/self/uid_map; stat -c %u /mnt/other; mknod /dev/shm/n c 1 3 || echo no device",
      linux: { namespaces, uidMappings: [], gidMappings: [] },
      mounts: [{ destination: "/mnt", type: "bind", source: scene.dir, options: ["bind"] }],
      edit: (config) => {
        for (const mount of config.mounts) {
          mount.options = mount.options?.filter((option) => option !== "gid=5") ?? [];
        }
      },
    });
    writeFileSync(join(scene.dir, "other"), "");
    chownSync(join(scene.dir, "other"), 1234, 1234);
    const ran = await scene.run(bundle);
    expect(ran.stdout.trim().split(/\s+/)).toEqual(["0", "0", "1", "65534", "no", "device"]);
  });

  test("maps without a user namespace and a namespace with a broken map are refused", async () => {
    const scene = await openScene();
    const plain = DEFAULT_NAMESPACES.map((type) => ({ type }));
    const overlapping = [...MAP, { containerID: 5, hostID: 400_000, size: 10 }];
    const bad = [
      { namespaces: plain, uidMappings: MAP, gidMappings: MAP },
      { namespaces, uidMappings: overlapping, gidMappings: MAP },
    ];
    for (const linux of bad) {
      const ran = await scene.run(mapped(scene, { sh: "echo ran", linux }));
      expect(ran.stdout).toBe("");
      expect(ran.code).not.toBe(0);
    }
  });
});

describe("root of another user namespace as the caller", () => {
  /** Runs argv as uid 0 of a user namespace that maps ids to themselves. */
  function runInNamespace(scene: Scene, argv: string[]): Promise<Ran> {
    const pid = join(scene.dir, "pid");
    const inside = `echo $$ > ${pid}.new; mv ${pid}.new ${pid}
      while ! grep -q 65536 /proc/self/uid_map; do sleep 0.01; done
      exec setpriv --reuid 0 --regid 0 --clear-groups "$@"`;
    const script = `unshare --user --mount sh -c '${inside}' sh "$@" &
      while [ ! -e ${pid} ]; do sleep 0.01; done
      for kind in gid uid; do echo 0 0 65536 > /proc/$(cat ${pid})/$kind"_map"; done; wait $!`;
    const env = { TARE_TEST_MARK: scene.mark };
    return run(["sh", "-c", script, "sh", ...argv], { env });
  }

  test("runs containers without one of their own: devices are bound, cgroups are not needed", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({
      sh: "cat /proc/self/uid_map; echo x > /dev/null && head -c 3 /dev/zero | wc -c; mknod /dev/shm/n c 1 3 || echo no device",
      edit: (config) => {
        delete config.linux.cgroupsPath;
        config.mounts = config.mounts.filter(({ type }) => type !== "cgroup");
      },
    });
    const command = scene.command("run", "--bundle", bundle.dir, bundle.id);
    const ran = await runInNamespace(scene, command);
    expect(ran.stdout.trim().split(/\s+/)).toEqual(["0", "0", "65536", "3", "no", "device"]);
    expect(ran.code).toBe(0);
  });
});

describe("root of a user namespace that forbids setgroups as the caller", () => {
  const ONE: IdMap[] = [{ containerID: 0, hostID: 0, size: 1 }];
  // As runc and crun: what cannot be had there is passed over, for a program that root starts.
  test.each([
    ["in it", {}],
    ["in one of their own below it", { uidMappings: ONE, gidMappings: ONE }],
  ])("containers and further processes %s run, whatever groups they ask for", async (_, maps) => {
    const scene = await openScene();
    const isOwn = "uidMappings" in maps;
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    const bundle = scene.bundle({
      rootfs,
      args: ["sleep", "60"],
      process: { user: { uid: 0, gid: 0, additionalGids: [5, 7] } },
      edit: (config) => {
        delete config.linux.cgroupsPath;
        config.linux.resources = {};
        Object.assign(config.linux, maps);
        if (isOwn) config.linux.namespaces.push({ type: "user" });
        const own = ["proc", "tmpfs"];
        config.mounts = config.mounts.filter(({ type }) => own.includes(type ?? ""));
      },
    });
    const words = (...verb: string[]) => scene.command(...verb).map((word) => `'${word}'`);
    const exec = (...flags: string[]) => words("exec", ...flags, bundle.id, "id", "-u").join(" ");
    const script = `
      cat /proc/self/setgroups
      ${words("run", "--detach", "--bundle", bundle.dir, bundle.id).join(" ")} </dev/null
      ${exec()}; ${exec("--user", "0:0")}; ${exec("--additional-gids", "9")}
      ${exec("--user", "1000")} || echo no such user
      ${words("delete", "--force", bundle.id).join(" ")}`;
    const split = "unshare --user --map-root-user --mount --pid --fork --mount-proc --kill-child";
    const ran = await run([...split.split(" "), "sh", "-c", script], {
      env: { TARE_TEST_MARK: scene.mark },
    });
    expect(ran.stdout.trim().split("\n")).toEqual(["deny", "0", "0", "0", "no such user"]);
  });
});

describe("an ordinary user as the caller", () => {
  const UID = 4242;
  const SUBIDS = 200_000;

  /** Everything the user needs is his: bundle, root, state. */
  async function ownScene(
    options: SceneBundleOptions,
    maps: IdMap[],
  ): Promise<{ scene: Scene; bundle: SceneBundle }> {
    const scene = await openScene();
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    const bundle = mapped(scene, {
      rootfs,
      ...options,
      linux: { namespaces, uidMappings: maps, gidMappings: maps, resources: {} },
      edit: (config) => {
        // An ordinary user may neither raise a cgroup nor mount its hierarchies.
        delete config.linux.cgroupsPath;
        config.mounts = config.mounts.filter(({ type }) => type !== "cgroup");
        for (const mount of config.mounts) {
          mount.options =
            mount.options?.filter((option) => maps.length > 1 || option !== "gid=5") ?? [];
        }
      },
    });
    mustSucceed(await run(["chown", "-R", `${UID}:${UID}`, rootfs, bundle.dir, scene.stateRoot]));
    chownSync(scene.dir, UID, UID);
    return { scene, bundle };
  }

  /**
   * Runs argv as that user, with a passwd and a range of subordinate ids of its own, in a mount
   * namespace where these lie over the machine's; nothing on the machine changes.
   */
  async function runAsUser(scene: Scene, argv: string[]): Promise<Ran> {
    const etc = join(scene.dir, "etc");
    mkdirSync(etc, { recursive: true });
    const line = `\nvisitor:x:${UID}:${UID}::/:/bin/sh\n`;
    writeFileSync(join(etc, "passwd"), readFileSync("/etc/passwd", "utf8").trimEnd() + line);
    for (const name of ["subuid", "subgid"])
      writeFileSync(join(etc, name), `visitor:${SUBIDS}:65536\n`);
    const script = `cd /; for f in passwd subuid subgid; do
        test -e /etc/$f || continue; mount --bind ${etc}/$f /etc/$f; done
      exec setpriv --reuid ${UID} --regid ${UID} --clear-groups --inh-caps=-all "$@"`;
    return run(["unshare", "--mount", "sh", "-c", script, "sh", ...argv], {
      env: { TARE_TEST_MARK: scene.mark, XDG_RUNTIME_DIR: scene.stateRoot, HOME: "/" },
    });
  }

  const hasSubordinateIds = Bun.which("newuidmap") !== null && Bun.file("/etc/subuid").size >= 0;

  test("one id, mapped by the user itself", async () => {
    const maps = [{ containerID: 0, hostID: UID, size: 1 }];
    const { scene, bundle } = await ownScene(
      { sh: "id -u; cat /proc/self/uid_map; hostname" },
      maps,
    );
    const ran = await runAsUser(scene, scene.command("run", "--bundle", bundle.dir, bundle.id));
    expect(ran.stdout.trim().split(/\s+/)).toEqual(["0", "0", "4242", "1", "inside"]);
    expect(ran.code).toBe(0);
  });

  test.skipIf(!hasSubordinateIds)("a range of ids, mapped by newuidmap and newgidmap", async () => {
    const maps = [
      { containerID: 0, hostID: UID, size: 1 },
      { containerID: 1, hostID: SUBIDS, size: 65_535 },
    ];
    const sh = "cat /proc/self/uid_map; touch /tmp/f; chown 1000:1000 /tmp/f; stat -c %u:%g /tmp/f";
    const { scene, bundle } = await ownScene({ sh, writable: true }, maps);
    const ran = await runAsUser(scene, scene.command("run", "--bundle", bundle.dir, bundle.id));
    expect(ran.stdout.trim().split(/\s+/)).toEqual([
      "0",
      "4242",
      "1",
      "1",
      "200000",
      "65535",
      "1000:1000",
    ]);
    expect(statSync(join(bundle.config.root.path, "tmp/f")).uid).toBe(SUBIDS + 999);
  });

  test("without maps the user is root inside", async () => {
    const { scene, bundle } = await ownScene({ sh: "id -u; cat /proc/self/uid_map" }, []);
    const ran = await runAsUser(scene, scene.command("run", "--bundle", bundle.dir, bundle.id));
    expect(ran.stdout.trim().split(/\s+/)).toEqual(["0", "0", "4242", "1"]);
  });

  test("what spec --rootless writes runs, and shows no cgroup of the host's", async () => {
    const { scene, bundle } = await ownScene({ sh: "true" }, []);
    const path = join(bundle.dir, "config.json");
    rmSync(path);
    mustSucceed(await runAsUser(scene, scene.command("spec", "--rootless", "-b", bundle.dir)));
    const config = JSON.parse(readFileSync(path, "utf8")) as typeof bundle.config;
    config.root.path = bundle.config.root.path;
    config.process.terminal = false;
    const script = "ls -A /sys/fs/cgroup | grep -q . && cat /sys/fs/cgroup/*/cgroup.procs; id -u";
    config.process.args = ["sh", "-c", `(${script}) 2>/dev/null`];
    writeFileSync(path, JSON.stringify(config));
    const ran = await runAsUser(scene, scene.command("run", "--bundle", bundle.dir, bundle.id));
    expect(ran).toMatchObject({ code: 0, stdout: "0\n" });
  });

  test("further groups that its one id forbids are refused", async () => {
    const maps = [{ containerID: 0, hostID: UID, size: 1 }];
    const user = { uid: 0, gid: 0, additionalGids: [5] };
    const { scene, bundle } = await ownScene({ sh: "echo ran", process: { user } }, maps);
    const ran = await runAsUser(scene, scene.command("run", "--bundle", bundle.dir, bundle.id));
    expect(ran).toMatchObject({ code: 1, stdout: "" });
    expect(ran.stderr).toContain("additionalGids");
  });

  test("--rootless=false wants the cgroups that it may not make", async () => {
    const maps = [{ containerID: 0, hostID: UID, size: 1 }];
    const { scene, bundle } = await ownScene({ sh: "echo ran" }, maps);
    const [program = "", ...words] = scene.command("run", "--bundle", bundle.dir, bundle.id);
    const run_ = (word: string) => runAsUser(scene, [program, `--rootless=${word}`, ...words]);
    const refused = await run_("false");
    expect(refused).toMatchObject({ stdout: "", code: 1 });
    expect(refused.stderr).toContain("cgroup");
    expect((await run_("maybe")).stderr).toContain("--rootless");
    expect(await run_("true")).toMatchObject({ stdout: "ran\n", code: 0 });
  });

  test("created, started, killed and deleted by the user", async () => {
    const maps = [{ containerID: 0, hostID: UID, size: 1 }];
    const { scene, bundle } = await ownScene({ args: ["sleep", "30"] }, maps);
    const verb = (...words: string[]) =>
      runAsUser(scene, ["sh", "-c", '"$@" >/dev/null 2>&1', "sh", ...scene.command(...words)]);
    // The state is the user's, and no other user's runtime believes it.
    const status = async () => {
      const ran = await runAsUser(scene, scene.command("state", bundle.id));
      return ran.code === 0 ? (JSON.parse(ran.stdout) as { status: string }).status : "gone";
    };
    mustSucceed(await verb("create", "--bundle", bundle.dir, bundle.id));
    mustSucceed(await verb("start", bundle.id));
    expect(await status()).toBe("running");
    mustSucceed(await verb("kill", bundle.id, "KILL"));
    for (let tries = 0; tries < 100 && (await status()) !== "stopped"; tries++) await Bun.sleep(50);
    expect(await status()).toBe("stopped");
    mustSucceed(await verb("delete", bundle.id));
    expect(await status()).toBe("gone");
  });
});
