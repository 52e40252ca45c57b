/**
 * `exec` into a container that wants out: what is in it, in its image or behind its program's name
 * does not reach the host, nor the runtime. The advisories are named at each test.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DEFAULT_CAPABILITIES, DEFAULT_NAMESPACES } from "../harness/bundle.ts";
import { onlyCgroup2 } from "../harness/cgroups.ts";
import { cached, copyRootfs, mustSucceed, programs } from "../harness/fixtures.ts";
import { patiently, runtimeProgram } from "../harness/places.ts";
import { type Ran, run, runOnTerminal } from "../harness/run.ts";
import { openScene, type SceneBundleOptions } from "../harness/scene.ts";
import { Guest, openGuest } from "./exec-scene.ts";

setDefaultTimeout(patiently(120_000));

const WATCHER = join(import.meta.dir, "exec-watch.c");
const CC = ["gcc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o"];
const SECRET = "HOST_SECRET=do-not-tell";

/** A container with a root file system of its own that `spoil` changes. */
async function openSpoiled(
  spoil: (rootfs: string) => void,
  options: SceneBundleOptions = {},
): Promise<Guest> {
  const scene = await openScene();
  const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
  spoil(rootfs);
  return openGuest({ rootfs, writable: true, ...options }, scene);
}

async function buildWatcher(): Promise<string> {
  return cached("exec-watch", [CC.join(" "), readFileSync(WATCHER)], async (dir) => {
    mustSucceed(await run([...CC, join(dir, "exec-watch"), WATCHER]));
  });
}

// CVE-2016-9962: with CAP_SYS_PTRACE in our own user namespace nothing is hidden from it.
test.each([true, false])(
  "who may trace finds nothing of the host and no right of ours (no_new_privs %j)",
  async (noNewPrivileges) => {
    const dir = await buildWatcher();
    const scene = await openScene();
    const capabilities = [...DEFAULT_CAPABILITIES, "CAP_SYS_PTRACE"];
    const rule = { names: ["mkdirat"], action: "SCMP_ACT_ERRNO" };
    const bundle = scene.bundle({
      args: ["/mnt/exec-watch", scene.dir, SECRET],
      process: {
        noNewPrivileges,
        capabilities: { bounding: capabilities, permitted: capabilities, effective: capabilities },
      },
      linux: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] } },
      mounts: [{ destination: "/mnt", type: "bind", source: dir, options: ["bind", "ro"] }],
    });
    const { ran, output } = await scene.create(bundle);
    mustSucceed(ran);
    scene.defer(() => scene.delete(bundle.id, "--force"));
    mustSucceed(await scene.start(bundle.id));
    const guest = new Guest(scene, bundle);
    const [name = "", value = ""] = SECRET.split("=");
    for (let round = 0; round < 200; round++) {
      // Replaced, so that only the words of the runtime have it.
      const replaced = ["--env", SECRET, "--env", `${name}=`];
      const seen = await guest.execWith({ [name]: value }, ...replaced, bundle.id, "true");
      expect(seen.code).toBe(0);
    }
    const added = join(scene.dir, "mounts.json");
    const words = { destination: "/home", type: "tmpfs", source: "none" };
    writeFileSync(added, JSON.stringify([words]));
    for (let round = 0; round < 20; round++) {
      mustSucceed(await scene.verb("mounts", "add", bundle.id, added));
      mustSucceed(await scene.verb("mounts", "remove", bundle.id, added));
    }
    mustSucceed(await scene.kill(bundle.id, "TERM"));
    await scene.waitForStatus(bundle.id, "stopped");
    expect(Number(output.stderr())).toBeGreaterThan(0);
    expect(output.stdout()).toBe("looking\nprivileged 0 holding 0 knowing 0\n");
  },
);

