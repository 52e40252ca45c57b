/**
 * Published ways out through mounts, masks and kernel files, at the moments that count: a hook stands
 * in for the attacker who wins a race, or a program exchanges names as fast as it can. The static
 * forms are in escape.test.ts.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type BundleConfig, DEFAULT_NAMESPACES, type MountConfig } from "../harness/bundle.ts";
import { describeTree } from "../harness/canary.ts";
import { copyRootfs, mustSucceed } from "../harness/fixtures.ts";
import { readMountTable } from "../harness/mount-table.ts";
import { patiently } from "../harness/places.ts";
import { run } from "../harness/run.ts";
import { openScene, type Scene, type SceneBundleOptions } from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

let scene: Scene;
let rootfs: string;
let canary: string;
let before: string[];

async function setUp(): Promise<void> {
  scene = await openScene();
  rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
  canary = join(scene.dir, "canary");
  mkdirSync(join(canary, "sub"), { recursive: true });
  writeFileSync(join(canary, "f"), "content of f");
  before = describeTree(canary);
}

function expectCanaryUntouched(): void {
  expect(describeTree(canary)).toEqual(before);
}

const hostile = (options: SceneBundleOptions) => ({ rootfs, writable: true, ...options });
const bind = (source: string, destination: string, ...options: string[]): MountConfig => ({
  destination,
  type: "bind",
  source,
  options: ["bind", ...options],
});

/** Runs in the container's mount namespace when its mounts are made and its root is not entered yet. */
function atSyncPoint(script: string): NonNullable<SceneBundleOptions["hooks"]> {
  return { createContainer: [{ path: "/bin/sh", args: ["sh", "-ec", script] }] };
}

const ALL = ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE", "CAP_MKNOD", "CAP_CHOWN"];
const PRIVILEGED = { bounding: ALL, permitted: ALL, effective: ALL };
const MAPPED = [{ containerID: 0, hostID: 100_000, size: 65_536 }];

function namespacesWith(...changed: { type: string; path?: string }[]) {
  const types = changed.map(({ type }) => type);
  const usual = DEFAULT_NAMESPACES.filter((type) => !types.includes(type));
  return [...usual.map((type) => ({ type })), ...changed];
}

// CVE-2025-52881: a kernel file is written while something else lies over it.
describe("what is written for the container reaches the kernel and nothing else", () => {
  test("a setting, with /proc/sys covered", async () => {
    await setUp();
    const fake = join(canary, "net/ipv4");
    mkdirSync(fake, { recursive: true });
    writeFileSync(join(fake, "ip_forward"), "untouched");
    before = describeTree(canary);
    const ran = await scene.runIn(
      hostile({
        hooks: atSyncPoint(`mount --bind ${canary} ${rootfs}/proc/sys`),
        sh: "umount /proc/sys && cat /proc/sys/net/ipv4/ip_forward",
        linux: { sysctl: { "net.ipv4.ip_forward": "1" }, readonlyPaths: [], maskedPaths: [] },
        process: { capabilities: PRIVILEGED },
      }),
    );
    expectCanaryUntouched();
    expect(ran.stdout).toBe("1\n");
  });

  test("the oom score, with /proc/1 covered", async () => {
    await setUp();
    writeFileSync(join(canary, "oom_score_adj"), "untouched");
    before = describeTree(canary);
    const ran = await scene.runIn(
      hostile({
        hooks: atSyncPoint(`mount --bind ${canary} ${rootfs}/proc/1`),
        sh: "umount /proc/1 && cat /proc/self/oom_score_adj",
        linux: { readonlyPaths: [], maskedPaths: [] },
        process: { oomScoreAdj: 321, capabilities: PRIVILEGED },
      }),
    );
    expectCanaryUntouched();
    expect(ran.stdout).toBe("321\n");
  });
});

