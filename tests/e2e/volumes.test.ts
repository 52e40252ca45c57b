/** Volumes: commands, content copied up on first use, options, subpaths, images as mounts, crashes. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describeTree } from "../harness/canary.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { images } from "../harness/images.ts";
import { run } from "../harness/run.ts";
import { type Entry, tarball } from "../harness/tarball.ts";
import { type Cli, IMAGE, openCli, openLoadedCli } from "./cli-scene.ts";

// On a busy machine a whole test takes seconds.
setDefaultTimeout(120_000);

/** A root file system with everything that a copy must keep, below /seed. */
async function seededTarball(dir: string): Promise<string> {
  const root = join(dir, "seeded");
  const { rootTarball } = await images();
  const script = `mkdir -p "$0/seed/deep/er" && cd "$0" && tar -xf "${rootTarball}" && cd seed &&
    echo one > file && chown 12:34 file && chmod 4751 file && ln file hard && ln -s /etc/passwd link &&
    mkfifo fifo && mknod null c 1 3 && chmod 1777 deep && echo two > deep/er/x && chown -h 5:6 link &&
    touch -d "2001-02-03 04:05:06.123456789" deep/er/x && setfattr -n user.mark -v 1 file &&
    setcap cap_net_raw+ep deep/er/x && printf x > "$(printf 'n\\377')" && chown 77:88 . && chmod 2750 .`;
  mustSucceed(await run(["sh", "-ec", script, root]));
  const tarball = join(dir, "seeded.tar");
  const flags = ["--numeric-owner", "--xattrs", "--xattrs-include=*"];
  mustSucceed(await run(["tar", "-C", root, ...flags, "-cf", tarball, "."]));
  return tarball;
}

const listing = async (dir: string) => {
  const find = `cd "$0" && find . -printf '%p %y %m %U %G %n %s %l %T@\\n' | sort && getfattr -Rhd -m- . | sort`;
  const ran = await run(["sh", "-c", find, dir]);
  return ran.stdout.replace(/^(\. d \d+ \d+ \d+) .*$/m, "$1").split("\n");
};

const data = (cli: Cli, name: string) => join(cli.dataRoot, "volumes", name, "data");

