/** What a container has changed: `diff` lists it, `commit` makes an image of it, `export` packs all. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { diskUsage } from "../../packages/engine/src/store/usage.ts";
import { describeTree } from "../harness/canary.ts";
import { busyboxRootfs, copyRootfs, mustSucceed } from "../harness/fixtures.ts";
import { REPO } from "../harness/places.ts";
import { run, until } from "../harness/run.ts";
import { type Cli, IMAGE, openLoadedCli } from "./cli-scene.ts";

// On a busy machine a whole test takes seconds.
setDefaultTimeout(120_000);

/** What a container does to its root, in all the ways that a layer can tell. */
const CHANGES = `
  echo new > /new && chown 7:8 /new && chmod 4751 /new && ln /new /hard && ln -s /new /link
  mkdir -m 1777 /made && mkfifo /made/pipe && touch -d '2001-02-03 04:05' /made
  rm /bin/true; rm -r /var/tmp; mkdir /var/tmp; echo kept > /var/tmp/file
  chmod 700 /root; echo more >> /etc/group; touch /tmp/gone; rm /tmp/gone
  head -c 300000 /dev/zero > /zeros; touch "/made/two
lines"`;

async function keep(cli: Cli, name: string, line: string, ...flags: string[]): Promise<void> {
  const words = ["run", "--name", name, "--cgroup-parent", cli.cgroupParent, "-u", "0", ...flags];
  mustSucceed(await cli.tare([...words, IMAGE, "sh", "-ec", line]));
}

async function remove(cli: Cli, ...names: string[]): Promise<void> {
  mustSucceed(await cli.tare(["rm", ...names]));
}

/** The runtime, with its verbs written down in a file; "pause" waits for a word in the FIFO `gate`, if there is one. */
function recordingRuntime(cli: Cli): readonly [calls: string, program: string] {
  const { dir } = cli.scene;
  const [calls, program] = [join(dir, "calls"), join(dir, "tare-runtime")];
  const wait = `[ "$3" = pause ] && [ -p ${dir}/gate ] && head -c 2 ${dir}/gate`;
  const real = resolve(REPO, "dist/tare-runtime");
  const lines = ["#!/bin/sh", `echo "$3" >> ${calls}`, wait, `exec ${real} "$@"`];
  writeFileSync(program, `${lines.join("\n")}\n`);
  chmodSync(program, 0o755);
  return [calls, program];
}

/** Everything in a root but times of directories that mounting touches, as a container sees it. */
const LISTING =
  "find /new /hard /link /made /var /root /bin /zeros /tmp ! -type d -exec stat -c '%n %A %u %g %s %h %Y' {} ';'; find /made /var /root /bin /tmp -type d -exec stat -c '%n %A %u %g %Y' {} ';'; cat /new /etc/group /var/tmp/*; readlink /link";

describe("tare diff", () => {
  test("lists what was added, changed and deleted, by path", async () => {
    const cli = await openLoadedCli();
    await keep(cli, "box", CHANGES);
    const { stdout } = await cli.tare(["diff", "box"]);
    expect(stdout.split("\n").filter((line) => line !== "")).toEqual([
      "C /bin",
      "D /bin/true",
      "C /etc",
      "C /etc/group",
      "A /hard",
      "A /link",
      "A /made",
      "A /made/pipe",
      "A /made/two\\x0alines",
      "A /new",
      "C /root",
      "C /tmp",
      "C /var",
      "C /var/tmp",
      "A /var/tmp/file",
      "A /zeros",
    ]);
    await remove(cli, "box");
  });

  test("tells what a directory that was made anew hides", async () => {
    const cli = await openLoadedCli();
    await keep(cli, "box", "rm -r /home; mkdir /home; echo > /home/other");
    const { stdout } = await cli.tare(["diff", "box"]);
    expect(stdout).toBe("C /home\nA /home/other\nD /home/test\n");
    await remove(cli, "box");
  });

  test("says nothing of a container that wrote nothing, whatever was mounted in it", async () => {
    const cli = await openLoadedCli();
    await keep(cli, "box", "true", "--tmpfs", "/tmp");
    expect((await cli.tare(["diff", "box"])).stdout).toBe("");
    await remove(cli, "box");
  });
});

