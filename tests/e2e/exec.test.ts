/** `exec`: a further process of a container is as config.json, or its own file, or its flags say. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DEFAULT_NAMESPACES } from "../harness/bundle.ts";
import { allCgroups, onlyCgroup2 } from "../harness/cgroups.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { patiently } from "../harness/places.ts";
import { run, runOnTerminal, until } from "../harness/run.ts";
import { openScene } from "../harness/scene.ts";
import { Taker } from "../harness/taker.ts";
import { openGuest, type Report } from "./exec-scene.ts";

setDefaultTimeout(patiently(60_000));

/** Listens on a socket for one descriptor, and prints what the kernel says of it. */
const PIDFD_TAKER = `
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(1)
_, fds, _, _ = socket.recv_fds(server.accept()[0], 64, 1)
print(open(f"/proc/self/fdinfo/{fds[0]}").read())
`;

describe("the process", () => {
  test("is in every namespace of the container, and in its cgroups", async () => {
    const guest = await openGuest();
    const pid = await guest.pid();
    const names = ["pid", "net", "ipc", "uts", "mnt", "cgroup"];
    const inside = await guest.sh(names.map((name) => `readlink /proc/self/ns/${name}`).join(";"));
    const first = names.map((name) => readlinkSync(`/proc/${pid}/ns/${name}`));
    expect(inside.stdout.trim().split("\n")).toEqual(first);
    const cgroups = await guest.sh("cat /proc/self/cgroup; cat /proc/1/cgroup >&2");
    expect(cgroups.stdout).toBe(cgroups.stderr);
  });

  test("leads a session, blocks no signal, has no descriptors but its streams", async () => {
    const guest = await openGuest();
    const { pid, sid, sigBlk, fds } = await guest.report();
    expect({ sid, sigBlk: BigInt(`0x${sigBlk}`), fds: Object.keys(fds) }).toEqual({
      sid: pid,
      sigBlk: 0n,
      fds: ["0", "1", "2"],
    });
  });

  test("has the container's defaults", async () => {
    const guest = await openGuest({
      process: {
        user: { uid: 1000, gid: 1000, umask: 0o027, additionalGids: [50] },
        cwd: "/tmp",
        rlimits: [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }],
      },
    });
    const report = await guest.report();
    expect(report).toMatchObject({ uid: 1000, gid: 1000, umask: 0o027, cwd: "/tmp" });
    expect(report.groups.sort()).toEqual([1000, 50].sort());
    expect(report.rlimits.RLIMIT_NOFILE).toEqual(["100", "200"]);
    expect(report.noNewPrivs).toBe(1);
    expect(report.env).toContain("HOME=/home/test");
  });

  test("has the session keyring of the container", async () => {
    const guest = await openGuest();
    const keyring = () => guest.exec([], "/t/call", "250", "0", "-3", "0");
    const first = (await keyring()).stdout;
    expect(first).toMatch(/^ret \d+ /);
    expect((await keyring()).stdout).toBe(first);
  });

  test("may run on all processors, or on those that execCPUAffinity names", async () => {
    const guest = await openGuest();
    const { id } = guest.bundle;
    const list = ["grep", "Cpus_allowed_list", "/proc/self/status"];
    const all = (await run(list)).stdout;
    const bound = await run(["taskset", "-c", "0", ...guest.scene.command("exec", id, ...list)]);
    expect(bound.stdout).toBe(all);
    const args = ["/bin/grep", "Cpus_allowed_list", "/proc/self/status"];
    const ran = await guest.file({ args, execCPUAffinity: { initial: "1", final: "0" } });
    expect(ran.stdout).toBe("Cpus_allowed_list:\t0\n");
  });

  test("has the clocks of the container", async () => {
    const namespaces = [...DEFAULT_NAMESPACES, "time"].map((type) => ({ type }));
    const timeOffsets = { boottime: { secs: 1_000_000, nanosecs: 0 } };
    const guest = await openGuest({ linux: { namespaces, timeOffsets } });
    const inside = Number((await guest.exec([], "cat", "/proc/uptime")).stdout.split(" ")[0]);
    expect(inside).toBeGreaterThan(1_000_000);
  });

  test("does not see what became of config.json after create", async () => {
    const guest = await openGuest();
    writeFileSync(join(guest.bundle.dir, "config.json"), "{}");
    expect((await guest.sh("echo $TARE_TEST_MARK")).stdout.trim()).toBe(guest.scene.mark);
  });

  test("has the filter of the container", async () => {
    const rule = { names: ["mkdirat", "mkdir"], action: "SCMP_ACT_ERRNO", errnoRet: 38 };
    const seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] };
    for (const noNewPrivileges of [true, false]) {
      const guest = await openGuest({ process: { noNewPrivileges }, linux: { seccomp } });
      const ran = await guest.sh("grep Seccomp: /proc/self/status; mkdir /tmp/x");
      expect(ran.stdout.trim()).toBe("Seccomp:\t2");
      expect(ran.stderr).toContain("Function not implemented");
    }
  });

  test("is started also where the filter refuses to fork, or to end", async () => {
    for (const names of [["clone", "clone3", "fork", "vfork"], ["exit_group"], ["setsid"]]) {
      for (const noNewPrivileges of [true, false]) {
        const syscalls = [{ names, action: "SCMP_ACT_ERRNO" }];
        const seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls };
        const guest = await openGuest({ process: { noNewPrivileges }, linux: { seccomp } });
        const ran = await guest.exec([], "echo", "started");
        expect([names, noNewPrivileges, ran.stdout, ran.stderr]).toEqual([
          names,
          noNewPrivileges,
          "started\n",
          "",
        ]);
      }
    }
  });

  // CVE-2022-29162: nothing is inheritable, and a primary group that is denied stays denied.
  test("gains nothing by files with inheritable capabilities", async () => {
    const guest = await openGuest();
    const { capInh, capAmb, capEff } = await guest.report("--cap", "CAP_SYS_PTRACE");
    expect([capInh, capAmb].map((set) => BigInt(`0x${set}`))).toEqual([0n, 0n]);
    expect(BigInt(`0x${capEff}`) & (1n << 19n)).not.toBe(0n);
  });

  // As runc: who writes a name in another way shall not get what no configuration could have given.
  test("a capability that has no such name is left out with a warning", async () => {
    const guest = await openGuest();
    const words = ["--cap", "SYS_ADMIN", "--cap", "cap_sys_ptrace", "--cap", "CAP_MOON"];
    const ran = await guest.exec([...words, "--cap", "CAP_SYS_TIME"], "/t/report");
    const told = expect.stringContaining("SYS_ADMIN, cap_sys_ptrace, CAP_MOON");
    expect(ran).toMatchObject({ code: 0, stderr: told });
    const before = BigInt(`0x${(await guest.report()).capEff}`);
    const { capEff } = JSON.parse(ran.stdout) as { capEff: string };
    expect(BigInt(`0x${capEff}`)).toBe(before | (1n << 25n));
  });
});