describe("volume commands", () => {
  test("create, ls, inspect, rm with Docker's words", async () => {
    const cli = await openCli();
    const made = await cli.tare(["volume", "create", "--label", "a=b", "--label", "c", "one"]);
    expect(made.stdout).toBe("one\n");
    expect((await cli.tare(["volume", "create", "one"])).stdout).toBe("one\n");
    const anonymous = (await cli.tare(["volume", "create"])).stdout.trim();
    expect(anonymous).toMatch(/^[0-9a-f]{64}$/);
    expect((await cli.tare(["volume", "ls"])).stdout).toMatch(/^DRIVER +VOLUME NAME\nlocal +/);
    expect((await cli.tare(["volume", "ls", "-q", "--filter", "label=a=b"])).stdout).toBe("one\n");
    expect((await cli.tare(["volume", "ls", "-q", "--filter", "name=on"])).stdout).toBe("one\n");
    const [shown] = JSON.parse((await cli.tare(["volume", "inspect", "one"])).stdout);
    expect(shown).toMatchObject({
      Name: "one",
      Driver: "local",
      Labels: { a: "b", c: "" },
      Options: null,
      Mountpoint: data(cli, "one"),
      Scope: "local",
    });
    const missing = await cli.tare(["volume", "inspect", "one", "two"]);
    expect([missing.code, JSON.parse(missing.stdout)]).toMatchObject([1, [{ Name: "one" }]]);
    expect((await cli.tare(["volume", "rm", "one", anonymous])).stdout).toBe(`one\n${anonymous}\n`);
    expect((await cli.tare(["volume", "rm", "one"])).code).toBe(1);
    expect((await cli.tare(["volume", "rm", "-f", "one"])).code).toBe(0);
    expect(readdirSync(join(cli.dataRoot, "volumes"))).toEqual([]);
  });

  test("names, drivers and options that cannot be are refused", async () => {
    const cli = await openCli();
    for (const [words, message] of [
      [["../x"], /no volume name/],
      [["-d", "nfs", "a1"], /only "local"/],
      [["-o", "color=red", "a1"], /no such option/],
      [["-o", "o=bind", "-o", "device=relative", "a1"], /no absolute path/],
      [["-o", "type=overlay", "a1"], /overlay/],
    ] as const) {
      const ran = await cli.tare(["volume", "create", ...words]);
      expect([ran.code, ran.stderr]).toEqual([1, expect.stringMatching(message)]);
    }
    expect((await cli.tare(["volume", "ls", "-q"])).stdout).toBe("");
  });

  test("prune takes what nobody uses: the nameless, or all", async () => {
    const cli = await openLoadedCli();
    await cli.tare(["volume", "create", "kept"]);
    await cli.tare(["volume", "create"]);
    expect((await cli.sh("true", "--name", "brief", "-v", "used:/u")).code).toBe(0);
    expect((await cli.tare(["volume", "prune", "-f"])).stdout).toMatch(
      /^Deleted Volumes:\n[0-9a-f]{64}\n\nTotal reclaimed space: /,
    );
    const keep = ["run", "--cgroup-parent", cli.cgroupParent, "--name", "holder", "-v", "used:/u"];
    expect((await cli.tare([...keep, IMAGE, "true"])).code).toBe(0);
    expect((await cli.tare(["volume", "rm", "used"])).stderr).toMatch(/container holder uses it/);
    expect((await cli.tare(["volume", "prune", "-af"])).stdout).toMatch(
      /^Deleted Volumes:\nkept\n/,
    );
    await cli.tare(["rm", "-v", "holder"]);
    // It has a name of its own: rm -v leaves it.
    expect((await cli.tare(["volume", "ls", "-q"])).stdout).toBe("used\n");
  });

  test("a running container that goes at its end keeps its volume from rm", async () => {
    const cli = await openLoadedCli();
    const line = ["-i", "-u", "0", "-v", "held:/h", IMAGE, "sh", "-c", "echo ready; cat; ls /h"];
    const child = Bun.spawn(cli.command(...cli.runWords(...line)), {
      stdio: ["pipe", "pipe", "ignore"],
    });
    const reader = child.stdout.getReader();
    await reader.read();
    const refused = await cli.tare(["volume", "rm", "held"]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("uses it")]);
    await child.stdin.end();
    await child.exited;
    expect((await cli.tare(["volume", "rm", "held"])).code).toBe(0);
  });
});