describe("tare commit", () => {
  test("makes an image in which a container sees the same files", async () => {
    const cli = await openLoadedCli();
    await keep(cli, "box", `${CHANGES}\n{ ${LISTING}; } > /seen`);
    mustSucceed(await cli.tare(["commit", "box", "made:1"]));
    const was = await cli.run("-u", "0", "--entrypoint", "cat", "made:1", "/seen");
    const is = await cli.run("-u", "0", "--entrypoint", "sh", "made:1", "-ec", LISTING);
    expect(is.stdout.split("\n").sort()).toEqual(was.stdout.split("\n").sort());
    expect(is.stdout).toContain("-rwsr-x--x 7 8 4 2");
    await remove(cli, "box");
  });

  test("keeps attributes, nanoseconds, devices and pipes, and leaves sockets out", async () => {
    const cli = await openLoadedCli();
    await keep(cli, "box", "mkdir /d; echo x > /d/f");
    const [id = ""] = cli.containers();
    const upper = join(cli.dataRoot, "containers", id, "upper/d");
    const script = `setfattr -n user.note -v 'a b' f
      setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 f
      touch -d '2001-02-03 04:05:06.123456789' f
      mknod dev c 1 3; mkfifo pipe; truncate -s 3M holes; printf x | dd of=holes bs=1 seek=2000000 conv=notrunc status=none
      python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'`;
    mustSucceed(await run(["sh", "-ec", script], { cwd: upper }));
    mustSucceed(await cli.tare(["commit", "box", "made"]));
    const layers = join(cli.dataRoot, "layers");
    const top = readdirSync(layers).find((name) => existsSync(join(layers, name, "d/f"))) ?? "";
    const show = `getfattr -d -m - -e hex f; stat -c '%n %F %s %y %t:%T' *; sha256sum holes`;
    const [ours, theirs] = [
      await run(["sh", "-ec", show.replaceAll(" *", " dev f holes pipe")], { cwd: upper }),
      await run(["sh", "-ec", show], { cwd: join(layers, top, "d") }),
    ];
    expect(theirs.stdout).toBe(ours.stdout);
    expect(theirs.stdout).toContain("04:05:06.123456789");
    await remove(cli, "box");
  });

  test("runs as the container ran, changed by instructions", async () => {
    const cli = await openLoadedCli();
    await keep(cli, "box", "echo $A", "-e", "A=given", "-w", "/home");
    const words = ["-a", "Ada", "-m", "why", "-c", "ENV B=$A-2", "--change", "LABEL x=y"];
    mustSucceed(await cli.tare(["commit", ...words, "box", "made"]));
    expect((await cli.run("made")).stdout).toBe("given\n");
    const seen = await cli.run("--entrypoint", "", "made", "sh", "-c", 'echo "$B"; pwd');
    expect(seen.stdout).toBe("given-2\n/home\n");
    const refused = await cli.tare(["commit", "-c", "RUN true", "box", "other"]);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringContaining("no such instruction"),
    ]);
    await remove(cli, "box");
  });

  test("unmaps the ids of a container with a user namespace", async () => {
    const cli = await openLoadedCli();
    await keep(cli, "box", "echo x > /f; chown 5:6 /f; rm /bin/true", "--userns", "100000:65536");
    mustSucceed(await cli.tare(["commit", "box", "made"]));
    const seen = await cli.run("--entrypoint", "stat", "made", "-c", "%u:%g", "/f");
    expect(seen.stdout).toBe("5:6\n");
    const listed = await run([
      "sh",
      "-c",
      `"${cli.command("export", "box").join('" "')}" | tar tvf -`,
    ]);
    expect(listed.stdout).toMatch(/5\/6 .* f\n/);
    expect((await cli.tare(["diff", "box"])).stdout).toBe("C /bin\nD /bin/true\nA /f\n");
    await remove(cli, "box");
  });

  test("adds no layer where nothing has changed", async () => {
    const cli = await openLoadedCli();
    await keep(cli, "box", "true");
    const before = readdirSync(join(cli.dataRoot, "layers"));
    mustSucceed(await cli.tare(["commit", "box", "same"]));
    expect(readdirSync(join(cli.dataRoot, "layers"))).toEqual(before);
    await remove(cli, "box");
  });

  test("refuses a file that a layer would take for a mark, and leaves nothing", async () => {
    const cli = await openLoadedCli();
    await keep(cli, "box", "touch /.wh.x");
    const before = cli.inventory();
    const refused = await cli.tare(["commit", "box", "made"]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('"/.wh.x"')]);
    expect(cli.inventory()).toEqual(before);
    await remove(cli, "box");
  });

  test("makes no image whose configuration nobody could read again", async () => {
    const cli = await openLoadedCli();
    const run = ["run", "--cgroup-parent", cli.cgroupParent, "--name"];
    const labels = (step: number) =>
      Array.from({ length: 12 }, (_, at) => [
        "--change",
        `LABEL l${step}x${at}=${"v".repeat(125_000)}`,
      ]).flat();
    mustSucceed(await cli.tare([...run, "c1", IMAGE, "true"]));
    mustSucceed(await cli.tare(["commit", ...labels(1), "c1", "i1"]));
    mustSucceed(await cli.tare([...run, "c2", "i1", "true"]));
    mustSucceed(await cli.tare(["commit", ...labels(2), "c2", "i2"]));
    mustSucceed(await cli.tare([...run, "c3", "i2", "true"]));
    const refused = await cli.tare(["commit", ...labels(3), "c3", "i3"]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("the limit is")]);
    const listed = await cli.tare(["images", "-q", "--filter", "label=l2x0"]);
    expect(listed.stdout.trim().split("\n")).toHaveLength(1);
    mustSucceed(await cli.tare(["system", "check", "--quick"]));
    await remove(cli, "c1", "c2", "c3");
  });

  test("holds a running container still, and lets it run on", async () => {
    const cli = await openLoadedCli();
    const [calls, wrapper] = recordingRuntime(cli);
    const flags = ["--runtime", wrapper, "--cgroup-parent", cli.cgroupParent, "-u", "0"];
    const line = "trap 'exit 3' TERM; echo up > /up; while :; do sleep 1; done";
    const words = ["run", "--name", "box", ...flags, IMAGE, "sh", "-c", line];
    const child = Bun.spawn(cli.command(...words), { stdio: ["ignore", "ignore", "ignore"] });
    const upper = () => join(cli.dataRoot, "containers", cli.containers()[0] ?? "none", "upper");
    await until(
      () => existsSync(join(upper(), "up")),
      60_000,
      () => "the container's first file",
    );
    writeFileSync(calls, "");
    mustSucceed(await cli.tare(["commit", "box", "made"]));
    mustSucceed(await cli.tare(["commit", "--pause=false", "box", "made"]));
    expect(readFileSync(calls, "utf8").split("\n")).toEqual(["pause", "resume", ""]);
    expect((await cli.run("--entrypoint", "cat", "made", "/up")).stdout).toBe("up\n");
    child.kill("SIGTERM");
    expect(await child.exited).toBe(3);
    await remove(cli, "box");
  });
});