describe("flags", () => {
  test("--user, --additional-gids, --cwd, --env, --no-new-privs", async () => {
    const guest = await openGuest({ process: { noNewPrivileges: false } });
    const flags = ["-u", "7:8", "-g", "50", "--cwd", "/home", "-e", "A=b", "--env", "HOME=/h"];
    const report = await guest.report(...flags, "--no-new-privs");
    expect(report).toMatchObject({ uid: 7, gid: 8, cwd: "/home", noNewPrivs: 1 });
    expect(report.groups.sort()).toEqual([50, 8]);
    expect(report.env).toEqual(expect.arrayContaining(["A=b", "HOME=/h"]));
    expect(report.env.some((entry) => entry.startsWith("PATH="))).toBe(true);
  });

  test("--preserve-fds passes descriptors on, and no others", async () => {
    const guest = await openGuest();
    const path = join(guest.scene.dir, "passed");
    writeFileSync(path, "passed\n");
    const exec = guest.scene.command("exec", "--preserve-fds", "1", guest.bundle.id);
    const script = `exec 3<"$1" 4<"$1" 9<"$1"; shift; exec "$@"`;
    const words = ["sh", "-c", "cat <&3; ls /proc/self/fd"];
    const ran = await run(["/bin/sh", "-c", script, "sh", path, ...exec, ...words]);
    const [first, ...fds] = ran.stdout.trim().split("\n");
    expect(first).toBe("passed");
    expect(fds.filter((fd) => Number(fd) > 4)).toEqual([]);
  });

  test("--detach and --pid-file: the program goes on, its pid is ours", async () => {
    const guest = await openGuest();
    const file = join(guest.scene.dir, "pid");
    const ran = await guest.detach(["--pid-file", file], "sleep", "999");
    expect(ran.code).toBe(0);
    const pid = Number(readFileSync(file, "utf8"));
    expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toBe("sleep\x00999\x00");
  });

  test("--process", async () => {
    const guest = await openGuest();
    const user = { uid: 3, gid: 4, additionalGids: [432] };
    const ran = await guest.file({ args: ["report"], user, env: ["PATH=/t", "X=1"] });
    const report = JSON.parse(ran.stdout) as Report;
    expect(report).toMatchObject({ uid: 3, gid: 4, noNewPrivs: 0 });
    expect(report.env.sort()).toEqual(["HOME=/", "PATH=/t", "X=1"]);
    expect(report.groups.sort()).toEqual([4, 432]);
  });

  test("--process of a megabyte", async () => {
    const guest = await openGuest();
    const env = Array.from({ length: 1000 }, (_, index) => `V${index}=${"x".repeat(1000)}`);
    const ran = await guest.file({ args: ["/bin/sh", "-c", "env | wc -l"], env });
    expect(Number(ran.stdout)).toBeGreaterThanOrEqual(1000);
  });

  test("--process of a shell's process substitution", async () => {
    const guest = await openGuest();
    const file = JSON.stringify({ cwd: "/", args: ["/bin/echo", "substituted"] });
    const exec = guest.scene.command("exec", "--process");
    const script = `"$@" <(echo '${file}') ${guest.bundle.id}`;
    expect((await run(["bash", "-c", script, "bash", ...exec])).stdout).toBe("substituted\n");
  });

  test.skipIf(Bun.which("python3") === null)(
    "--pidfd-socket is sent a descriptor of the process",
    async () => {
      const guest = await openGuest();
      const path = join(guest.scene.dir, "pidfd.sock");
      const taker = Bun.spawn(["python3", "-c", PIDFD_TAKER, path], { stdout: "pipe" });
      await until(
        () => existsSync(path),
        5_000,
        () => "the socket",
      );
      const file = join(guest.scene.dir, "pid");
      await guest.detach(["--pid-file", file, "--pidfd-socket", path], "sleep", "999");
      const pid = readFileSync(file, "utf8");
      expect(await new Response(taker.stdout).text()).toContain(`\nPid:\t${pid}\n`);
    },
  );

  test("--cgroup: below the container's own, which must be there", async () => {
    const guest = await openGuest();
    const all = allCgroups().filter((dir) => dir.endsWith(`/${guest.bundle.id}`));
    // A new cpuset of v1 has no processors, and takes nobody.
    const own = onlyCgroup2() ? all : all.filter((dir) => dir.includes("/pids/"));
    for (const dir of own) mkdirSync(join(dir, "sub"));
    const prefix = onlyCgroup2() ? "" : "pids:";
    for (const path of [`${prefix}sub`, "sub"]) {
      const ran = await guest.exec(["--cgroup", path], "cat", "/proc/self/cgroup");
      const lines = ran.stdout.trim().split("\n");
      expect(lines.filter((line) => line.endsWith(":/sub"))).toHaveLength(1);
      expect(lines.filter((line) => !line.endsWith("/sub") && !line.endsWith(":/"))).toEqual([]);
    }
    for (const path of ["..", "sub/../..", "nowhere", "whaaat:sub", `${prefix}sub/..`]) {
      expect((await guest.exec(["--cgroup", path], "true")).code).toBe(255);
    }
    for (const dir of own) rmdirSync(join(dir, "sub"));
  });

  test("LISTEN_FDS: descriptors come along", async () => {
    const guest = await openGuest();
    const path = join(guest.scene.dir, "passed");
    writeFileSync(path, "passed\n");
    const exec = guest.scene.command("exec", guest.bundle.id, "sh", "-c", "cat <&3");
    const script = 'exec 3<"$1"; shift; LISTEN_FDS=1 exec "$@"';
    expect((await run(["/bin/sh", "-c", script, "sh", path, ...exec])).stdout).toBe("passed\n");
  });

  test("what is behind the ID is the program's", async () => {
    const guest = await openGuest();
    const words = ["--preserve-fds", "5", "-u", "--kill-on-close", "77", "--", "--help"];
    const ran = await guest.exec([], "echo", ...words);
    expect(ran.stdout.trim()).toBe(words.join(" "));
  });

  test("--tty: the terminal is the container's own, and controls the process", async () => {
    const guest = await openGuest();
    const { id } = guest.bundle;
    const words = ["exec", "-t", id, "sh", "-c", "tty; stty size; read word; echo got-$word"];
    const ran = await runOnTerminal(guest.scene.command(...words), {
      columns: 91,
      rows: 23,
      act: async (terminal) => {
        await terminal.waitFor("23 91");
        terminal.type("typed\n");
      },
    });
    expect(ran.stdout).toContain("/dev/pts/");
    expect(ran.stdout).toContain("got-typed");
    expect(ran.code).toBe(0);
  });

  test("--tty: one terminal is sent, also where the filter makes it begin again", async () => {
    const syscalls = [{ names: ["setsid"], action: "SCMP_ACT_ERRNO" }];
    const seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls };
    const guest = await openGuest({ process: { noNewPrivileges: false }, linux: { seccomp } });
    const taker = await Taker.listen(join(guest.scene.rootfs, "t/receive-terminal"));
    guest.scene.defer(() => taker.end());
    mustSucceed(await guest.detach(["--tty", "--console-socket", taker.path], "tty"));
    const lines = [await taker.line(), await taker.line(), await taker.line()];
    expect(lines).toEqual(["terminal", "/dev/pts/0", undefined]);
  });
});