// What the container can make fail at will must not bring about the way in which it sees more.
test("no room for a process, or a terminal that is taken, is an error and no second way in", async () => {
  const full = await openGuest({ linux: { resources: { pids: { limit: 2 } } } });
  const crowded = await full.exec([], "true");
  expect([crowded.code, crowded.stderr]).toEqual([255, expect.stringContaining("EAGAIN")]);
  const TIOCSCTTY = 0x540e;
  const args = [{ index: 1, value: TIOCSCTTY, op: "SCMP_CMP_EQ" }];
  const rule = { names: ["ioctl"], action: "SCMP_ACT_ERRNO", args };
  const guest = await openGuest({
    process: { noNewPrivileges: false },
    linux: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] } },
  });
  const words = guest.scene.command("exec", "--tty", guest.bundle.id, "true");
  const taken = await runOnTerminal(words);
  expect([taken.code, taken.stdout]).toEqual([255, expect.stringContaining("TIOCSCTTY")]);
});

// CVE-2019-5736.
test("the runtime's file stays as it is", async () => {
  const scene = await openScene();
  const copy = join(scene.dir, "tare-runtime");
  copyFileSync(runtimeProgram(), copy);
  chmodSync(copy, 0o755);
  const { ino, size } = statSync(copy, { bigint: true });
  const caps = [...DEFAULT_CAPABILITIES, "CAP_SYS_PTRACE"];
  const bundle = scene.bundle({
    args: ["/t/spoil-exe", `${ino}`, `${size}`],
    process: { capabilities: { bounding: caps, permitted: caps, effective: caps } },
  });
  const { ran, output } = await scene.create(bundle);
  mustSucceed(ran);
  scene.defer(() => scene.delete(bundle.id, "--force"));
  mustSucceed(await scene.start(bundle.id));
  for (let round = 0; round < 20; round++) {
    const words = [copy, "--root", scene.stateRoot, "exec", bundle.id, "true"];
    expect((await run(words, { env: { TARE_TEST_MARK: scene.mark } })).code).toBe(0);
  }
  mustSucceed(await scene.kill(bundle.id, "TERM"));
  await scene.waitForStatus(bundle.id, "stopped");
  expect(output.stdout()).toMatch(/^looking\nspoiled 0 of \d+\n$/);
  expect(readFileSync(copy).equals(readFileSync(runtimeProgram()))).toBeTrue();
});

// Asking for write access makes execve(2) of a file fail with ETXTBSY, even where it is refused in the
// end: so what a container can see of us must not be the file that the host starts.
test("who asks for the runtime's file again and again keeps nobody from starting it", async () => {
  const scene = await openScene();
  const bundle = scene.bundle({ args: ["true"] });
  mustSucceed((await scene.create(bundle)).ran);
  scene.defer(() => scene.delete(bundle.id, "--force"));
  const seen = `/proc/${(await scene.state(bundle.id))?.pid}/exe`;
  const own = statSync(runtimeProgram(), { bigint: true });
  const { dev, ino, size } = statSync(seen, { bigint: true });
  expect(size).toBe(own.size);
  expect(`${dev}:${ino}`).not.toBe(`${own.dev}:${own.ino}`);
  // EROFS is said before anything is taken; a mere read-only mount would say ETXTBSY.
  expect(() => openSync(seen, "r+")).toThrow("EROFS");
});

// CVE-2019-5736, the other way: the interpreter of a script is the program that executes it.
test("`#!/proc/self/exe` does not lend the runtime's file", async () => {
  const guest = await openSpoiled((rootfs) => {
    writeFileSync(join(rootfs, "entry"), "#!/proc/self/exe tare-init\n", { mode: 0o755 });
    const reach = "#!/bin/sh\nfor p in /proc/[0-9]*; do chmod 777 $p/exe && echo changed; done\n";
    writeFileSync(join(rootfs, "bin/tare-init"), reach, { mode: 0o755 });
  });
  const before = statSync(runtimeProgram());
  const ran = await guest.exec([], "/entry");
  expect(ran.stdout).not.toContain("changed\nchanged\nchanged");
  const { mode, mtimeMs, ctimeMs } = statSync(runtimeProgram());
  expect({ mode, mtimeMs, ctimeMs }).toMatchObject({
    mode: before.mode,
    mtimeMs: before.mtimeMs,
    ctimeMs: before.ctimeMs,
  });
});

/**
 * Where exec's process has a /proc/self when it resolves names. Usually it has none: it is not in the pid
 * namespace yet, which alone holds these two off.
 */