describe("tare commit of a file with holes", () => {
  test("takes the room of what is in it: packed, unpacked, and loaded again", async () => {
    const cli = await openLoadedCli();
    const write = "printf start > /sparse; truncate -s 50M /sparse; printf end >> /sparse";
    await keep(cli, "box", `${write}; truncate -s 64M /sparse /hole`);
    const taken = () => diskUsage(cli.dataRoot).bytes;
    const show = () =>
      cli.run("-u", "0", "made", "sh", "-c", "stat -c %s /hole; sha256sum /sparse /hole");
    const before = taken();
    mustSucceed(await cli.tare(["commit", "box", "made"]));
    // 128 MiB of zeros in the layer, which is here as a blob and as a tree.
    expect(taken() - before).toBeLessThan(12 * 1024 * 1024);
    const wanted = mustSucceed(await show()).stdout;
    expect(wanted).toStartWith("67108864\n");
    const archive = join(cli.scene.dir, "made.tar");
    mustSucceed(await cli.tare(["save", "-o", archive, "made"]));
    await remove(cli, "box");
    mustSucceed(await cli.tare(["rmi", "made"]));
    mustSucceed(await cli.tare(["load", "-i", archive]));
    expect(taken() - before).toBeLessThan(12 * 1024 * 1024);
    expect((await show()).stdout).toBe(wanted);
    mustSucceed(await cli.tare(["system", "check"]));
  });

  test("refuses what the disk has no room for, before it writes", async () => {
    const cli = await openLoadedCli();
    // Near the largest file of ext4; twice that is more than any disk of a test has.
    await keep(cli, "box", "dd if=/dev/null of=/sparse bs=1M seek=15000000");
    const before = cli.inventory();
    const refused = await cli.tare(["commit", "box", "made"]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("no room")]);
    expect(cli.inventory()).toEqual(before);
    await remove(cli, "box");
  });

  test("ends at a signal, and the container runs on", async () => {
    const cli = await openLoadedCli();
    const [calls, runtime] = recordingRuntime(cli);
    const flags = ["--runtime", runtime, "--cgroup-parent", cli.cgroupParent, "-u", "0"];
    const line = "trap 'exit 3' TERM; echo up > /up; while :; do sleep 1; done";
    const words = ["run", "--name", "box", ...flags, IMAGE, "sh", "-c", line];
    const child = Bun.spawn(cli.command(...words), { stdio: ["ignore", "ignore", "ignore"] });
    const upper = () => join(cli.dataRoot, "containers", cli.containers()[0] ?? "none", "upper");
    const inside = (name: string) => existsSync(join(upper(), name));
    await until(
      () => inside("up"),
      60_000,
      () => "the container's first file",
    );
    const before = cli.inventory();
    writeFileSync(calls, "");
    // The runtime's "pause" does not come back before the signal has been sent.
    const gate = join(cli.scene.dir, "gate");
    mustSucceed(await run(["mkfifo", gate]));
    const commit = Bun.spawn(cli.command("commit", "box", "made"), {
      stdio: ["ignore", "pipe", "pipe"],
    });
    await until(
      () => readFileSync(calls, "utf8") === "pause\n",
      60_000,
      () => "the pause",
    );
    commit.kill("SIGINT");
    writeFileSync(gate, "go");
    expect(await commit.exited).toBe(130);
    expect(readFileSync(calls, "utf8")).toBe("pause\nresume\n");
    expect(cli.inventory()).toEqual(before);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(3);
    await remove(cli, "box");
  });
});

