/**
 * The option words of mounts, each by its effect inside. The rules for flags of binds are those of
 * mount(8) as runc reads them; the words about links are crun's.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { MountConfig } from "../harness/bundle.ts";
import { DEFAULT_NAMESPACES } from "../harness/bundle.ts";
import { copyRootfs, mustSucceed } from "../harness/fixtures.ts";
import { type MountEntry, mountAt, parseMountTable } from "../harness/mount-table.ts";
import { patiently } from "../harness/places.ts";
import { run } from "../harness/run.ts";
import { openScene, type Scene, type SceneBundleOptions } from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

const MAPPED = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
const USERNS = {
  namespaces: [...DEFAULT_NAMESPACES, "user"].map((type) => ({ type })),
  uidMappings: MAPPED,
  gidMappings: MAPPED,
};

async function tableInside(scene: Scene, options: SceneBundleOptions): Promise<MountEntry[]> {
  const ran = await scene.runIn({ args: ["cat", "/proc/self/mountinfo"], ...options });
  if (ran.code !== 0) throw new Error(`the container ended with ${ran.code}: ${ran.stderr}`);
  return parseMountTable(ran.stdout);
}

function bind(source: string, destination: string, ...options: string[]): MountConfig {
  return { destination, type: "bind", source, options: ["bind", ...options] };
}

function tmpfs(destination: string, ...options: string[]): MountConfig {
  return { destination, type: "tmpfs", source: "tmpfs", options };
}

/** A tmpfs of the host with exactly these flags on the mount, and a file in it. */
async function flagged(scene: Scene, flags: string): Promise<string> {
  const source = join(scene.dir, "source");
  await scene.mountHost(source, "-t", "tmpfs", "-o", "mode=755,strictatime", "tmpfs");
  writeFileSync(join(source, "file"), "");
  mustSucceed(await run(["mount", "-o", `remount,bind,${flags}`, source]));
  return source;
}

const FLAGS = ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"];

function flagsOf(entry: MountEntry | undefined): string[] {
  const shown = [...FLAGS, "relatime"];
  return (entry?.options ?? []).filter((word) => shown.includes(word)).sort();
}

describe("the flags of a bind over those of its source", () => {
  const cases: [source: string, words: string[], shown: string, mapped: string | null][] = [
    // Without a word, all are kept; with one, exactly what is said; locked ones stay in a user namespace.
    ["ro,noexec,nodiratime", [], "nodiratime noexec relatime ro", "nodiratime noexec relatime ro"],
    [
      "ro,noexec,nosymfollow,nodiratime",
      ["dev"],
      "nodiratime relatime",
      "nodiratime noexec relatime ro",
    ],
    [
      "ro,relatime",
      ["nosuid", "nodev", "rprivate"],
      "nodev nosuid relatime",
      "nodev nosuid relatime ro",
    ],
    ["ro,relatime", ["rw", "nosuid"], "nosuid relatime", null],
    ["nosuid,nodev,noexec,noatime", ["dev", "suid", "exec", "atime"], "noatime", null],
    ["nodev,nosuid,noexec,noatime", ["ro"], "noatime ro", "noatime nodev noexec nosuid ro"],
    ["rw,nodev,nosymfollow,relatime", ["ro", "symfollow"], "relatime ro", "nodev relatime ro"],
    ["nodev,nosuid,noatime", ["ro", "exec"], "noatime ro", "noatime nodev nosuid ro"],
    ["noatime", ["relatime"], "relatime", null],
    ["noatime", ["nodiratime"], "nodiratime relatime", null],
    ["nodiratime,relatime", ["strictatime"], "", null],
    ["noatime", ["norelatime"], "noatime", "noatime"],
    ["relatime", ["noatime"], "noatime", null],
  ];
  test.each(cases)("%s with %j", async (flags, words, shown, mapped) => {
    const scene = await openScene();
    const source = await flagged(scene, flags);
    const mounts = [bind(source, "/mnt", ...words)];
    const table = await tableInside(scene, { mounts });
    expect(flagsOf(mountAt(table, "/mnt")).join(" ")).toBe(shown);
    const inside = scene.runIn({ args: ["cat", "/proc/self/mountinfo"], mounts, linux: USERNS });
    const ran = await inside;
    if (mapped === null) return void expect([ran.code, ran.stdout]).toEqual([1, ""]);
    expect(flagsOf(mountAt(parseMountTable(ran.stdout), "/mnt")).join(" ")).toBe(mapped);
  });

  test("in a user namespace they stay locked, also for who may mount", async () => {
    const scene = await openScene();
    const source = await flagged(scene, "ro,nosuid");
    const all = ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_SYS_CHROOT"];
    const ran = await scene.runIn({
      sh: "mount -o remount,bind,rw /mnt && echo unlocked; touch /mnt/x && echo wrote; true",
      mounts: [bind(source, "/mnt")],
      linux: USERNS,
      process: { capabilities: { bounding: all, permitted: all, effective: all } },
    });
    expect(ran.stdout).toBe("");
    expect(existsSync(join(source, "x"))).toBeFalse();
  });

  test("a source that only the host's root may reach is bound all the same", async () => {
    const scene = await openScene();
    const source = join(scene.dir, "private/source");
    mkdirSync(source, { recursive: true });
    writeFileSync(join(source, "file"), "content");
    chmodSync(join(scene.dir, "private"), 0o700);
    const mounts = [bind(source, "/mnt", "ro")];
    const ran = await scene.runIn({ args: ["cat", "/mnt/file"], mounts, linux: USERNS });
    expect(ran.stdout).toBe("content");
  });
});

