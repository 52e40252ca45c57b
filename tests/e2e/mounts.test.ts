/** Mounts inside are what config.json says, with each option's effect, and stay inside. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { BundleConfig, MountConfig } from "../harness/bundle.ts";
import { onlyCgroup2 } from "../harness/cgroups.ts";
import { copyRootfs, mustSucceed } from "../harness/fixtures.ts";
import { type MountEntry, mountAt, parseMountTable } from "../harness/mount-table.ts";
import { patiently } from "../harness/places.ts";
import { run } from "../harness/run.ts";
import { openScene, type Scene, type SceneBundleOptions } from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

/** The mount table inside a container with these mounts. */
async function tableInside(scene: Scene, options: SceneBundleOptions): Promise<MountEntry[]> {
  const ran = await scene.runIn({ args: ["cat", "/proc/self/mountinfo"], ...options });
  if (ran.code !== 0) throw new Error(`the container ended with ${ran.code}: ${ran.stderr}`);
  return parseMountTable(ran.stdout);
}

function bind(source: string, destination: string, ...options: string[]): MountConfig {
  return { destination, type: "bind", source, options: ["bind", ...options] };
}

const SYS_ADMIN = ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_MKNOD"];
const PRIVILEGED = { bounding: SYS_ADMIN, permitted: SYS_ADMIN, effective: SYS_ADMIN };

describe("the seven usual mounts", () => {
  test("their types and options", async () => {
    const scene = await openScene();
    const table = await tableInside(scene, {});
    const at = (point: string) => mountAt(table, point);
    expect(at("/proc")?.type).toBe("proc");
    expect(at("/dev")?.type).toBe("tmpfs");
    expect(at("/dev")?.options).toContain("nosuid");
    expect(at("/dev/pts")?.type).toBe("devpts");
    expect(at("/dev/pts")?.superOptions).toEqual(
      expect.arrayContaining(["mode=620", "ptmxmode=666"]),
    );
    expect(at("/dev/shm")?.options).toEqual(expect.arrayContaining(["nosuid", "nodev", "noexec"]));
    expect(at("/dev/mqueue")?.type).toBe("mqueue");
    expect(at("/sys")?.options).toContain("ro");
    expect(at("/")?.options).toContain("ro");
  });

  test("default devices and links of /dev", async () => {
    const scene = await openScene();
    const script = `cd /dev; stat -c '%n %F %t:%T %a' null zero full tty random urandom
      for l in fd stdin stdout stderr ptmx; do echo $l $(readlink $l); done
      echo lost > null; head -c 3 zero | wc -c; echo x > full || echo no space`;
    const ran = await scene.runIn({ sh: script });
    expect(ran.stdout.split("\n")).toEqual([
      "null character special file 1:3 666",
      "zero character special file 1:5 666",
      "full character special file 1:7 666",
      "tty character special file 5:0 666",
      "random character special file 1:8 666",
      "urandom character special file 1:9 666",
      "fd /proc/self/fd",
      "stdin /proc/self/fd/0",
      "stdout /proc/self/fd/1",
      "stderr /proc/self/fd/2",
      "ptmx pts/ptmx",
      "3",
      "no space",
      "",
    ]);
  });

  test("the cgroup mount shows the container's own group, read-only", async () => {
    const scene = await openScene();
    const dir = onlyCgroup2() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids";
    const ran = await scene.runIn({
      sh: `cat ${dir}/cgroup.procs; mkdir ${dir}/x || echo refused`,
    });
    expect(ran.stdout).toMatch(/^1\n(\d+\n)*refused\n$/);
  });

  test("options of the file system: hidepid of proc", async () => {
    const scene = await openScene();
    const table = await tableInside(scene, {
      edit: (config) => {
        config.mounts[0] = {
          destination: "/proc",
          type: "proc",
          source: "proc",
          options: ["hidepid=2"],
        };
      },
    });
    expect(mountAt(table, "/proc")?.superOptions).toContain("hidepid=invisible");
  });
});