const VISIBLE: readonly (readonly [name: string, options: SceneBundleOptions])[] = [
  ["that is late", {}],
  [
    "of the host's pid namespace",
    {
      linux: {
        namespaces: DEFAULT_NAMESPACES.filter((type) => type !== "pid").map((type) => ({ type })),
      },
    },
  ],
  [
    "that is there early",
    {
      edit: ({ process }) => {
        const flags = ["SCHED_FLAG_RESET_ON_FORK"];
        Object.assign(process, { scheduler: { policy: "SCHED_OTHER", flags } });
      },
    },
  ],
];

/** Runs a command whose caller has the host's root open. */
function holdingHost(argv: readonly string[]): Promise<Ran> {
  const held = 'for n in 3 4 5 6 7 8 9; do eval "exec $n</"; done; exec "$@"';
  return run(["bash", "-c", held, "bash", ...argv]);
}

// CVE-2024-21626: the caller holds a directory of the host, and so might we.
test.each([...VISIBLE])(
  "no descriptor is a working directory on the host, for a process %s",
  async (_name, options) => {
    const guest = await openSpoiled((rootfs) => {
      for (let fd = 3; fd < 16; fd++) symlinkSync(`/proc/self/fd/${fd}`, join(rootfs, `fd${fd}`));
    }, options);
    const { id } = guest.bundle;
    for (let fd = 3; fd < 16; fd++) {
      for (const cwd of [`/proc/self/fd/${fd}`, `/proc/1/fd/${fd}`, `/fd${fd}`]) {
        const exec = guest.scene.command("exec", "--cwd", cwd, id, "sh", "-c", "pwd; ls ..");
        const ran = await holdingHost(exec);
        expect([cwd, ran.code, ran.stdout]).toEqual([cwd, 255, ""]);
      }
    }
  },
);

// The same by the program's own name.
test.each([...VISIBLE])(
  "no descriptor leads to a program of the host, for a process %s",
  async (_name, options) => {
    const guest = await openGuest(options);
    for (let fd = 3; fd < 12; fd++) {
      // Static, so that it would run.
      const program = `/proc/self/fd/${fd}${realpathSync(await programs())}/report`;
      const ran = await holdingHost(guest.scene.command("exec", guest.bundle.id, program));
      expect([fd, ran.code]).toEqual([fd, 255]);
    }
  },
);

// CVE-2026-47262, CVE-2024-9676.
const ACCOUNTS: [name: string, make: (path: string) => void][] = [
  ["a file of a gigabyte", (path) => Bun.spawnSync(["truncate", "-s", "1G", path])],
  ["a FIFO", (path) => Bun.spawnSync(["mkfifo", path])],
  ["a device without end", (path) => symlinkSync("/dev/zero", path)],
  ["a link to itself", (path) => symlinkSync("passwd", path)],
  ["a link to the host", (path) => symlinkSync("../../../../../../etc/passwd", path)],
  ["a directory", (path) => mkdirSync(path)],
  ["lines that are none", (path) => writeFileSync(path, "::\n\0\nx:x:0\n:x:0:0::bin:\n")],
  ["an id past the end", (path) => writeFileSync(path, "x:x:4294967296:0::/wrong:/bin/sh\n")],
];
test.each(ACCOUNTS)("accounts that are %s give HOME a harmless value", async (_name, make) => {
  const guest = await openSpoiled((rootfs) => {
    rmSync(join(rootfs, "etc/passwd"));
    make(join(rootfs, "etc/passwd"));
  });
  const ran = await guest.exec([], "/bin/sh", "-c", "echo $HOME");
  expect([ran.code, ran.stdout]).toEqual([0, "/\n"]);
});

test("an absolute link inside of the root is followed there", async () => {
  const guest = await openSpoiled((rootfs) => {
    writeFileSync(join(rootfs, "accounts"), "x:x:77:0::/mine:/bin/sh\n");
    rmSync(join(rootfs, "etc/passwd"));
    symlinkSync("/accounts", join(rootfs, "etc/passwd"));
  });
  const ran = await guest.exec(["-u", "77"], "/bin/sh", "-c", "echo $HOME");
  expect(ran.stdout).toBe("/mine\n");
});