describe("an option that cannot be honoured is an error", () => {
  test.each(["sync", "dirsync", "lazytime", "iversion", "mand", "rsync", "nonsense"])(
    "%s of a bind",
    async (word) => {
      const scene = await openScene();
      const ran = await scene.runIn({ sh: "echo ran", mounts: [bind(scene.dir, "/mnt", word)] });
      expect([ran.code, ran.stdout]).toEqual([1, ""]);
      expect(ran.stderr).toContain(`"${word}"`);
    },
  );

  test("one that a file system does not know, in the kernel's words", async () => {
    const scene = await openScene();
    const ran = await scene.runIn({ sh: "echo ran", mounts: [tmpfs("/mnt", "nonsense=1")] });
    expect([ran.code, ran.stdout]).toEqual([1, ""]);
    expect(ran.stderr).toContain("Unknown parameter 'nonsense'");
  });
});

describe("flags of the whole file system", () => {
  const cases: [words: string[], has: string[], hasNot: string[]][] = [
    [["sync"], ["sync"], []],
    [["sync", "async"], [], ["sync"]],
    [["async", "sync", "dirsync"], ["sync", "dirsync"], []],
    [["lazytime"], ["lazytime"], []],
    [["lazytime", "nolazytime", "size=1m"], ["size=1024k"], ["lazytime"]],
    [["iversion", "size=1m", "nosuid"], ["size=1024k"], []],
    [["silent", "loud", "noiversion", "nomand", "defaults"], ["rw"], []],
  ];
  test.each(cases)("%j", async (words, has, hasNot) => {
    const scene = await openScene();
    const table = await tableInside(scene, { mounts: [tmpfs("/mnt", ...words)] });
    const entry = mountAt(table, "/mnt");
    expect(entry?.type).toBe("tmpfs");
    expect(entry?.superOptions).toEqual(expect.arrayContaining(has));
    for (const word of hasNot) expect(entry?.superOptions).not.toContain(word);
    if (words.includes("nosuid")) expect(entry?.options).toContain("nosuid");
  });

  test("what features lists is accepted for a tmpfs", async () => {
    const scene = await openScene();
    const { mountOptions } = JSON.parse((await scene.verb("features")).stdout);
    const odd = ["bind", "rbind", "idmap", "ridmap", "remount"];
    const words = (mountOptions as string[]).filter((word) => !odd.includes(word));
    const mounts = words.map((word, index) => tmpfs(`/tmp/m${index}`, word));
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    const ran = await scene.runIn({ rootfs, writable: true, sh: "echo ran", mounts });
    expect([ran.stdout, ran.stderr]).toEqual(["ran\n", ""]);
    expect(words).toContain("iversion");
  });
});

describe("remount", () => {
  test("of the mount alone, and of its file system", async () => {
    const scene = await openScene();
    const again = (...options: string[]) => ({ destination: "/mnt", options });
    const table = await tableInside(scene, {
      mounts: [
        tmpfs("/mnt", "size=1m", "nosuid", "noatime"),
        again("remount", "size=2m", "nodev"),
        { destination: "/sys", options: ["remount", "bind", "noexec"] },
      ],
    });
    const entry = mountAt(table, "/mnt");
    expect(entry?.superOptions).toContain("size=2048k");
    expect(flagsOf(entry)).toEqual(["noatime", "nodev"]);
    expect(flagsOf(mountAt(table, "/sys"))).toEqual(["noexec", "relatime"]);
  });

  test("of what is no mount is an error", async () => {
    const scene = await openScene();
    const mounts = [{ destination: "/tmp", options: ["remount", "bind", "ro"] }];
    const ran = await scene.runIn({ sh: "echo ran", mounts });
    expect([ran.code, ran.stdout]).toEqual([1, ""]);
  });
});