describe("tare export", () => {
  test("packs the whole root, as GNU tar reads it", async () => {
    const cli = await openLoadedCli();
    await keep(cli, "box", CHANGES);
    const file = join(cli.scene.dir, "c.tar");
    mustSucceed(await cli.tare(["export", "-o", file, "box"]));
    const there = join(cli.scene.dir, "out");
    mkdirSync(there);
    mustSucceed(await run(["tar", "-C", there, "--numeric-owner", "-xpf", file]));
    const listing = `cd "$0"; stat -c '%n %A %u %g %h %Y' new hard link made made/* var/tmp/file root; cat new; readlink link; ls bin | wc -l`;
    const [id = ""] = cli.containers();
    const upper = join(cli.dataRoot, "containers", id, "upper");
    const [ours, theirs] = [
      await run(["sh", "-c", listing.replace("ls bin | wc -l", "true"), upper]),
      await run(["sh", "-c", listing.replace("ls bin | wc -l", "true"), there]),
    ];
    expect(theirs.stdout).toBe(ours.stdout);
    expect(existsSync(join(there, "bin/true"))).toBe(false);
    expect(existsSync(join(there, "bin/busybox"))).toBe(true);
    mustSucceed(await cli.tare(["import", file, "again"]));
    expect((await cli.run("-u", "0", "again", "/bin/sh", "-c", "cat /new")).stdout).toBe("new\n");
    await remove(cli, "box");
  });

  test("gives the same bytes each time, to a file and through a pipe", async () => {
    const cli = await openLoadedCli();
    await keep(cli, "box", CHANGES);
    const [first, second] = [join(cli.scene.dir, "1.tar"), join(cli.scene.dir, "2.tar")];
    mustSucceed(await cli.tare(["export", "-o", first, "box"]));
    mustSucceed(
      await run(["sh", "-c", `"${cli.command("export", "box").join('" "')}" | cat > ${second}`]),
    );
    expect(readFileSync(first).equals(readFileSync(second))).toBe(true);
    await remove(cli, "box");
  });

  test("writes no archive to a terminal, and no half of a file", async () => {
    const cli = await openLoadedCli();
    await keep(cli, "box", "true");
    const shown = await cli.onTerminal(["export", "box"], {});
    expect(shown.stdout).toContain("Cannot write an archive to a terminal");
    const refused = await cli.tare(["export", "-o", join(cli.scene.dir, "no/such/dir"), "box"]);
    expect(refused.stderr).toContain("Cannot write");
    const missing = await cli.tare(["export", "-o", join(cli.scene.dir, "file"), "nobody"]);
    expect(missing.stderr).toContain('Cannot find container "nobody"');
    expect(existsSync(join(cli.scene.dir, "file"))).toBe(false);
    await remove(cli, "box");
  });
});