// CVE-2022-36109.
test("a group that is denied stays denied to its own members", async () => {
  const guest = await openSpoiled((rootfs) => {
    writeFileSync(join(rootfs, "denied"), "secret\n");
    chownSync(join(rootfs, "denied"), 0, 1000);
    chmodSync(join(rootfs, "denied"), 0o604);
  });
  for (const flags of [
    ["-u", "1000:1000"],
    ["-u", "1000:1000", "-g", "50"],
  ]) {
    const ran = await guest.exec(flags, "cat", "/denied");
    expect([ran.code, ran.stdout]).toEqual([1, ""]);
  }
  expect((await guest.exec(["-u", "1000:7"], "cat", "/denied")).stdout).toBe("secret\n");
});

const MAP = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
const namespaces = [...DEFAULT_NAMESPACES, "user"].map((type) => ({ type }));

test("in a user namespace root is root of that only", async () => {
  const guest = await openGuest({
    linux: { namespaces, uidMappings: MAP, gidMappings: MAP },
    edit: (config) => {
      if (!onlyCgroup2()) config.mounts = config.mounts.filter(({ type }) => type !== "cgroup");
    },
  });
  const script = "readlink /proc/self/ns/user; readlink /proc/1/ns/user; id -u; id -g; id -G";
  const [own, first, ...ids] = (await guest.sh(script)).stdout.trim().split("\n");
  expect(own).toBe(first ?? "");
  expect(ids).toEqual(["0", "0", "0"]);
  const file = join(guest.scene.dir, "pid");
  await guest.detach(["--pid-file", file, "-u", "1000:1000"], "sleep", "999");
  const status = readFileSync(`/proc/${readFileSync(file, "utf8")}/status`, "utf8");
  expect(status).toMatch(/^Uid:\t101000\t101000\t101000\t101000$/m);
  const tty = await guest.exec(["-t"], "sh", "-c", "tty; exit 5");
  expect([tty.code, tty.stdout.trim()]).toEqual([5, expect.stringContaining("/dev/pts/")]);
});

test("an ordinary user enters a container of its own", async () => {
  const UID = 4242;
  const scene = await openScene();
  const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
  const maps = [{ containerID: 0, hostID: UID, size: 1 }];
  const bundle = scene.bundle({
    rootfs,
    args: ["sleep", "1000"],
    linux: { namespaces, uidMappings: maps, gidMappings: maps, resources: {} },
    edit: (config) => {
      delete config.linux.cgroupsPath;
      config.mounts = config.mounts.filter(({ type }) => type !== "cgroup");
      for (const mount of config.mounts) {
        mount.options = mount.options?.filter((option) => option !== "gid=5") ?? [];
      }
    },
  });
  mustSucceed(await run(["chown", "-R", `${UID}:${UID}`, rootfs, bundle.dir, scene.stateRoot]));
  chownSync(scene.dir, UID, UID);
  const asUser = (...words: string[]): Promise<Ran> => {
    const drop = ["setpriv", `--reuid=${UID}`, `--regid=${UID}`, "--clear-groups"];
    const argv = [...drop, "--inh-caps=-all", ...scene.command(...words)];
    return run(argv, { env: { TARE_TEST_MARK: scene.mark, XDG_RUNTIME_DIR: scene.stateRoot } });
  };
  const out = join(scene.dir, "out");
  const start = scene.command("run", "--detach", "--bundle", bundle.dir, bundle.id);
  const script = `exec setpriv --reuid=${UID} --regid=${UID} --clear-groups "$@" >${out} 2>&1`;
  const env = { TARE_TEST_MARK: scene.mark, XDG_RUNTIME_DIR: scene.stateRoot };
  const began = await run(["sh", "-c", script, "sh", ...start], { env });
  expect([began.code, readFileSync(out, "utf8")]).toEqual([0, ""]);
  scene.defer(() => asUser("delete", "--force", bundle.id));
  const ran = await asUser("exec", bundle.id, "sh", "-c", "id -u; hostname; exit 4");
  expect([ran.code, ran.stdout]).toEqual([4, "0\ninside\n"]);
});