describe("options of a bind mount", () => {
  const shown: [option: string, has: string[], hasNot: string[]][] = [
    ["ro", ["ro"], ["rw"]],
    ["rw", ["rw"], ["ro"]],
    ["nosuid", ["nosuid"], []],
    ["nodev", ["nodev"], []],
    ["noexec", ["noexec"], []],
    ["noatime", ["noatime"], ["relatime"]],
    ["nodiratime", ["nodiratime"], []],
    ["relatime", ["relatime"], ["noatime"]],
    ["strictatime", [], ["relatime", "noatime"]],
    ["nosymfollow", ["nosymfollow"], []],
    ["exec", [], ["noexec"]],
    ["suid", [], ["nosuid"]],
    ["dev", [], ["nodev"]],
  ];
  test.each(shown)("%s", async (option, has, hasNot) => {
    const scene = await openScene();
    const table = await tableInside(scene, { mounts: [bind(scene.dir, "/mnt", option)] });
    const options = mountAt(table, "/mnt")?.options ?? [];
    expect(options).toEqual(expect.arrayContaining(has));
    for (const absent of hasNot) expect(options).not.toContain(absent);
  });

  test("ro, noexec and nodev work, not only show", async () => {
    const scene = await openScene();
    const script = `echo x > /mnt/f || echo read-only
      /mnt/rootfs/t/call 39 || echo not executable
      cat /mnt/zero || echo no device`;
    mustSucceed(await run(["cp", "-a", scene.rootfs, join(scene.dir, "rootfs")]));
    mustSucceed(await run(["mknod", join(scene.dir, "zero"), "c", "1", "3"]));
    const plain = await scene.runIn({ sh: script, mounts: [bind(scene.dir, "/mnt")] });
    expect(plain.stdout).toMatch(/^ret \d+ errno 0\n$/);
    const tight = bind(scene.dir, "/mnt", "ro", "noexec", "nodev");
    const ran = await scene.runIn({ sh: script, mounts: [tight] });
    expect(ran.stdout).toBe("read-only\nnot executable\nno device\n");
  });

  test("a later option wins over an earlier one", async () => {
    const scene = await openScene();
    const mounts = [bind(scene.dir, "/mnt", "ro", "noexec", "rw", "exec")];
    const options = mountAt(await tableInside(scene, { mounts }), "/mnt")?.options ?? [];
    expect(options).toContain("rw");
    expect(options).not.toContain("noexec");
  });
});

describe("recursive binds", () => {
  const cases: [options: string[], top: string[], sub: string[] | null][] = [
    [["bind"], ["rw"], null],
    [["rbind"], ["rw"], ["rw"]],
    [["rbind", "ro"], ["ro"], ["rw"]],
    [["rbind", "rro"], ["ro"], ["ro"]],
    [
      ["rbind", "rnosuid", "rnodev"],
      ["nosuid", "nodev"],
      ["nosuid", "nodev"],
    ],
    [
      ["rbind", "rnoexec", "rnoatime"],
      ["noexec", "noatime"],
      ["noexec", "noatime"],
    ],
  ];
  test.each(cases)("%j", async (options, top, sub) => {
    const scene = await openScene();
    const source = join(scene.dir, "source");
    await scene.mountHost(join(source, "sub"), "-t", "tmpfs", "none");
    const mounts = [{ destination: "/mnt", type: "bind", source, options }];
    const table = await tableInside(scene, { mounts });
    expect(mountAt(table, "/mnt")?.options).toEqual(expect.arrayContaining(top));
    const below = mountAt(table, "/mnt/sub")?.options;
    if (sub === null) expect(below).toBeUndefined();
    else expect(below).toEqual(expect.arrayContaining(sub));
  });
});