describe("the end", () => {
  test.each([
    ["exit 0", 0],
    ["exit 42", 42],
    ["kill -9 $$", 137],
    ["kill -TERM $$", 143],
  ])("of %j gives %d", async (script, status) => {
    const guest = await openGuest();
    expect((await guest.sh(script)).code).toBe(status);
  });

  // runc's bats suite; podman and docker tell 126 and 127 by the words.
  test("before the program is 255, with the words that engines look for", async () => {
    const guest = await openGuest();
    const cases: [string[], string][] = [
      [[guest.bundle.id, "no-such-binary"], "executable file not found in $PATH"],
      [[guest.bundle.id, "/no/such"], "no such file or directory"],
      [[guest.bundle.id, "/etc/passwd"], "permission denied"],
      [["--pid-file", "/nowhere/at/all", guest.bundle.id, "sleep", "100"], "no such file"],
      [["no-such-container", "true"], "does not exist"],
      [["--cwd", "/nowhere", guest.bundle.id, "true"], "no such file"],
      [["--process", "/nowhere", guest.bundle.id], "no such file"],
    ];
    for (const [words, told] of cases) {
      const ran = await guest.scene.verb("exec", ...words);
      expect([ran.code, ran.stderr.toLowerCase()]).toEqual([
        255,
        expect.stringContaining(told.toLowerCase()),
      ]);
    }
  });

  test("on its command line is 1, as with runc", async () => {
    const guest = await openGuest();
    const { id } = guest.bundle;
    const wrong = [
      [],
      ["-g", "x", id, "true"],
      ["--preserve-fds", "x", id, "true"],
      ["--moon", id],
    ];
    for (const words of wrong) {
      const ran = await guest.scene.verb("exec", ...words);
      expect([words, ran.code, ran.stdout]).toEqual([words, 1, ""]);
    }
  });

  test("signals are passed on", async () => {
    const guest = await openGuest();
    const script = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    const argv = guest.scene.command("exec", guest.bundle.id, "sh", "-c", script);
    const child = Bun.spawn(argv, { stdout: "pipe", stderr: "inherit" });
    const reader = child.stdout.getReader();
    const first = await reader.read();
    expect(new TextDecoder().decode(first.value)).toBe("ready\n");
    child.kill("SIGTERM");
    expect(await child.exited).toBe(3);
  });
});