describe("copy-up", () => {
  let cli: Cli;
  const seeded = async () => {
    cli = await openCli();
    const tarball = await seededTarball(cli.scene.dir);
    mustSucceed(await cli.tare(["import", tarball, "seeded"]));
    return join(cli.scene.dir, "seeded/seed");
  };

  test("a new volume gets content, owners, modes, attributes, links and times", async () => {
    const seed = await seeded();
    expect((await cli.run("-u", "0", "-v", "vol:/seed", "seeded", "true")).code).toBe(0);
    const there = await listing(data(cli, "vol"));
    expect(there).toEqual(await listing(seed));
    expect(there.join("\n")).toMatch(/security.capability/);
    const top = statSync(data(cli, "vol"));
    expect([top.mode & 0o7777, top.uid, top.gid]).toEqual([0o2750, 77, 88]);
    expect(readdirSync(join(cli.dataRoot, "volumes/vol"))).toEqual(["data"]);
  });

  test("not with nocopy, not a second time, and not over what is there", async () => {
    await seeded();
    await cli.run("-u", "0", "-v", "bare:/seed:nocopy", "seeded", "true");
    expect(readdirSync(data(cli, "bare"))).toEqual([]);
    await cli.run("-u", "0", "-v", "vol:/seed", "seeded", "rm", "/seed/file");
    await cli.run("-u", "0", "-v", "vol:/seed", "seeded", "true");
    expect(existsSync(join(data(cli, "vol"), "file"))).toBeFalse();
  });

  test("with ids of a user namespace", async () => {
    await seeded();
    const ran = await cli.run(
      ...["--userns", "100000:65536", "-u", "0", "-v", "mapped:/seed", "seeded"],
      ...["stat", "-c", "%u:%g", "/seed/file", "/seed"],
    );
    expect(ran.stdout).toBe("12:34\n77:88\n");
    expect(statSync(join(data(cli, "mapped"), "file")).uid).toBe(100_012);
  });

  test("goes on where it was killed", async () => {
    const seed = await seeded();
    await cli.tare(["volume", "create", "half"]);
    const room = join(cli.dataRoot, "volumes/half");
    mkdirSync(join(room, "incoming.part/deep"), { recursive: true });
    writeFileSync(join(room, "incoming.part/file"), "cut o");
    await cli.run("-u", "0", "-v", "half:/seed", "seeded", "true");
    expect(await listing(data(cli, "half"))).toEqual(await listing(seed));
    // Killed while names were moved in: some are there, the others wait.
    mustSucceed(
      await run(["sh", "-ec", "mkdir incoming && mv data/file data/hard incoming", ""], {
        cwd: room,
      }),
    );
    await cli.run("-u", "0", "-v", "half:/seed", "seeded", "true");
    expect(await listing(data(cli, "half"))).toEqual(await listing(seed));
    expect(readdirSync(room)).toEqual(["data"]);
  });

  test("two containers at once fill it once", async () => {
    const seed = await seeded();
    const both = [1, 2].map(() =>
      cli.run("-u", "0", "-v", "both:/seed", "seeded", "sh", "-c", "ls /seed | wc -l"),
    );
    const said = (await Promise.all(both)).map(({ stdout }) => stdout.trim());
    expect(said).toEqual(["7", "7"]);
    expect(await listing(data(cli, "both"))).toEqual(await listing(seed));
  });
});