test("a container of --rootfs can be exported, and says why it cannot be committed", async () => {
  const cli = await openLoadedCli();
  const rootfs = await copyRootfs(await busyboxRootfs(), join(cli.scene.dir, "rootfs"));
  const flags = ["--name", "dir", "--cgroup-parent", cli.cgroupParent, "--rootfs", rootfs];
  mustSucceed(await cli.tare(["run", ...flags, "sh", "-c", "echo x > /made"]));
  const line = `"${cli.command("export", "dir").join('" "')}" | tar -xOf - made`;
  expect((await run(["sh", "-c", line])).stdout).toBe("x\n");
  for (const words of [
    ["diff", "dir"],
    ["commit", "dir", "made"],
  ]) {
    const refused = await cli.tare(words);
    expect([words, refused.code]).toEqual([words, 1]);
    expect(refused.stderr).toMatch(/writes into a directory|made of no image/);
  }
  await remove(cli, "dir");
});

test("what a container left behind leads neither out of its root nor to a stop", async () => {
  const cli = await openLoadedCli();
  const host = join(cli.scene.dir, "host");
  mkdirSync(host);
  writeFileSync(join(host, "secret"), "the host's own");
  const before = describeTree(host);
  const hostile = `ln -s ${host} /out; ln -s ${host}/secret /etc/secret; mkdir /d; ln -s / /d/up
    ln -s /proc/self/fd /d/fds; mkfifo /d/pipe; mknod /d/disk b 8 0; mknod /d/zero c 1 5`;
  await keep(cli, "box", hostile);
  const file = join(cli.scene.dir, "box.tar");
  mustSucceed(await cli.tare(["export", "-o", file, "box"], { timeoutMs: 60_000 }));
  mustSucceed(await cli.tare(["commit", "box", "made"], { timeoutMs: 60_000 }));
  expect((await cli.tare(["diff", "box"])).stdout).toContain("A /out\n");
  expect(readFileSync(file).includes("the host's own")).toBe(false);
  const listed = mustSucceed(await run(["tar", "-tvf", file])).stdout;
  expect(listed).toContain(`out -> ${host}\n`);
  expect(listed).not.toContain("out/");
  expect(describeTree(host)).toEqual(before);
  await remove(cli, "box");
});

test("a tree that is too deep for any archive is one clear error", async () => {
  const cli = await openLoadedCli();
  const deep = `n=$(printf 'd%.0s' $(seq 200)); i=0; cd /
    while [ $i -lt 30 ]; do mkdir $n; cd -P $n 2>/dev/null || cd $n; i=$((i+1)); done`;
  await keep(cli, "box", deep);
  const file = join(cli.scene.dir, "box.tar");
  for (const words of [
    ["export", "-o", file, "box"],
    ["commit", "box", "made"],
  ]) {
    const refused = await cli.tare(words);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringContaining("the path is too long"),
    ]);
  }
  expect(existsSync(file)).toBe(false);
  await remove(cli, "box");
});

test("tare import takes instructions and a message", async () => {
  const cli = await openLoadedCli();
  await keep(cli, "box", "true");
  const file = join(cli.scene.dir, "c.tar");
  mustSucceed(await cli.tare(["export", "-o", file, "box"]));
  const changes = ["-c", "ENV A=1", "-c", 'CMD ["sh", "-c", "echo $A"]', "-c", "WORKDIR /home"];
  mustSucceed(await cli.tare(["import", ...changes, "-m", "from a test", file, "in:1"]));
  expect((await cli.run("in:1")).stdout).toBe("1\n");
  const refused = await cli.tare(["import", "-c", "CMD", file, "in:2"]);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("nothing stands")]);
  await remove(cli, "box");
});