describe("a container that is", () => {
  test("stopped takes no process", async () => {
    const guest = await openGuest();
    await guest.scene.kill(guest.bundle.id, "KILL");
    await guest.scene.waitForStatus(guest.bundle.id, "stopped");
    const ran = await guest.exec([], "true");
    expect([ran.code, ran.stderr]).toEqual([255, expect.stringContaining("stopped")]);
  });

  test("created takes one", async () => {
    const scene = await openScene();
    const bundle = scene.bundle();
    await scene.create(bundle);
    expect((await scene.verb("exec", bundle.id, "echo", "early")).stdout).toBe("early\n");
    await scene.delete(bundle.id, "--force");
  });

  test("paused takes none, but with --ignore-paused one that waits", async () => {
    const guest = await openGuest();
    expect((await guest.scene.verb("pause", guest.bundle.id)).code).toBe(0);
    const refused = await guest.exec([], "true");
    expect([refused.code, refused.stderr]).toEqual([255, expect.stringContaining("paused")]);
    const waiting = guest.exec(["--ignore-paused"], "echo", "late");
    await Bun.sleep(100);
    expect((await guest.scene.verb("resume", guest.bundle.id)).code).toBe(0);
    expect((await waiting).stdout).toBe("late\n");
  });

  test("paused gives an exec that waits up at a signal", async () => {
    const guest = await openGuest();
    await guest.scene.verb("pause", guest.bundle.id);
    const child = Bun.spawn(
      guest.scene.command("exec", "--ignore-paused", guest.bundle.id, "true"),
      {
        stderr: "pipe",
        env: { ...process.env, TARE_TEST_MARK: guest.scene.mark },
      },
    );
    await Bun.sleep(200);
    child.kill("SIGINT");
    expect(await child.exited).toBe(255);
    await guest.scene.verb("resume", guest.bundle.id);
  });

  test("gone leaves no file of the pid", async () => {
    const guest = await openGuest();
    const file = join(guest.scene.dir, "pid");
    await guest.exec(["--pid-file", file], "no-such-program");
    expect(existsSync(file)).toBe(false);
  });
});