describe("export and import", () => {
  let cli: Cli;
  /** A store with an empty volume `vol`. */
  const open = async (from: () => Promise<Cli> = openCli) => {
    cli = await from();
    mustSucceed(await cli.tare(["volume", "create", "vol"]));
  };
  const place = (name: string) => join(cli.scene.dir, name);
  const write = (name: string, entries: Entry[]) => {
    writeFileSync(place(name), tarball(entries));
    return place(name);
  };

  test("a round trip keeps everything; as GNU tar packs it, too", async () => {
    await open();
    const seeded = await seededTarball(cli.scene.dir);
    expect(existsSync(seeded)).toBeTrue();
    const tree = place("seeded/seed");
    const theirs = place("theirs.tar");
    const flags = ["--numeric-owner", "--xattrs", "--xattrs-include=*"];
    mustSucceed(await run(["tar", "-C", tree, ...flags, "-cf", theirs, "."]));
    mustSucceed(await cli.tare(["volume", "import", "vol", theirs]));
    expect(await listing(data(cli, "vol"))).toEqual(await listing(tree));
    mustSucceed(await cli.tare(["volume", "export", "-o", place("ours.tar"), "vol"]));
    await cli.tare(["volume", "create", "two"]);
    const archive = Bun.file(place("ours.tar"));
    const child = Bun.spawn(cli.command("volume", "import", "two"), { stdin: archive });
    expect(await child.exited).toBe(0);
    expect(await listing(data(cli, "two"))).toEqual(await listing(tree));
    const top = statSync(data(cli, "two"));
    expect([top.mode & 0o7777, top.uid, top.gid]).toEqual([0o2750, 77, 88]);
    const listed = await run(["tar", "-tf", place("ours.tar")]);
    expect(listed.stdout.split("\n")).toContain("deep/er/x");
    expect(readdirSync(join(cli.dataRoot, "volumes/two"))).toEqual(["data"]);
    expect(readdirSync(join(cli.dataRoot, "tmp"))).toEqual([]);
  });

  test("compressed as image tarballs may be; names that would be marks in a layer are names", async () => {
    await open();
    const file = write("a.tar", [
      { name: "a", data: "one" },
      { name: ".wh.a", data: "two" },
    ]);
    for (const [program, end] of [
      ["gzip", "gz"],
      ["xz", "xz"],
      ["bzip2", "bz2"],
    ] as const) {
      mustSucceed(await run([program, "-k", file]));
      await cli.tare(["volume", "create", end]);
      mustSucceed(await cli.tare(["volume", "import", end, `${file}.${end}`]));
      expect(readdirSync(data(cli, end)).sort()).toEqual([".wh.a", "a"]);
    }
    // The archive says nothing of the directory itself.
    expect(statSync(data(cli, "gz")).mode & 0o7777).toBe(0o755);
  });

  test("what is there is merged: directories stay, other names are replaced", async () => {
    await open();
    const there = data(cli, "vol");
    chmodSync(there, 0o711);
    mkdirSync(join(there, "both/deep"), { recursive: true });
    mkdirSync(join(there, "was-directory/x"), { recursive: true });
    for (const name of ["old", "both/old", "both/deep/same", "was-file"]) {
      writeFileSync(join(there, name), "old");
    }
    const canary = place("canary");
    mkdirSync(canary);
    writeFileSync(join(canary, "x"), "host");
    symlinkSync(canary, join(there, "link"));
    const before = describeTree(canary);
    const file = write("b.tar", [
      { name: "both", type: "directory", mode: 0o700 },
      { name: "both/deep/same", data: "new" },
      { name: "was-directory", data: "new" },
      { name: "was-file/y", data: "new" },
      { name: "link/x", data: "bad" },
      { name: "link/z", data: "bad" },
    ]);
    mustSucceed(await cli.tare(["volume", "import", "vol", file]));
    const found = (await run(["find", ".", "-type", "f"], { cwd: there })).stdout;
    expect(found.trim().split("\n").sort()).toEqual([
      ...["./both/deep/same", "./both/old", "./link/x", "./link/z", "./old"],
      ...["./was-directory", "./was-file/y"],
    ]);
    expect(readFileSync(join(there, "both/deep/same"), "utf8")).toBe("new");
    expect(statSync(join(there, "both")).mode & 0o7777).toBe(0o700);
    expect(statSync(there).mode & 0o7777).toBe(0o711);
    expect(describeTree(canary)).toEqual(before);
    expect(readdirSync(join(cli.dataRoot, "tmp"))).toEqual([]);
  });

  test("a bad archive changes neither the volume nor the host", async () => {
    await open();
    writeFileSync(join(data(cli, "vol"), "mine"), "kept");
    await cli.tare(["volume", "create", "empty"]);
    const canary = place("canary");
    mkdirSync(canary);
    writeFileSync(join(canary, "secret"), "host");
    const good: Entry = { name: "good", data: "x" };
    const whole = tarball([good, { name: "cut", data: "y".repeat(4096) }]);
    const bad: readonly [what: string, archive: Uint8Array][] = [
      ["up", tarball([good, { name: "../../up", data: "x" }])],
      ["up by a link", tarball([good, { name: "l", type: "hardlink", link: "../../../x" }])],
      ["a hard link out", tarball([good, { name: "l", type: "hardlink", link: canary }])],
      ["a root that is a link", tarball([good, { name: "./", type: "symlink", link: canary }])],
      ["cut short", whole.subarray(0, 2048)],
      ["no archive", Buffer.from("no archive at all".repeat(100))],
      ["a damaged gzip", Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3, 4])],
      ["nothing", Buffer.alloc(0)],
    ];
    const store = cli.inventory();
    const before = describeTree(cli.scene.dir);
    for (const [what, archive] of bad) {
      for (const volume of ["vol", "empty"]) {
        const args = ["volume", "import", volume, "-"];
        const child = Bun.spawnSync(cli.command(...args), { stdin: archive });
        expect([what, child.exitCode]).toEqual([what, 1]);
        expect(child.stderr.toString()).toMatch(/^tare: Cannot /);
      }
    }
    expect(cli.inventory()).toEqual(store);
    const changed = (lines: string[]) => lines.filter((line) => !line.includes("/data/tare.db"));
    expect(changed(describeTree(cli.scene.dir))).toEqual(changed(before));
  });

  test("killed in the middle: nothing has come in, and the next one does it", async () => {
    await open();
    const archive = tarball([
      { name: "first", data: "x" },
      { name: "second", data: "y".repeat(1024 * 1024) },
    ]);
    const child = Bun.spawn(cli.command("volume", "import", "vol"), { stdin: "pipe" });
    child.stdin.write(archive.subarray(0, 512 * 1024));
    await child.stdin.flush();
    const aside = () => cli.inventory().some((line) => /\/tmp\/.*\/second /.test(line));
    while (child.exitCode === null && !aside()) await Bun.sleep(5);
    expect(aside()).toBeTrue();
    child.kill("SIGKILL");
    await child.exited;
    expect(readdirSync(data(cli, "vol"))).toEqual([]);
    writeFileSync(place("h.tar"), archive);
    mustSucceed(await cli.tare(["volume", "import", "vol", place("h.tar")]));
    expect(readdirSync(data(cli, "vol")).sort()).toEqual(["first", "second"]);
    mustSucceed(await cli.tare(["system", "prune", "-f"]));
    expect(readdirSync(join(cli.dataRoot, "tmp"))).toEqual([]);
  });

  test("links of an archive lead nowhere else", async () => {
    await open();
    const canary = place("canary");
    mkdirSync(canary);
    writeFileSync(join(canary, "secret"), "host");
    const before = describeTree(canary);
    for (const link of [canary, `../../../../../../..${canary}`]) {
      const file = write("c.tar", [
        { name: "out", type: "symlink", link },
        { name: "out/secret", data: "bad" },
        { name: "out/new", data: "bad" },
      ]);
      await cli.tare(["volume", "import", "vol", file]);
      expect(describeTree(canary)).toEqual(before);
    }
  });

  test("of a volume in use: a running container sees what comes", async () => {
    await open(openLoadedCli);
    const line = "echo ready; read word; cat /v/new; echo back > /v/back; echo done; cat";
    const words = cli.runWords("-i", "-u", "0", "-v", "vol:/v", IMAGE, "sh", "-c", line);
    const child = Bun.spawn(cli.command(...words), { stdio: ["pipe", "pipe", "ignore"] });
    const reader = child.stdout.getReader();
    const until = async (end: string) => {
      let text = "";
      while (!text.endsWith(end)) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`The container ended with "${text}"`);
        text += Buffer.from(value).toString();
      }
      return text;
    };
    await until("ready\n");
    const file = write("d.tar", [{ name: "new", data: "came\n" }]);
    mustSucceed(await cli.tare(["volume", "import", "vol", file]));
    child.stdin.write("go\n");
    child.stdin.flush();
    expect(await until("done\n")).toBe("came\ndone\n");
    const out = await cli.tare(["volume", "export", "-o", place("e.tar"), "vol"]);
    expect(out.code).toBe(0);
    const listed = await run(["tar", "-tf", place("e.tar")]);
    expect(listed.stdout.trim().split("\n").sort()).toEqual(["./", "back", "new"]);
    await child.stdin.end();
    expect(await child.exited).toBe(0);
  });

  test("no volume, a terminal, and volumes that the store does not have", async () => {
    await open();
    const file = write("f.tar", [{ name: "a", data: "x" }]);
    for (const words of [
      ["export", "none"],
      ["import", "none", file],
      ["import", "vol", place("missing")],
    ]) {
      expect((await cli.tare(["volume", ...words])).code).toBe(1);
    }
    const shown = await cli.onTerminal(["volume", "export", "vol"], {});
    expect([shown.code, shown.stdout]).toEqual([1, expect.stringMatching(/to a terminal/)]);
    mkdirSync(place("host"));
    writeFileSync(join(place("host"), "h"), "x");
    const bind = ["-o", "type=none", "-o", "o=bind", "-o", `device=${place("host")}`];
    await cli.tare(["volume", "create", ...bind, "there"]);
    await cli.tare(["volume", "create", "-o", "type=tmpfs", "mem"]);
    mustSucceed(await cli.tare(["volume", "export", "-o", place("g.tar"), "there"]));
    expect((await run(["tar", "-tf", place("g.tar")])).stdout).toBe("./\nh\n");
    expect((await cli.tare(["volume", "import", "there", file])).stderr).toMatch(/of the host/);
    for (const words of [
      ["export", "mem"],
      ["import", "mem", file],
    ]) {
      const ran = await cli.tare(["volume", ...words]);
      expect(ran.stderr).toMatch(/a file system of type tmpfs/);
    }
    expect(readdirSync(place("host"))).toEqual(["h"]);
  });
});