describe("links", () => {
  test("copy-symlink makes the source's link again, with the directories above it", async () => {
    const scene = await openScene();
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    symlinkSync("points/nowhere", join(scene.dir, "link"));
    writeFileSync(join(scene.dir, "file"), "content");
    const mounts = [
      bind(join(scene.dir, "link"), "/a/b/link", "copy-symlink"),
      bind(join(scene.dir, "file"), "/a/file", "copy-symlink"),
    ];
    for (const linux of [{}, USERNS]) {
      if ("uidMappings" in linux) chownSync(join(rootfs, "a"), 100_000, 100_000);
      const sh = "readlink /a/b/link; cat /a/file";
      const ran = await scene.runIn({ rootfs, writable: true, mounts, sh, linux });
      expect(ran.stdout).toBe("points/nowhere\ncontent");
    }
    expect(readlinkSync(join(rootfs, "a/b/link"))).toBe("points/nowhere");
  });

  test("copy-symlink over something else is an error", async () => {
    const scene = await openScene();
    symlinkSync("points/nowhere", join(scene.dir, "link"));
    const mounts = [bind(join(scene.dir, "link"), "/etc/passwd", "copy-symlink")];
    expect((await scene.runIn({ sh: "echo ran", mounts })).code).toBe(1);
  });

  test.each([
    [["dest-nofollow"], "content"],
    [["dest-nofollow", "src-nofollow"], "link to file"],
  ])("%j", async (words, seen) => {
    const scene = await openScene();
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    writeFileSync(join(scene.dir, "file"), "content");
    symlinkSync("file", join(scene.dir, "link"));
    symlinkSync("/etc/passwd", join(rootfs, "target"));
    const before = readFileSync(join(rootfs, "etc/passwd"), "utf8");
    const mounts = [bind(join(scene.dir, "link"), "/target", ...words)];
    const sh = 'test -L /target && echo "link to $(readlink /target)" || cat /target';
    for (const linux of [{}, USERNS]) {
      const ran = await scene.runIn({ rootfs, mounts, sh, linux });
      expect(ran.stdout.trim()).toBe(seen);
    }
    expect(readFileSync(join(rootfs, "etc/passwd"), "utf8")).toBe(before);
    expect(lstatSync(join(rootfs, "target")).isSymbolicLink()).toBeTrue();
  });

  test.each(["/proc/self", "/sys/class", "/dev/pts/ptmx"])(
    "dest-nofollow does not reach %s",
    async (target) => {
      const scene = await openScene();
      symlinkSync("file", join(scene.dir, "link"));
      const source = join(scene.dir, "link");
      const mounts = [bind(source, target, "dest-nofollow", "src-nofollow")];
      const ran = await scene.runIn({ sh: "echo ran", mounts });
      expect([ran.code, ran.stdout]).toEqual([1, ""]);
    },
  );
});

describe("a tmpfs", () => {
  test("has the mode of the directory below, one that is given, or its own", async () => {
    const scene = await openScene();
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    mkdirSync(join(rootfs, "kept"));
    chmodSync(join(rootfs, "kept"), 0o2710);
    const mounts = [tmpfs("/kept"), tmpfs("/new/a"), tmpfs("/kept/given", "mode=1500")];
    const sh = "stat -c %a /kept /new/a /kept/given";
    const ran = await scene.runIn({ rootfs, writable: true, mounts, sh });
    expect(ran.stdout).toBe("2710\n1777\n1500\n");
    expect((statSync(join(rootfs, "new/a")).mode & 0o7777).toString(8)).toBe("755");
  });

  test("directories that are made take the group of a setgid directory", async () => {
    const scene = await openScene();
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    mkdirSync(join(rootfs, "setgid"));
    chmodSync(join(rootfs, "setgid"), 0o7755);
    await scene.runIn({ rootfs, writable: true, mounts: [tmpfs("/setgid/a/b", "ro")] });
    expect((statSync(join(rootfs, "setgid/a")).mode & 0o7777).toString(8)).toBe("2755");
  });

  test.each([
    ["tmpcopyup", bind("/etc", "/mnt", "tmpcopyup")],
    ["on the root", tmpfs("/", "tmpcopyup")],
  ])("tmpcopyup where it cannot be is an error: %s", async (_name, mount) => {
    const scene = await openScene();
    const ran = await scene.runIn({
      sh: "echo ran",
      edit: (config) => config.mounts.unshift(mount),
    });
    expect([ran.code, ran.stdout]).toEqual([1, ""]);
  });

  test("on / becomes the root, and what follows is mounted in it", async () => {
    const scene = await openScene();
    // The root's own path is covered by the mount: what comes from there is gone.
    mustSucceed(await run(["cp", "-a", join(scene.rootfs, "bin"), join(scene.dir, "bin")]));
    const ran = await scene.runIn({
      writable: true,
      args: ["/bin/ls", "/"],
      edit: (config) => {
        config.mounts.unshift(tmpfs("/", "mode=755"), bind(join(scene.dir, "bin"), "/bin"));
      },
    });
    expect([ran.stderr, ran.stdout.split("\n")]).toEqual(["", ["bin", "dev", "proc", "sys", ""]]);
  });

  test("a bind on / is the root", async () => {
    const scene = await openScene();
    const other = await copyRootfs(scene.rootfs, join(scene.dir, "other"));
    writeFileSync(join(other, "mark"), "other");
    const ran = await scene.runIn({
      args: ["cat", "/mark"],
      edit: (config) => config.mounts.unshift(bind(other, "/")),
    });
    expect(ran.stdout).toBe("other");
  });
});