// CVE-2025-31133: the null device of a mask is exchanged before it is bound.
describe("a mask is the null device or there is no container", () => {
  const look = "stat -c %t:%T /etc/passwd; echo spoiled > /etc/passwd";
  const linux = { maskedPaths: ["/etc/passwd"] };

  test("/dev/null is a link at the moment before the root is entered", async () => {
    await setUp();
    const ran = await scene.runIn(
      hostile({
        hooks: atSyncPoint(`ln -sf /mnt/f ${rootfs}/dev/null`),
        sh: look,
        linux,
        mounts: [bind(canary, "/mnt", "rw")],
      }),
    );
    expectCanaryUntouched();
    expect(["", "1:3\n"]).toContain(ran.stdout);
  });

  test("/dev is a volume where it is exchanged for a link all the time", async () => {
    await setUp();
    const dev = join(scene.dir, "dev");
    mkdirSync(dev);
    mustSucceed(await run(["mknod", "-m", "666", join(dev, "null"), "c", "1", "3"]));
    symlinkSync("/mnt/f", join(dev, "link"));
    const names = ["null", "link"].map((name) => join(dev, name));
    const swapper = run([join(scene.rootfs, "t/swap-names"), ...names, "3"]);
    const edit = (config: BundleConfig) => {
      config.mounts = config.mounts.filter(({ destination }) => !destination.startsWith("/dev"));
      config.mounts.push(bind(dev, "/dev"), bind(canary, "/mnt", "rw"));
    };
    const seen = new Set<string>();
    for (const end = performance.now() + 2_500; performance.now() < end; ) {
      seen.add((await scene.runIn(hostile({ sh: look, linux, edit }))).stdout);
    }
    await swapper;
    expectCanaryUntouched();
    expect([...seen].filter((stdout) => stdout !== "" && stdout !== "1:3\n")).toEqual([]);
    expect(seen.size).toBeGreaterThan(0);
  });
});

// CVE-2025-52565: what is bound on /dev/console is not the terminal that was opened.
describe("the console is a terminal of the container's own devpts", () => {
  test("the multiplexer is real, and the terminals are links", async () => {
    await setUp();
    const pts = join(scene.dir, "pts");
    mkdirSync(pts);
    const bundle = scene.bundle(
      hostile({
        // The attacker's directory over the devpts that was mounted.
        hooks: atSyncPoint(`touch ${pts}/ptmx; mount --bind ${rootfs}/dev/pts/ptmx ${pts}/ptmx
          for n in 0 1 2 3; do ln -s /mnt/f ${pts}/$n; done
          mount --rbind ${pts} ${rootfs}/dev/pts`),
        process: {
          terminal: true,
          args: ["sh", "-c", "stat -c 'console %t' /dev/console; echo x > /dev/console"],
          user: { uid: 1000, gid: 1000 },
        },
        mounts: [bind(canary, "/mnt", "rw")],
      }),
    );
    const ran = await scene.runOnTerminal(bundle);
    expectCanaryUntouched();
    // Major 136, of terminals, is 88.
    if (ran.stdout.includes("console ")) expect(ran.stdout).toContain("console 88");
  });

  test("twin: an untouched devpts gives one", async () => {
    await setUp();
    const process = { terminal: true, args: ["stat", "-c", "console %t", "/dev/console"] };
    const ran = await scene.runOnTerminal(scene.bundle(hostile({ process })));
    expect(ran.stdout).toContain("console 88");
  });
});