describe("volumes without a name", () => {
  test("of an image: filled, gone with --rm, kept and removed by rm -v otherwise", async () => {
    const cli = await openCli();
    mustSucceed(await cli.tare(["load", "-i", (await images()).ociArchive]));
    const image = "example.test/fixture/busybox:1.0";
    const shell = ["-u", "0", "--entrypoint", "sh", image, "-c"];
    const ran = await cli.run(...shell, "grep -c ' /data ' /proc/self/mountinfo; touch /data/x");
    expect(ran.stdout).toBe("1\n");
    expect((await cli.tare(["volume", "ls", "-q"])).stdout).toBe("");
    const words = ["run", "--cgroup-parent", cli.cgroupParent, "--name", "kept", ...shell];
    expect((await cli.tare([...words, "touch /data/x"])).code).toBe(0);
    const name = (await cli.tare(["volume", "ls", "-q"])).stdout.trim();
    expect([name.length, readdirSync(data(cli, name))]).toEqual([64, ["x"]]);
    expect((await cli.tare(["volume", "prune", "-f"])).stdout).toBe("Total reclaimed space: 0B\n");
    expect((await cli.tare(["rm", "-v", "kept"])).code).toBe(0);
    expect(readdirSync(join(cli.dataRoot, "volumes"))).toEqual([]);
  });
});