test("an id-mapped bind shows other owners and writes the file system's own", async () => {
  const scene = await openScene();
  const source = join(scene.dir, "source");
  mkdirSync(source);
  chownSync(source, 1000, 1000);
  writeFileSync(join(source, "old"), "");
  chownSync(join(source, "old"), 1000, 1000);
  const map = [{ containerID: 1000, hostID: 5000, size: 10 }];
  const ran = await scene.runIn({
    process: {
      args: ["sh", "-c", "stat -c %u:%g /mnt/old; touch /mnt/new"],
      user: { uid: 5000, gid: 5000 },
    },
    mounts: [{ ...bind(source, "/mnt", "idmap"), uidMappings: map, gidMappings: map }],
    edit: (config) => {
      config.ociVersion = "1.1.0";
    },
  });
  expect(ran.stdout).toBe("5000:5000\n");
  expect(statSync(join(source, "new")).uid).toBe(1000);
});

test("an id-mapped source may lie on earlier mounts of the container", async () => {
  const scene = await openScene();
  const [outer, inner] = [join(scene.dir, "outer"), join(scene.dir, "inner")];
  mkdirSync(join(outer, "at"), { recursive: true });
  mkdirSync(inner);
  writeFileSync(join(inner, "file"), "");
  const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
  mkdirSync(join(rootfs, "final"));
  const map = [{ containerID: 0, hostID: 7, size: 1 }];
  const ran = await scene.runIn({
    rootfs,
    args: ["stat", "-c", "%u", "/final/at/file"],
    mounts: [
      bind(outer, "/mnt"),
      bind(inner, "/mnt/at"),
      {
        ...bind(join(rootfs, "mnt"), "/final", "rbind", "ridmap"),
        uidMappings: map,
        gidMappings: map,
      },
    ],
  });
  expect(ran).toMatchObject({ stdout: "7\n", code: 0 });
});

test("so it may in a user namespace", async () => {
  const maps = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  const scene = await openScene();
  const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
  const source = join(scene.dir, "source");
  for (const path of [join(source, "inner"), join(rootfs, "first"), join(rootfs, "second")]) {
    mkdirSync(path, { recursive: true });
  }
  writeFileSync(join(source, "inner/file"), "");
  chownSync(join(source, "inner/file"), 1000, 1000);
  const map = [{ containerID: 1000, hostID: 105_000, size: 10 }];
  const ran = await scene.runIn({
    rootfs,
    args: ["stat", "-c", "%u:%g", "/second/file"],
    linux: { uidMappings: maps, gidMappings: maps },
    mounts: [
      bind(source, "/first"),
      {
        ...bind(join(rootfs, "first/inner"), "/second", "idmap"),
        uidMappings: map,
        gidMappings: map,
      },
    ],
    edit: (config) => {
      config.ociVersion = "1.1.0";
      config.linux.namespaces.push({ type: "user" });
    },
  });
  expect(mustSucceed(ran).stdout).toBe("5000:5000\n");
});