// CVE-2021-30465, CVE-2024-45310: a volume is shared with a container that exchanges names in it.
describe("a volume whose names change while mounts are made in it", () => {
  test("nothing is mounted or made outside", async () => {
    await setUp();
    const volume = join(scene.dir, "volume");
    mkdirSync(join(volume, "a"), { recursive: true });
    symlinkSync("../../../../../../../../../../../../..", join(volume, "b"));
    const host = readMountTable("self").map(({ point }) => point);
    const other = scene.bundle({
      args: ["/t/swap-names", "/volume/a", "/volume/b", "4"],
      mounts: [bind(volume, "/volume", "rw")],
    });
    mustSucceed((await scene.create(other)).ran);
    await scene.start(other.id);
    const inside = `a${canary}`;
    const mounts = [
      bind(volume, "/volume", "rw"),
      { destination: `/volume/${inside}/new/sub`, type: "tmpfs", source: "tmpfs" },
      { destination: `/volume/${inside}/sub`, type: "tmpfs", source: "tmpfs" },
      bind(join(rootfs, "etc/passwd"), `/volume/${inside}/file`),
    ];
    let rounds = 0;
    for (const end = performance.now() + 3_000; performance.now() < end; rounds++) {
      await scene.runIn(hostile({ args: ["true"], mounts }));
    }
    await scene.waitForStatus(other.id, "stopped", 10_000);
    await scene.delete(other.id);
    expect(rounds).toBeGreaterThan(2);
    expectCanaryUntouched();
    expect(readMountTable("self").map(({ point }) => point)).toEqual(host);
  });

  test("twin: a quiet volume takes mounts below it", async () => {
    await setUp();
    const volume = join(scene.dir, "volume");
    mkdirSync(volume);
    const mounts = [
      bind(volume, "/volume", "rw"),
      { destination: "/volume/a/b", type: "tmpfs", source: "tmpfs" },
    ];
    const ran = await scene.runIn(hostile({ sh: "touch /volume/a/b/c && echo fine", mounts }));
    expect(ran.stdout).toBe("fine\n");
    expect(readdirSync(join(volume, "a/b"))).toEqual([]);
  });
});

// CVE-2016-9962: a container whose pid namespace is joined looks at the process that comes in.
describe("who shares the pid namespace sees nothing of the host in a container that starts", () => {
  test("not even root of its user namespace, which may trace", async () => {
    await setUp();
    const spy = scene.bundle({
      // Of the programs here all are busybox; one that can be looked at and is not came from outside.
      sh: `while :; do for p in /proc/[0-9]*; do
        case "$(readlink $p/exe)" in ""|*/busybox) ;; *) echo "saw $p"; ls -l $p/fd;; esac
        done; echo looked; done`,
      process: { capabilities: PRIVILEGED },
      linux: {
        namespaces: namespacesWith({ type: "user" }),
        uidMappings: MAPPED,
        gidMappings: MAPPED,
      },
    });
    const { output } = await scene.create(spy);
    await scene.start(spy.id);
    const host = (await scene.state(spy.id))?.pid ?? 0;
    const joined = ["pid", "user"].map((type) => ({ type, path: `/proc/${host}/ns/${type}` }));
    for (let round = 0; round < 4; round++) {
      const guest = scene.bundle({ linux: { namespaces: namespacesWith(...joined) } });
      mustSucceed((await scene.create(guest)).ran);
      const looks = () => output.stdout().split("looked").length;
      for (const end = looks() + 3; looks() < end; ) await Bun.sleep(20);
      await scene.delete(guest.id, "--force");
    }
    await scene.kill(spy.id, "KILL");
    await scene.waitForStatus(spy.id, "stopped", 10_000);
    await scene.delete(spy.id);
    const lines = output.stdout().split("\n");
    expect(lines.filter((line) => line.startsWith("saw"))).toEqual([]);
  });

  test("and nobody reaches a procfs without masks through the process that waits", async () => {
    await setUp();
    const bundle = scene.bundle(hostile({ args: ["true"] }));
    mustSucceed((await scene.create(bundle)).ran);
    const pid = (await scene.state(bundle.id))?.pid ?? 0;
    const open = readdirSync(`/proc/${pid}/fd`).filter((fd) => Number(fd) > 2);
    const names = open.map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    const isDirectory = (fd: string) => statSync(`/proc/${pid}/fd/${fd}`).isDirectory();
    expect(open.filter(isDirectory)).toEqual([]);
    await scene.delete(bundle.id, "--force");
    expect(names.length).toBeGreaterThan(0);
  });
});