describe("places and sources", () => {
  test("relative destinations begin at the root, relative sources at the bundle", async () => {
    const scene = await openScene();
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    const bundle = scene.bundle({
      rootfs,
      writable: true,
      sh: "ls /data /deep/er; cat /one",
      mounts: [
        bind("data", "data"),
        bind("data/one", "one", "ro"),
        bind("data", `${rootfs}/deep/er`),
      ],
    });
    mkdirSync(join(bundle.dir, "data"));
    writeFileSync(join(bundle.dir, "data/one"), "1");
    expect((await scene.run(bundle)).stdout).toBe("/data:\none\n\n/deep/er:\none\n1");
  });

  test.each([
    ["as the machine", {}],
    ["in a user namespace", USERNS],
  ])("what is mounted before is seen by later binds of the root: %s", async (_name, linux) => {
    const scene = await openScene();
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    for (const name of ["a", "b", "final"]) mkdirSync(join(rootfs, name));
    mustSucceed(await run(["chown", "-R", "100000:100000", rootfs]));
    const ran = await scene.runIn({
      rootfs,
      sh: "cat /final/file; echo x > /b/new; cat /final/new",
      mounts: [tmpfs("/b"), bind(join(rootfs, "b"), "/final")],
      linux,
      process: { args: ["sh", "-c", "echo hello > /b/file; cat /final/file"] },
    });
    expect([ran.stderr, ran.stdout]).toEqual(["", "hello\n"]);
  });

  test("crun's own maps in the idmap option", async () => {
    const scene = await openScene();
    const source = join(scene.dir, "source");
    mkdirSync(source);
    writeFileSync(join(source, "file"), "");
    const words = "idmap=uids=0-1000-10;gids=0-2000-10";
    const mounts = [bind(source, "/mnt", words)];
    const ran = await scene.runIn({ sh: "stat -c %u:%g /mnt/file", mounts });
    expect([ran.stderr, ran.stdout]).toEqual(["", "1000:2000\n"]);
    const relative = [bind(source, "/mnt", "ridmap=uids=@0-3-1;gids=@0-4-1")];
    const mapped = { sh: "stat -c %u:%g /mnt/file", mounts: relative, linux: USERNS };
    expect((await scene.runIn(mapped)).stdout).toBe("3:4\n");
  });

  test("an overlay with more layers than one option, or one page, can name", async () => {
    const scene = await openScene();
    const layers = Array.from({ length: 60 }, (_, index) => {
      const name = `${"long".repeat(20)}${index}`;
      const dir = join(scene.dir, name);
      mkdirSync(dir);
      writeFileSync(join(dir, `file${index}`), "");
      return dir;
    });
    expect(layers.join(":").length).toBeGreaterThan(4096);
    const options = [`lowerdir=${layers.join(":")}`];
    const mounts = [{ destination: "/mnt", type: "overlay", source: "overlay", options }];
    const ran = await scene.runIn({ sh: "ls /mnt | wc -l", mounts });
    expect([ran.stderr, ran.stdout]).toEqual(["", "60\n"]);
  });

  test("an overlay with a writable layer", async () => {
    const scene = await openScene();
    for (const name of ["lower", "upper", "work"]) mkdirSync(join(scene.dir, name));
    await scene.mountHost(join(scene.dir, "disk"), "-t", "tmpfs", "none");
    for (const name of ["upper", "work"]) mkdirSync(join(scene.dir, "disk", name));
    const disk = join(scene.dir, "disk");
    const options = [`lowerdir=${scene.dir}/lower`, `upperdir=${disk}/upper`];
    options.push(`workdir=${disk}/work`);
    const mounts = [{ destination: "/mnt", type: "overlay", source: "overlay", options }];
    await scene.runIn({ sh: "echo x > /mnt/new", mounts });
    expect(readFileSync(join(disk, "upper/new"), "utf8")).toBe("x\n");
  });
});