describe("propagation", () => {
  const cases: [option: string, seesLater: boolean, tag: RegExp][] = [
    ["rprivate", false, /^$/],
    ["rslave", true, /^master:\d+$/],
    ["rshared", true, /^shared:\d+$/],
    ["unbindable", false, /^unbindable$/],
  ];
  test.each(cases)("%s", async (option, seesLater, tag) => {
    const scene = await openScene();
    const source = join(scene.dir, "source");
    await scene.mountHost(source, "-t", "tmpfs", "none");
    mustSucceed(await run(["mount", "--make-shared", source]));
    const bundle = scene.bundle({
      args: ["sleep", "30"],
      mounts: [{ destination: "/mnt", type: "bind", source, options: ["rbind", option] }],
      linux: { rootfsPropagation: "rslave" },
    });
    mustSucceed((await scene.create(bundle)).ran);
    await scene.start(bundle.id);
    await scene.mountHost(join(source, "later"), "-t", "tmpfs", "none");
    const pid = (await scene.state(bundle.id))?.pid ?? 0;
    const table = parseMountTable(readFileSync(`/proc/${pid}/mountinfo`, "utf8"));
    await scene.delete(bundle.id, "--force");
    expect(mountAt(table, "/mnt/later") !== undefined).toBe(seesLater);
    expect(mountAt(table, "/mnt")?.propagation.join()).toMatch(tag);
  });

  test("a shared bind is a peer of its source, unless something is mounted in it", async () => {
    const scene = await openScene();
    const source = join(scene.dir, "source");
    await scene.mountHost(source, "-t", "tmpfs", "none");
    mustSucceed(await run(["mount", "--make-shared", source]));
    const host = () => parseMountTable(readFileSync("/proc/self/mountinfo", "utf8"));
    const groups = async (...more: MountConfig[]) => {
      const mounts = [
        { destination: "/mnt", type: "bind", source, options: ["bind", "rshared"] },
        ...more,
      ];
      const table = await tableInside(scene, { mounts });
      return mountAt(table, "/mnt")?.propagation ?? [];
    };
    const own = mountAt(host(), source)?.propagation ?? [];
    expect(own).toHaveLength(1);
    expect(await groups()).toEqual(own);
    const tmpfs = { destination: "/mnt/in", type: "tmpfs", source: "tmpfs", options: [] };
    expect(await groups(tmpfs)).not.toContain(own[0]);
    expect(mountAt(host(), join(source, "in"))).toBeUndefined();
  });

  test("a mount made inside is not seen outside by default", async () => {
    const scene = await openScene();
    const source = join(scene.dir, "source");
    await scene.mountHost(source, "-t", "tmpfs", "none");
    mustSucceed(await run(["mount", "--make-shared", source]));
    const ran = await scene.runIn({
      sh: "mkdir /mnt/in; mount -t tmpfs none /mnt/in && echo mounted; sleep 0.2",
      mounts: [{ destination: "/mnt", type: "bind", source, options: ["rbind"] }],
      process: { capabilities: PRIVILEGED },
    });
    const seen = readFileSync("/proc/self/mountinfo", "utf8");
    expect(ran.stdout).toBe("mounted\n");
    expect(seen).not.toContain(`${source}/in`);
  });

  const roots: [propagation: string, tag: RegExp][] = [
    ["private", /^$/],
    ["shared", /^shared:\d+/],
    ["unbindable", /^unbindable$/],
  ];
  test.each(roots)("of the root: %s", async (rootfsPropagation, tag) => {
    const scene = await openScene();
    const table = await tableInside(scene, { linux: { rootfsPropagation } });
    expect(mountAt(table, "/")?.propagation.join()).toMatch(tag);
  });
});

describe("tmpfs", () => {
  const tmpfs = (...options: string[]): MountConfig => ({
    destination: "/mnt",
    type: "tmpfs",
    source: "tmpfs",
    options,
  });

  test("size, mode and owner", async () => {
    const scene = await openScene();
    const ran = await scene.runIn({
      sh: "stat -c '%a %u %g' /mnt; head -c 3000000 /dev/zero > /mnt/f; wc -c < /mnt/f",
      mounts: [tmpfs("size=1m", "mode=0710", "uid=12", "gid=34")],
    });
    expect(ran.stdout).toBe("710 12 34\n1048576\n");
  });

  test("tmpcopyup begins with what the root has there", async () => {
    const scene = await openScene();
    const mount = { ...tmpfs("tmpcopyup"), destination: "/etc" };
    const ran = await scene.runIn({
      sh: "grep -c . /etc/passwd; touch /etc/new && ls /etc",
      mounts: [mount],
    });
    expect(ran.stdout).toBe("4\ngroup\nhostname\nnew\npasswd\nresolv.conf\n");
    expect(existsSync(join(scene.rootfs, "etc/new"))).toBeFalse();
  });
});

