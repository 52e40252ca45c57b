/** `tare run`: a person types one command and is inside a container. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { busyboxRootfs, copyRootfs } from "../harness/fixtures.ts";
import { IMAGE_NAME, IMAGE_TAG, images } from "../harness/images.ts";
import { readMountTable } from "../harness/mount-table.ts";
import { run } from "../harness/run.ts";
import { IMAGE, openCli, openLoadedCli } from "./cli-scene.ts";

// On a busy machine a whole test takes seconds.
setDefaultTimeout(120_000);

describe("tare run @host", () => {
  test("sees the machine's files, and every write is thrown away", async () => {
    const cli = await openCli();
    const file = "/etc/tare-was-here";
    const script = `echo x > ${file} && cat ${file} && rm /etc/passwd && ls /etc/passwd; cat /etc/hostname | wc -l`;
    const ran = await cli.run("@host", "/bin/sh", "-c", script);
    expect(ran.stdout).toStartWith("x\n");
    expect(ran.stderr).toContain("/etc/passwd");
    expect(existsSync(file)).toBeFalse();
    expect(existsSync("/etc/passwd")).toBeTrue();
    expect(cli.containers()).toEqual([]);
  });

  test("shows no process of the host, its own host name, and hides the engine's data", async () => {
    const cli = await openCli();
    const script = `echo $$; hostname; ls ${cli.dataRoot} | wc -l; ls /proc | grep -c '^[0-9]'`;
    const ran = await cli.run("-h", "inside", "@host", "sh", "-c", script);
    const [pid, hostname, files, processes] = ran.stdout.trim().split("\n");
    expect([pid, hostname, files]).toEqual(["1", "inside", "0"]);
    expect(Number(processes)).toBeLessThan(6);
    expect(readFileSync("/proc/sys/kernel/hostname", "utf8").trim()).not.toBe("inside");
  });

  test("leaves the host's mount table alone, during and after", async () => {
    const cli = await openCli();
    const points = () =>
      readMountTable("self")
        .map(({ point }) => point)
        .sort();
    const before = points();
    const running = cli.run("@host", "sleep", "1");
    await Bun.sleep(500);
    const during = points();
    expect((await running).code).toBe(0);
    expect(during).toEqual(before);
    expect(points()).toEqual(before);
  });
});

describe("an image's defaults", () => {
  const NAME = `${IMAGE_NAME}:${IMAGE_TAG}`;

  test("apply: environment, entrypoint, command, user, directory", async () => {
    const cli = await openCli();
    await cli.tare(["load", "-i", (await images()).ociArchive]);
    const ran = await cli.run(NAME);
    expect(ran.stderr).toBe("");
    expect(ran.stdout).toBe("hello from the image\n1000\n/home/test\n");
  });

  test("give way to the caller's words", async () => {
    const cli = await openCli();
    await cli.tare(["load", "-i", (await images()).dockerArchive]);
    const flags = ["-e", "GREETING=hi", "-u", "0", "-w", "/made/here"];
    expect((await cli.run(...flags, NAME)).stdout).toBe("hi\n0\n/made/here\n");
    const other = await cli.run("--entrypoint", "/bin/echo", NAME, "a", "b");
    expect(other.stdout).toBe("a b\n");
    const none = await cli.run("--entrypoint", "", NAME);
    expect(none.stderr).toContain("no command is given");
    expect(none.code).toBe(125);
  });

  test("a second layer adds, changes and removes", async () => {
    const cli = await openCli();
    await cli.tare(["load", "-i", (await images()).ociArchiveZstd]);
    const script = "cat /added /link /hard; ls /t/report; ls /var/tmp; stat -c %a /var/tmp";
    const ran = await cli.run("-u", "0", "--entrypoint", "/bin/sh", NAME, "-c", script);
    expect(ran.stdout).toBe("added\nadded\nadded\nnew\n1777\n");
    expect(ran.stderr).toContain("/t/report");
  });
});

describe("exit status", () => {
  const cases: [name: string, words: string[], code: number, said?: string][] = [
    ["success", ["sh", "-c", "exit 0"], 0],
    ["the command's", ["sh", "-c", "exit 42"], 42],
    ["of a signal", ["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137],
    ["of a missing command", ["no-such-command"], 127, "not found"],
    ["of a missing path", ["/no/such/command"], 127, "Cannot execute"],
    ["of a directory", ["/etc"], 126, "Cannot execute"],
    ["of a file without x", ["/etc/passwd"], 126, "Cannot execute"],
  ];
  test("is the command's, or says why it did not run", async () => {
    const cli = await openLoadedCli();
    for (const [name, words, code, said] of cases) {
      const ran = await cli.run(IMAGE, ...words);
      expect([name, ran.code]).toEqual([name, code]);
      if (said !== undefined) expect(ran.stderr).toContain(said);
    }
  });

  test("a signal to tare reaches the command", async () => {
    const cli = await openLoadedCli();
    const script = "trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    const child = Bun.spawn(cli.command(...cli.runWords(IMAGE, "sh", "-c", script)), {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const reader = child.stdout.getReader();
    const first = new TextDecoder().decode((await reader.read()).value);
    expect(first).toBe("ready\n");
    child.kill("SIGTERM");
    const second = new TextDecoder().decode((await reader.read()).value);
    expect(second).toBe("got it\n");
    expect(await child.exited).toBe(7);
  });
});

describe("standard input and terminals", () => {
  test("-i passes input on, without it there is none", async () => {
    const cli = await openLoadedCli();
    const words = (flags: string[]) => cli.runWords(...flags, IMAGE, "cat");
    const given = await cli.tare(words(["-i"]), { stdin: "line\n" });
    expect(given.stdout).toBe("line\n");
    const absent = await cli.tare(words([]), { stdin: "line\n" });
    expect([absent.stdout, absent.code]).toEqual(["", 0]);
  });

  test("large output arrives whole, standard error apart", async () => {
    const cli = await openLoadedCli();
    const ran = await cli.sh("seq 1 200000; echo end >&2");
    expect(ran.stdout.split("\n")).toHaveLength(200_001);
    expect(ran.stderr).toBe("end\n");
  });

  test("-t gives a terminal of the right size", async () => {
    const cli = await openLoadedCli();
    const script = "tty; stty size; echo $TERM; read x; echo got $x";
    const ran = await cli.onTerminal(cli.runWords("-it", IMAGE, "sh", "-c", script), {
      columns: 101,
      rows: 33,
      act: async (terminal) => {
        await terminal.waitFor("xterm");
        terminal.type("typed\r");
        await terminal.waitFor("got typed");
      },
    });
    expect(ran.stdout).toContain("33 101");
    expect(ran.code).toBe(0);
  });

  test("-it without a terminal is refused", async () => {
    const cli = await openLoadedCli();
    const ran = await cli.tare(cli.runWords("-it", IMAGE, "true"), { stdin: "" });
    expect(ran.stderr).toContain("standard input is not a terminal");
    expect(ran.code).toBe(125);
  });
});

describe("containers", () => {
  test("of one image share the base and see only their own writes", async () => {
    const cli = await openLoadedCli();
    const script = (me: string) => `echo ${me} > /who; sleep 0.5; cat /who; ls / | grep -c who`;
    const [a, b] = await Promise.all([cli.sh(script("a")), cli.sh(script("b"))]);
    expect([a.stdout, b.stdout]).toEqual(["a\n1\n", "b\n1\n"]);
    expect((await cli.sh("ls /who")).code).not.toBe(0);
    expect(readdirSync(join(cli.dataRoot, "layers"))).toHaveLength(1);
  });

  test("have a private host name, /etc/hosts and process list", async () => {
    const cli = await openLoadedCli();
    const ran = await cli.sh(
      "hostname; cat /etc/hostname; grep -c localhost /etc/hosts; echo $$",
      "-h",
      "box",
    );
    expect(ran.stdout).toBe("box\nbox\n2\n1\n");
  });

  test("have only loopback, or the host's network", async () => {
    const cli = await openLoadedCli();
    expect((await cli.sh("ls /sys/class/net")).stdout).toBe("lo\n");
    const host = await cli.sh("readlink /proc/self/ns/net", "--network", "host");
    const own = await cli.sh("readlink /proc/self/ns/net");
    const ours = (await Bun.$`readlink /proc/self/ns/net`.text()).trim();
    expect(host.stdout.trim()).toBe(ours);
    expect(own.stdout.trim()).not.toBe(ours);
  });

  test("a name is taken while its container is there", async () => {
    const cli = await openLoadedCli();
    const words = ["run", "--cgroup-parent", cli.cgroupParent, "--name", "web", IMAGE, "true"];
    expect((await cli.tare(words)).code).toBe(0);
    const again = await cli.tare(words);
    expect([again.code, again.stderr.includes('the name "web"')]).toEqual([125, true]);
    expect((await cli.tare(["rmi", IMAGE])).stderr).toContain("container web uses it");
    expect((await cli.tare(["rm", "web"])).stdout).toBe("web\n");
    expect((await cli.tare(words)).code).toBe(0);
    expect((await cli.tare(["rm", "web"])).code).toBe(0);
  });

  test("--init reaps orphans and passes the status on", async () => {
    const cli = await openLoadedCli();
    const script = "(sleep 0.1 &) ; sleep 0.4; ps -o stat | grep -c Z; cat /proc/1/comm; exit 3";
    const ran = await cli.sh(script, "--init");
    expect(ran.stdout).toBe("0\ntare-init\n");
    expect(ran.code).toBe(3);
  });

  test("--rootfs runs a directory, and writes land in it", async () => {
    const cli = await openCli();
    const rootfs = await copyRootfs(await busyboxRootfs(), join(cli.scene.dir, "fs"));
    const ran = await cli.run("--rootfs", rootfs, "sh", "-c", "echo here > /made; pwd; id -un");
    expect(ran.stdout).toBe("/\nroot\n");
    expect(readFileSync(join(rootfs, "made"), "utf8")).toBe("here\n");
  });

  test("another runtime takes the same bundle", async () => {
    const cli = await openLoadedCli();
    const ran = await cli.sh("hostname; exit 5", "-h", "other", "--runtime", "runc");
    expect([ran.stdout, ran.code]).toEqual(["other\n", 5]);
  });
});

describe("mounts", () => {
  test("-v shows a path of the host, :ro keeps it from being written", async () => {
    const cli = await openLoadedCli();
    const dir = join(cli.scene.dir, "shared");
    mkdirSync(dir);
    writeFileSync(join(dir, "in"), "from the host\n");
    const ran = await cli.sh("cat /m/in; echo out > /m/out", "-v", `${dir}:/m`);
    expect(ran.stdout).toBe("from the host\n");
    expect(readFileSync(join(dir, "out"), "utf8")).toBe("out\n");
    const fixed = await cli.sh("echo again > /m/out", "-v", `${dir}:/m:ro`);
    expect(fixed.stderr).toContain("Read-only");
    expect(readFileSync(join(dir, "out"), "utf8")).toBe("out\n");
  });

  test(":ro holds for what is mounted below, too, also with another runtime", async () => {
    const cli = await openLoadedCli();
    const dir = join(cli.scene.dir, "shared");
    mkdirSync(join(dir, "below"), { recursive: true });
    for (const runtime of ["tare-runtime", "runc"]) {
      const flags = ["-u", "0", "-v", `${dir}:/m:ro`, "--runtime", runtime];
      const tare = cli.command(...cli.runWords(...flags, IMAGE, "touch", "/m/below/f"));
      const script = 'mount -t tmpfs none "$0" && exec "$@"';
      const own = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script];
      const ran = await run([...own, join(dir, "below"), ...tare]);
      expect([runtime, ran.code]).toEqual([runtime, 1]);
      expect(ran.stderr).toContain("Read-only");
    }
  });

  test("a named volume outlives its container, a nameless one does not", async () => {
    const cli = await openLoadedCli();
    await cli.sh("echo kept > /v/f", "-v", "data:/v");
    expect((await cli.sh("cat /v/f", "-v", "data:/v")).stdout).toBe("kept\n");
    expect((await cli.sh("echo x > /v/f; cat /v/f", "-v", "/v")).stdout).toBe("x\n");
    expect(readdirSync(join(cli.dataRoot, "volumes"))).toEqual(["data"]);
  });

  test("--tmpfs is empty, limited and not executable", async () => {
    const cli = await openLoadedCli();
    const script =
      "ls /t | wc -l; dd if=/dev/zero of=/t/f bs=1k count=100 2>/dev/null; wc -c < /t/f; grep ' /t ' /proc/mounts";
    const ran = await cli.sh(script, "--tmpfs", "/t:size=64k");
    const [count, size, mount] = ran.stdout.split("\n");
    expect([count, size]).toEqual(["0", "65536"]);
    expect(mount).toContain("noexec");
  });

  test("--read-only leaves volumes and tmpfs writable", async () => {
    const cli = await openLoadedCli();
    const script = "echo x > /f; echo y > /t/f && cat /t/f; echo z > /dev/shm/f && cat /dev/shm/f";
    const ran = await cli.sh(script, "--read-only", "--tmpfs", "/t");
    expect(ran.stdout).toBe("y\nz\n");
    expect(ran.stderr).toContain("Read-only");
  });
});

describe("privilege", () => {
  const status = "grep -E '^(CapEff|CapInh|CapAmb|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status";
  const field = (text: string, name: string) =>
    text.match(new RegExp(`^${name}:\\s*(\\S+)`, "m"))?.[1];

  test("is Docker's default: fourteen capabilities, none inheritable, a filter", async () => {
    const cli = await openLoadedCli();
    const { stdout } = await cli.sh(status);
    expect(field(stdout, "CapEff")).toBe("00000000a80425fb");
    expect(field(stdout, "CapBnd")).toBe("00000000a80425fb");
    expect(field(stdout, "CapInh")).toBe("0000000000000000");
    expect(field(stdout, "CapAmb")).toBe("0000000000000000");
    expect(field(stdout, "NoNewPrivs")).toBe("0");
    expect(field(stdout, "Seccomp")).toBe("2");
  });

  test("blocks mount, reboot and what the profile leaves out with EPERM", async () => {
    const cli = await openLoadedCli();
    for (const command of ["mount -t tmpfs x /mnt", "reboot -f", "unshare -U true"]) {
      const ran = await cli.sh(command);
      expect([command, ran.code === 0]).toEqual([command, false]);
      expect(ran.stderr.toLowerCase()).toMatch(/not permitted|permission denied/);
    }
  });

  test("is less with --cap-drop, no-new-privileges and another user", async () => {
    const cli = await openLoadedCli();
    const dropped = await cli.sh(status, "--cap-drop", "ALL", "--cap-add", "chown");
    expect(field(dropped.stdout, "CapEff")).toBe("0000000000000001");
    const locked = await cli.sh(status, "--security-opt", "no-new-privileges");
    expect(field(locked.stdout, "NoNewPrivs")).toBe("1");
    const user = await cli.run("-u", "test", IMAGE, "sh", "-c", `id; ${status}`);
    expect(user.stdout).toStartWith("uid=1000(test)");
    expect(field(user.stdout, "CapEff")).toBe("0000000000000000");
  });

  test("is everything with --privileged", async () => {
    const cli = await openLoadedCli();
    const ran = await cli.sh(
      `${status}; ls /dev | wc -l; mount -t tmpfs x /mnt && echo mounted`,
      "--privileged",
    );
    expect(field(ran.stdout, "Seccomp")).toBe("0");
    const ours = field(readFileSync("/proc/self/status", "utf8"), "CapBnd");
    expect(field(ran.stdout, "CapEff")).toBe(ours);
    expect(ran.stdout).toContain("mounted");
  });

  test("--userns: root inside is nobody outside", async () => {
    const cli = await openLoadedCli();
    const dir = join(cli.scene.dir, "open");
    mkdirSync(dir);
    Bun.spawnSync(["chmod", "777", dir]);
    const flags = ["--userns", "200000:65536", "-v", `${dir}:/m`];
    const ran = await cli.sh(
      "id -u; echo x > /m/f; touch /etc/mine; stat -c %u /etc/passwd /etc/mine",
      ...flags,
    );
    expect(ran.stderr).toBe("");
    expect(ran.stdout).toBe("0\n0\n0\n");
    expect(statSync(join(dir, "f")).uid).toBe(200_000);
  });
});

describe("limits", () => {
  test("--memory ends what takes more", async () => {
    const cli = await openLoadedCli();
    const ran = await cli.run(
      "-u",
      "0",
      "-m",
      "50m",
      "--memory-swap",
      "50m",
      IMAGE,
      "/t/eat-memory",
      "200",
    );
    expect(ran.stderr).toContain("out of memory");
    expect(ran.code).toBe(137);
    expect(ran.stderr).toContain("out of memory");
  });

  test("--pids-limit holds", async () => {
    const cli = await openLoadedCli();
    const script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 1 & done; wait";
    const ran = await cli.sh(script, "--pids-limit", "10");
    expect(ran.stderr).toContain("fork");
  });

  test("--ulimit and --sysctl arrive", async () => {
    const cli = await openLoadedCli();
    const script = "ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_forward";
    const ran = await cli.sh(
      script,
      "--ulimit",
      "nofile=100:200",
      "--sysctl",
      "net.ipv4.ip_forward=1",
    );
    expect(ran.stdout).toBe("100\n200\n1\n");
  });
});