describe("options", () => {
  let cli: Cli;
  const open = async () => {
    cli = await openLoadedCli();
  };

  test("a tmpfs of a size, a bind of a directory", async () => {
    await open();
    await cli.tare(["volume", "create", "-o", "type=tmpfs", "-o", "o=size=1m,mode=700", "mem"]);
    const ran = await cli.sh("df -k /m | tail -1; stat -c %a /m", "-v", "mem:/m");
    expect(ran.stdout).toMatch(/^tmpfs +1024 .*\n700\n$/);
    const dir = join(cli.scene.dir, "host");
    mkdirSync(dir);
    const bind = ["-o", "type=none", "-o", "o=bind", "-o", `device=${dir}`];
    await cli.tare(["volume", "create", ...bind, "there"]);
    expect((await cli.sh("echo x > /h/x", "-v", "there:/h")).code).toBe(0);
    expect(readFileSync(join(dir, "x"), "utf8")).toBe("x\n");
    expect((await cli.sh("echo y > /h/x", "-v", "there:/h:ro")).code).not.toBe(0);
    await cli.tare(["volume", "rm", "there"]);
    expect(existsSync(join(dir, "x"))).toBeTrue();
  });

  test("U gives it to the user; idmap shows it as the user namespace's", async () => {
    await open();
    const dir = join(cli.scene.dir, "owned");
    mkdirSync(join(dir, "in"), { recursive: true });
    writeFileSync(join(dir, "in/file"), "");
    symlinkSync("/etc/passwd", join(dir, "link"));
    const before = statSync("/etc/passwd").uid;
    await cli.run("-u", "1234:1235", "-v", `${dir}:/o:U`, IMAGE, "true");
    const { uid, gid } = statSync(join(dir, "in/file"));
    expect([uid, gid, statSync("/etc/passwd").uid]).toEqual([1234, 1235, before]);
    chownSync(join(dir, "in/file"), 0, 0);
    chmodSync(cli.scene.dir, 0o755);
    const mapped = await cli.sh(
      "stat -c %u /o/in/file; id -u",
      ...["--userns", "100000:65536", "-v", `${dir}:/o:idmap`],
    );
    expect(mapped.stdout).toBe("0\n0\n");
    expect(statSync(join(dir, "in/file")).uid).toBe(0);
  });

  test("a subpath is a part of the volume; a link out of it leads nowhere", async () => {
    await open();
    await cli.sh("mkdir -p /v/a/b; echo in > /v/a/b/x; echo f > /v/f", "-v", "vol:/v");
    const mount = (path: string) => `type=volume,source=vol,target=/s,volume-subpath=${path}`;
    expect((await cli.sh("cat /s/x", "--mount", mount("a/b"))).stdout).toBe("in\n");
    expect((await cli.sh("cat /s", "--mount", mount("f"))).stdout).toBe("f\n");
    const canary = join(cli.scene.dir, "canary");
    mkdirSync(canary);
    symlinkSync(canary, join(data(cli, "vol"), "out"));
    const out = await cli.sh("echo bad > /s/x", "--mount", mount("out"));
    expect([out.code, out.stderr]).toEqual([125, expect.stringContaining("not in the volume")]);
    expect(readdirSync(canary)).toEqual([]);
    const up = await cli.sh("true", "--mount", mount("../vol"));
    expect(up.stderr).toMatch(/not a relative path/);
  });

  test("an image as a mount, whole or a part, read-only", async () => {
    await open();
    mustSucceed(await cli.tare(["load", "-i", (await images()).ociArchive]));
    const other = "example.test/fixture/busybox:1.0";
    const whole = await cli.sh(
      "cat /i/added; ls /i/t/report; echo x > /i/added",
      ...["--mount", `type=image,source=${other},target=/i`],
    );
    expect(whole.stdout).toBe("added\n");
    expect(whole.stderr).toMatch(/Read-only file system/);
    const part = await cli.sh(
      "cat /i/hostname; touch /i/x",
      ...["--mount", `type=image,source=${IMAGE},target=/i,image-subpath=etc`],
    );
    expect(part.stderr).toMatch(/Read-only file system/);
    const mapped = await cli.sh(
      "cat /i/added; stat -c %u /i/added",
      ...["--userns", "100000:65536", "--mount", `type=image,source=${other},target=/i`],
    );
    expect(mapped.stdout).toBe("added\n0\n");
    const missing = await cli.sh("true", "--mount", "type=image,source=nothing,target=/i");
    expect(missing.stderr).toMatch(/not in the store/);
  });

  test("an image that is mounted stays as long as the container", async () => {
    await open();
    mustSucceed(await cli.tare(["load", "-i", (await images()).ociArchive]));
    const other = "example.test/fixture/busybox:1.0";
    const mount = ["--mount", `type=image,source=${other},target=/i`];
    const line = ["-i", ...mount, IMAGE, "sh", "-c", "echo up; read x; cat /i/added"];
    const child = Bun.spawn(cli.command(...cli.runWords(...line)), {
      stdio: ["pipe", "pipe", "ignore"],
    });
    const reader = child.stdout.getReader();
    const decode = async () => new TextDecoder().decode((await reader.read()).value);
    expect(await decode()).toBe("up\n");
    expect((await cli.tare(["rmi", other])).stderr).toMatch(/uses it/);
    mustSucceed(await cli.tare(["image", "prune", "-a", "-f"]));
    child.stdin.write("go\n");
    await child.stdin.end();
    expect(await decode()).toBe("added\n");
    expect(await child.exited).toBe(0);
    mustSucceed(await cli.tare(["rmi", other]));
  });
});