describe("masked and read-only paths", () => {
  test("a masked file is an empty device, a masked directory is empty and closed", async () => {
    const scene = await openScene();
    const ran = await scene.runIn({
      sh: `stat -c '%F %t:%T' /etc/passwd; wc -c < /etc/passwd
           ls -A /t | wc -l; touch /t/x || echo closed; ls -A /sys/firmware | wc -l`,
      linux: { maskedPaths: ["/etc/passwd", "/t", "/no/such/path", "/sys/firmware"] },
    });
    expect(ran.stdout).toBe("character special file 1:3\n0\n0\nclosed\n0\n");
  });

  test("each file of the usual list that this kernel has reads as empty", async () => {
    const scene = await openScene();
    const bundle = scene.bundle();
    const paths = bundle.config.linux.maskedPaths.join(" ");
    const script = `for p in ${paths}; do test -f $p -o -c $p && cat $p; test -d $p && ls -A $p; done; true`;
    const ran = await scene.runIn({ sh: script });
    expect(ran).toMatchObject({ code: 0, stdout: "" });
  });

  test("a read-only path can be read and not written, even by a privileged process", async () => {
    const scene = await openScene();
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    const ran = await scene.runIn({
      rootfs,
      writable: true,
      sh: `touch /etc/x || echo closed; touch /tmp/x && echo open; cat /etc/hostname
           echo 1 > /proc/sys/kernel/domainname || echo closed; cat /proc/sys/kernel/ostype`,
      linux: { readonlyPaths: ["/etc", "/proc/sys", "/no/such/path"] },
      process: { capabilities: PRIVILEGED },
    });
    expect(ran.stdout).toBe("closed\nopen\nfixture\nclosed\nLinux\n");
  });

  test("a mask cannot be taken off inside", async () => {
    const scene = await openScene();
    const ran = await scene.runIn({
      sh: "umount /etc/passwd; wc -c < /etc/passwd",
      linux: { maskedPaths: ["/etc/passwd"] },
    });
    expect(ran.stdout).toBe("0\n");
  });
});

describe("the root", () => {
  test("read-only refuses writes, writable takes them", async () => {
    const scene = await openScene();
    const sh = "touch /written && echo written || echo refused";
    expect((await scene.runIn({ sh })).stdout).toBe("refused\n");
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    expect((await scene.runIn({ sh, rootfs, writable: true })).stdout).toBe("written\n");
    expect(existsSync(join(rootfs, "written"))).toBeTrue();
    expect(existsSync(join(scene.rootfs, "written"))).toBeFalse();
  });

  test("may be given relative to the bundle", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({
      args: ["cat", "/etc/hostname"],
      edit: (config) => {
        config.root.path = "rootfs";
      },
    });
    await copyRootfs(scene.rootfs, join(bundle.dir, "rootfs"));
    expect((await scene.run(bundle)).stdout).toBe("fixture\n");
  });

  test("may be the Debian of the fixtures", async () => {
    const { debianRootfs } = await import("../harness/fixtures.ts");
    const scene = await openScene();
    const ran = await scene.runIn({ rootfs: await debianRootfs(), args: ["dpkg", "--version"] });
    expect(ran.stdout).toContain("package management program");
  }, 300_000);
});