// CVE-2021-43784: lengths that overflow what is told to the first process.
test("a configuration that is long beyond measure is applied exactly, or refused cleanly", async () => {
  await setUp();
  const maps = Array.from({ length: 200 }, (_, index) => {
    return { containerID: index, hostID: 100_000 + index, size: 1 };
  });
  const linux = {
    namespaces: namespacesWith({ type: "user" }),
    uidMappings: maps,
    gidMappings: maps,
  };
  const sh = "wc -l < /proc/self/uid_map";
  expect((await scene.runIn(hostile({ sh, linux }))).stdout).toBe("200\n");
  const many = Array.from({ length: 5_000 }, (_, index) => {
    return { containerID: index, hostID: 100_000 + index, size: 1 };
  });
  const longer = { ...linux, uidMappings: many, gidMappings: many };
  expect((await scene.runIn(hostile({ sh, linux: longer }))).stdout).toBe("");
  const frame = '{"kind":"created"}';
  for (const length of [5_000, 70_000, 300_000]) {
    const source = `/${frame}`.repeat(length / frame.length);
    for (const mount of [bind(source, "/mnt"), bind(canary, source)]) {
      const ran = await scene.runIn(hostile({ sh: "echo ran", mounts: [mount] }));
      expect([ran.code, ran.stdout]).toEqual([1, ""]);
      expect(ran.stderr).toContain("ENAMETOOLONG");
    }
  }
});

// CVE-2023-25809, CVE-2022-0492: the host's cgroups, without a cgroup namespace in between.
describe("without a cgroup namespace", () => {
  test.each(["as the machine", "in a user namespace"])(
    "only the container's own cgroups are there, and not to be written: %s",
    async (kind) => {
      await setUp();
      const namespaces = namespacesWith(...(kind === "as the machine" ? [] : [{ type: "user" }]));
      const user = { uidMappings: MAPPED, gidMappings: MAPPED };
      const ran = await scene.runIn(
        hostile({
          sh: `find /sys/fs/cgroup -name cgroup.procs -exec cat {} + | grep -v '^0$' | sort -u | wc -l
               find /sys/fs/cgroup -type d -exec mkdir {}/made \\; 2>/dev/null
               find /sys/fs/cgroup -name made; find /sys/fs/cgroup -name release_agent -writable`,
          linux: {
            namespaces: namespaces.filter(({ type }) => type !== "cgroup"),
            ...(kind === "as the machine" ? {} : user),
          },
          process: { capabilities: PRIVILEGED },
        }),
      );
      const [processes, ...rest] = ran.stdout.split("\n");
      expect(Number(processes)).toBeLessThan(8);
      expect(rest).toEqual([""]);
    },
  );
});

// CVE-2018-10892, CVE-2017-16539 and their like: a mask that can be taken off, or moved away from.
test("masks and read-only paths cannot be taken off, moved, or covered with the usual rights", async () => {
  await setUp();
  const ran = await scene.runIn(
    hostile({
      sh: `for p in /proc/keys /etc/passwd /t; do
          umount $p; umount -l $p; mount -o remount,bind,rw $p; mount -t tmpfs none $p
          mv $p /tmp/moved; rm -rf $p
        done 2>/dev/null
        echo 1 > /proc/sys/kernel/domainname; umount /proc/sys; mount -o remount,rw,bind /proc/sys
        test -s /etc/passwd && echo uncovered; ls -A /t; stat -c %t:%T /proc/keys`,
      linux: {
        maskedPaths: ["/proc/keys", "/etc/passwd", "/t"],
        readonlyPaths: ["/proc/sys"],
      },
    }),
  );
  expect(ran.stdout).toBe(existsSync("/proc/keys") ? "1:3\n" : "");
  expect(readFileSync(join(rootfs, "etc/passwd"), "utf8")).toContain("root");
  expect(readdirSync(join(rootfs, "t"))).toContain("report");
});