describe("mount points", () => {
  async function writableScene(scene: Scene): Promise<string> {
    return copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
  }

  test("a file over a file; missing files and directories are made", async () => {
    const scene = await openScene();
    const rootfs = await writableScene(scene);
    const file = join(scene.dir, "file");
    writeFileSync(file, "bound");
    const ran = await scene.runIn({
      rootfs,
      writable: true,
      sh: "cat /etc/hostname /a/new/file /b/new/dir/file; stat -c %F /a/new/file /b/new/dir",
      mounts: [
        bind(file, "/etc/hostname"),
        bind(file, "/a/new/file"),
        { destination: "/b/new/dir", type: "tmpfs", source: "tmpfs", options: [] },
        bind(file, "/b/new/dir/file"),
      ],
    });
    expect(ran.stdout).toBe("boundboundboundregular file\ndirectory\n");
    expect(readFileSync(join(rootfs, "etc/hostname"), "utf8")).toBe("fixture\n");
  });

  test("a later mount covers an earlier one", async () => {
    const scene = await openScene();
    const tmpfs = { destination: "/mnt", type: "tmpfs", source: "tmpfs", options: [] };
    writeFileSync(join(scene.dir, "seen"), "");
    const ran = await scene.runIn({
      args: ["ls", "/mnt"],
      mounts: [tmpfs, bind(scene.dir, "/mnt")],
    });
    expect(ran.stdout).toContain("seen\n");
    const covered = await scene.runIn({
      args: ["ls", "/mnt"],
      mounts: [bind(scene.dir, "/mnt"), tmpfs],
    });
    expect(covered.stdout).toBe("");
  });

  test("symbolic links in the path are followed inside the root", async () => {
    const scene = await openScene();
    const rootfs = await writableScene(scene);
    mkdirSync(join(rootfs, "real"));
    symlinkSync("/real", join(rootfs, "absolute"));
    symlinkSync("../../../real", join(rootfs, "upwards"));
    symlinkSync("/run", join(rootfs, "var/run"));
    const file = join(scene.dir, "file");
    writeFileSync(file, "bound");
    const table = await tableInside(scene, {
      rootfs,
      writable: true,
      mounts: [bind(file, "/absolute/a"), bind(file, "/upwards/b"), bind(file, "/var/run/c")],
    });
    for (const point of ["/real/a", "/real/b", "/run/c"])
      expect(mountAt(table, point)).toBeDefined();
  });

  test("a link out of the root leads to a place inside of that name", async () => {
    const scene = await openScene();
    const rootfs = await writableScene(scene);
    const outside = join(scene.dir, "outside");
    mkdirSync(outside);
    symlinkSync(outside, join(rootfs, "absolute"));
    symlinkSync(`../../../../../../..${outside}`, join(rootfs, "upwards"));
    const file = join(scene.dir, "file");
    writeFileSync(file, "bound");
    for (const destination of ["/absolute/a", "/upwards/b"]) {
      await scene.runIn({ rootfs, writable: true, mounts: [bind(file, destination)] });
    }
    expect(Array.from(new Bun.Glob("**").scanSync({ cwd: outside, onlyFiles: false }))).toEqual([]);
  });

  test("a source may be relative to the bundle", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["cat", "/mnt/f"], mounts: [bind("data", "/mnt")] });
    mkdirSync(join(bundle.dir, "data"));
    writeFileSync(join(bundle.dir, "data/f"), "relative");
    expect((await scene.run(bundle)).stdout).toBe("relative");
  });
});

describe("what cannot be mounted is refused and leaves nothing", () => {
  const bad: [name: string, mount: MountConfig][] = [
    ["a source that does not exist", bind("/no/such/source", "/mnt")],
    ["a file system nobody has", { destination: "/mnt", type: "moonfs", source: "none" }],
    [
      "an option the file system does not know",
      { destination: "/mnt", type: "tmpfs", options: ["moon=1"] },
    ],
    ["a directory over a file", bind("/usr", "/etc/passwd")],
    ["something over a part of /proc", bind("/usr", "/proc/sys")],
    ["something over the process's own files", bind("/usr", "/proc/self")],
  ];
  test.each(bad)("%s", async (_name, mount) => {
    const scene = await openScene();
    const ran = await scene.runIn({ sh: "echo ran", mounts: [mount] });
    expect(ran.stdout).toBe("");
    expect(ran.code).not.toBe(0);
  });
});

describe("devices and sysctls", () => {
  test("a configured device has its number, mode and owner", async () => {
    const scene = await openScene();
    const ran = await scene.runIn({
      sh: "stat -c '%F %t:%T %a %u:%g' /dev/mine /dev/sub/block /dev/pipe; cat /dev/mine",
      linux: {
        devices: [
          { path: "/dev/mine", type: "c", major: 1, minor: 3, fileMode: 0o640, uid: 12, gid: 34 },
          {
            path: "/dev/sub/block",
            type: "b",
            major: 7,
            minor: 200,
            fileMode: 0o600,
            uid: 0,
            gid: 0,
          },
          { path: "/dev/pipe", type: "p", fileMode: 0o622, uid: 0, gid: 0 },
        ],
      },
    });
    expect(ran.stdout.trim().split("\n")).toEqual([
      "character special file 1:3 640 12:34",
      "block special file 7:c8 600 0:0",
      "fifo 0:0 622 0:0",
    ]);
  });

  test("a node that the root brings gets the mode and the owner that are configured, and only those", async () => {
    const scene = await openScene();
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    const dev = join(rootfs, "dev");
    mustSucceed(
      await run([
        ...["sh", "-c"],
        'cd "$1" && rm -rf * && mknod -m 600 one c 1 3 && mknod -m 600 two c 1 5 && mknod -m 600 null c 1 3 && chown 5:6 one two',
        ...["sh", dev],
      ]),
    );
    const devices = [
      { path: "/dev/one", type: "c", major: 1, minor: 3, fileMode: 0o4640, uid: 12, gid: 34 },
      { path: "/dev/two", type: "c", major: 1, minor: 5, gid: 7 },
    ];
    const sh = "stat -c '%n %a %u:%g' /dev/one /dev/two /dev/null";
    const options: SceneBundleOptions = {
      sh,
      rootfs,
      linux: { devices },
      edit: (config) => {
        config.root.readonly = false;
        config.mounts = config.mounts.filter(({ destination }) => !destination.startsWith("/dev"));
      },
    };
    const ran = mustSucceed(await scene.runIn(options));
    expect(ran.stdout).toBe("/dev/one 4640 12:34\n/dev/two 600 5:7\n/dev/null 600 0:0\n");
  });

  test("of two entries of one device the first counts", async () => {
    const scene = await openScene();
    const [one, two] = [0o600, 0o666].map((fileMode, index) => {
      return { path: "/dev/mine", type: "c", major: 1, minor: 3 + index * 2, fileMode };
    });
    const ran = await scene.runIn({
      args: ["stat", "-c", "%t:%T %a", "/dev/mine"],
      linux: { devices: [one, two].filter((each) => each !== undefined) },
    });
    expect(ran.stderr + ran.stdout).toBe("1:3 600\n");
  });

  test("a sysctl of a namespace is set inside and not outside", async () => {
    const scene = await openScene();
    const path = "/proc/sys/net/ipv4/ip_default_ttl";
    const before = readFileSync(path, "utf8");
    const ran = await scene.runIn({
      args: ["cat", path, "/proc/sys/kernel/shm_rmid_forced"],
      linux: { sysctl: { "net.ipv4.ip_default_ttl": "77", "kernel.shm_rmid_forced": "1" } },
    });
    expect(ran.stdout).toBe("77\n1\n");
    expect(readFileSync(path, "utf8")).toBe(before);
  });

  test("a sysctl of the whole machine is refused, and so is one of a shared namespace", async () => {
    const scene = await openScene();
    const value = (path: string) => readFileSync(`/proc/sys/${path}`, "utf8").trim();
    const refuse = async (
      sysctl: Record<string, string>,
      edit?: (config: BundleConfig) => void,
    ) => {
      const ran = await scene.runIn({ linux: { sysctl }, ...(edit === undefined ? {} : { edit }) });
      expect(ran.code).not.toBe(0);
    };
    // Their present values: a runtime that sets them all the same does no harm.
    await refuse({ "kernel.panic": value("kernel/panic") });
    await refuse({ "net/../kernel/panic": value("kernel/panic") });
    await refuse({ "net.ipv4.ip_default_ttl": value("net/ipv4/ip_default_ttl") }, (config) => {
      config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "network");
      config.mounts = config.mounts.filter(({ type }) => type !== "sysfs");
    });
  });
});

test("the container's links in /proc point into its own root", async () => {
  const scene = await openScene();
  const bundle = scene.bundle({ args: ["sleep", "30"] });
  await scene.create(bundle);
  await scene.start(bundle.id);
  const pid = (await scene.state(bundle.id))?.pid ?? 0;
  const inside = statSync(`/proc/${pid}/root/t`);
  const fixture = statSync(join(scene.rootfs, "t"));
  const cwd = readlinkSync(`/proc/${pid}/cwd`);
  await scene.delete(bundle.id, "--force");
  expect(inside.ino).toBe(fixture.ino);
  expect(cwd).toBe("/");
});
