/** create, start, state, kill, delete, list: what each does, in which state, and the hooks between. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chownSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { HookConfig } from "../harness/bundle.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { patiently } from "../harness/places.ts";
import { run, until } from "../harness/run.ts";
import { openScene, type Scene } from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

/** Takes one descriptor and prints what the kernel says of it. */
const PIDFD_TAKER = `
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
_, fds, _, _ = socket.recv_fds(server.accept()[0], 100, 1)
print(open(f"/proc/self/fdinfo/{fds[0]}").read())
`;

describe("an ordinary life", () => {
  test.each(["TERM", "INT", "HUP", "QUIT"])("%s ends what waits for start", async (signal) => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["true"] });
    mustSucceed((await scene.create(bundle)).ran);
    mustSucceed(await scene.kill(bundle.id, signal));
    await scene.waitForStatus(bundle.id, "stopped");
    mustSucceed(await scene.delete(bundle.id));
  });

  test("a signal that was blocked before start is not blocked in the program", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["grep", "SigBlk", "/proc/self/status"] });
    const { ran, output } = await scene.create(bundle);
    mustSucceed(ran);
    mustSucceed(await scene.start(bundle.id));
    await scene.waitForStatus(bundle.id, "stopped");
    expect(output.stdout()).toBe("SigBlk:\t0000000000000000\n");
    await scene.delete(bundle.id);
  });

  test("what waits for start holds no directory of the host", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["true"] });
    mustSucceed((await scene.create(bundle)).ran);
    const fds = `/proc/${(await scene.state(bundle.id))?.pid}/fd`;
    const held = readdirSync(fds).filter((fd) => Number(fd) > 2);
    const targets = held.map((fd) => readlinkSync(join(fds, fd)));
    await scene.delete(bundle.id, "--force");
    // Its root, its procfs, who will give the word, and signals meanwhile.
    const known = /^(?:\/|socket:.*|anon_inode:\[signalfd\])$/;
    expect(targets.filter((target) => !known.test(target))).toEqual([]);
  });

  test("what waits for start has forgotten the caller's environment", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["true"] });
    mustSucceed((await scene.create(bundle)).ran);
    const bytes = readFileSync(`/proc/${(await scene.state(bundle.id))?.pid}/environ`);
    mustSucceed(await scene.start(bundle.id));
    await scene.delete(bundle.id, "--force");
    expect(bytes.length).toBeGreaterThan(0);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
  });

  test("what waits for start has forgotten the host's command line, and keeps its name", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["true"] });
    mustSucceed((await scene.create(bundle)).ran);
    const text = readFileSync(`/proc/${(await scene.state(bundle.id))?.pid}/cmdline`, "utf8");
    const seen = await scene.verb("exec", bundle.id, "cat", "/proc/1/cmdline");
    mustSucceed(await scene.start(bundle.id));
    await scene.delete(bundle.id, "--force");
    expect(seen.stdout).toBe(text);
    const [name = "", ...words] = text.split("\0");
    expect(name).not.toBe("");
    expect(words.join("")).toBe("");
  });

  test("what waits for start holds little memory, and starts all the same", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["true"] });
    mustSucceed((await scene.create(bundle)).ran);
    const rollup = readFileSync(
      `/proc/${(await scene.state(bundle.id))?.pid}/smaps_rollup`,
      "utf8",
    );
    const kibibytes = Number(rollup.split("\nPss:")[1]?.trim().split(" ")[0]);
    expect(kibibytes).toBeGreaterThan(0);
    expect(kibibytes).toBeLessThan(1200);
    mustSucceed(await scene.start(bundle.id));
    await scene.waitForStatus(bundle.id, "stopped");
    mustSucceed(await scene.delete(bundle.id));
  });

  test("run says nothing of a container that delete --force takes away from it", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["sleep", "30"] });
    const running = Bun.spawn(scene.command("run", "--bundle", bundle.dir, bundle.id), {
      stdio: ["ignore", "ignore", "pipe"],
    });
    await scene.waitForStatus(bundle.id, "running");
    mustSucceed(await scene.delete(bundle.id, "--force"));
    expect(await running.exited).toBe(137);
    expect(await new Response(running.stderr).text()).toBe("");
  });

  test("--pidfd-socket is sent a descriptor of the first process", async () => {
    const scene = await openScene();
    const path = join(scene.dir, "pidfd.sock");
    const taker = Bun.spawn(["python3", "-c", PIDFD_TAKER, path], { stdout: "pipe" });
    await until(
      () => existsSync(path),
      5_000,
      () => "the socket",
    );
    const bundle = scene.bundle({ args: ["true"] });
    mustSucceed((await scene.create(bundle, { flags: ["--pidfd-socket", path] })).ran);
    const pid = (await scene.state(bundle.id))?.pid;
    expect(await new Response(taker.stdout).text()).toContain(`\nPid:\t${pid}\n`);
    await scene.delete(bundle.id, "--force");
  });

  test("created, running, stopped, gone; the program runs only after start", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({
      sh: "echo started; sleep 30",
      annotations: { "test.key": "värde" },
    });
    const { ran, output } = await scene.create(bundle);
    mustSucceed(ran);

    const created = await scene.state(bundle.id);
    expect(created).toMatchObject({
      id: bundle.id,
      status: "created",
      bundle: bundle.dir,
      annotations: { "test.key": "värde" },
    });
    expect(created?.ociVersion).toMatch(/^1\.\d+\.\d+/);
    expect(existsSync(`/proc/${created?.pid}`)).toBeTrue();
    await Bun.sleep(100);
    expect(output.stdout()).toBe("");

    mustSucceed(await scene.start(bundle.id));
    await until(
      () => output.stdout() === "started\n",
      5_000,
      () => "the program",
    );
    const running = await scene.state(bundle.id);
    expect(running).toMatchObject({ status: "running", pid: created?.pid ?? 0 });
    expect(readFileSync(`/proc/${running?.pid}/cmdline`, "utf8")).toContain("sleep");

    mustSucceed(await scene.kill(bundle.id, "KILL"));
    await scene.waitForStatus(bundle.id, "stopped");
    mustSucceed(await scene.delete(bundle.id));
    expect(await scene.state(bundle.id)).toBeNull();
  });

  test("a program that ends by itself leaves a stopped container", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["true"] });
    mustSucceed((await scene.create(bundle)).ran);
    mustSucceed(await scene.start(bundle.id));
    await scene.waitForStatus(bundle.id, "stopped");
    mustSucceed(await scene.delete(bundle.id));
  });

  test("the bundle is the current directory unless given", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["echo", "here"] });
    const ran = await run(scene.command("run", bundle.id), { cwd: bundle.dir });
    expect(ran.stdout).toBe("here\n");
  });

  test("run removes the container at the end, also one that cannot start", async () => {
    const scene = await openScene();
    const good = scene.bundle({ args: ["true"] });
    await scene.run(good);
    const bad = scene.bundle({ args: ["/no/such/program"] });
    await scene.run(bad);
    for (const { id } of [good, bad]) expect(await scene.state(id)).toBeNull();
  });

  test("config.json changed after create has no effect", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["echo", "first"] });
    const { output } = await scene.create(bundle);
    bundle.config.process.args = ["echo", "second"];
    writeFileSync(join(bundle.dir, "config.json"), JSON.stringify(bundle.config));
    await scene.start(bundle.id);
    await scene.waitForStatus(bundle.id, "stopped");
    await scene.delete(bundle.id);
    expect(output.stdout()).toBe("first\n");
  });

  test("the pid file holds the container's pid and nothing else", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["sleep", "30"] });
    const file = join(scene.dir, "pid");
    await scene.create(bundle, { flags: ["--pid-file", file] });
    const text = readFileSync(file, "utf8");
    const state = await scene.state(bundle.id);
    await scene.delete(bundle.id, "--force");
    expect(text).toBe(String(state?.pid));
  });

  test("list names every container and its status", async () => {
    const scene = await openScene();
    const [one, two] = [
      scene.bundle({ args: ["sleep", "30"] }),
      scene.bundle({ args: ["sleep", "30"] }),
    ];
    for (const { id } of [one, two]) {
      const ran = (await scene.create(id === one.id ? one : two)).ran;
      mustSucceed(ran);
    }
    await scene.start(two.id);
    const quiet = await scene.verb("list", "-q");
    const json = await scene.verb("list", "--format", "json");
    for (const { id } of [one, two]) await scene.delete(id, "--force");
    expect(quiet.stdout.trim().split("\n").toSorted()).toEqual([one.id, two.id].toSorted());
    const rows = JSON.parse(json.stdout) as { id: string; status: string }[];
    const statuses = new Map(rows.map(({ id, status }) => [id, status]));
    expect([statuses.get(one.id), statuses.get(two.id)]).toEqual(["created", "running"]);
    expect((await scene.verb("list", "-q")).stdout.trim()).toBe("");
    // A root that is named is meant.
    const [program = ""] = scene.command();
    expect((await run([program, "--root", join(scene.dir, "none"), "list"])).code).toBe(1);
  });

  test.each(["KILL", "SIGKILL", "9"])("kill takes the name %s", async (signal) => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["sleep", "30"] });
    await scene.create(bundle);
    await scene.start(bundle.id);
    mustSucceed(await scene.kill(bundle.id, signal));
    await scene.waitForStatus(bundle.id, "stopped");
    mustSucceed(await scene.delete(bundle.id));
  });

  test("kill delivers the very signal", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({
      sh: "trap 'echo usr1' USR1; trap 'echo term; exit' TERM; echo ready; while :; do sleep 0.05; done",
    });
    const { output } = await scene.create(bundle);
    await scene.start(bundle.id);
    await until(
      () => output.stdout() === "ready\n",
      5_000,
      () => "the traps",
    );
    await scene.kill(bundle.id, "USR1");
    await until(
      () => output.stdout() === "ready\nusr1\n",
      5_000,
      () => "USR1",
    );
    await scene.kill(bundle.id, "TERM");
    await until(
      () => output.stdout() === "ready\nusr1\nterm\n",
      5_000,
      () => "TERM",
    );
    await scene.waitForStatus(bundle.id, "stopped");
    await scene.delete(bundle.id);
  });
});

describe("what a state forbids", () => {
  async function refuse(ran: Promise<{ code: number | null; stderr: string }>): Promise<void> {
    const { code, stderr } = await ran;
    expect(code).not.toBe(0);
    expect(stderr).not.toBe("");
  }

  test("start of a running and of a stopped container", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["sleep", "30"] });
    await scene.create(bundle);
    await scene.start(bundle.id);
    await refuse(scene.start(bundle.id));
    expect((await scene.state(bundle.id))?.status).toBe("running");
    await scene.kill(bundle.id, "KILL");
    await scene.waitForStatus(bundle.id, "stopped");
    await refuse(scene.start(bundle.id));
    await scene.delete(bundle.id);
  });

  test("kill of a stopped container, delete of a running one", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["sleep", "30"] });
    await scene.create(bundle);
    await scene.start(bundle.id);
    await refuse(scene.delete(bundle.id));
    expect((await scene.state(bundle.id))?.status).toBe("running");
    await scene.kill(bundle.id, "KILL");
    await scene.waitForStatus(bundle.id, "stopped");
    await refuse(scene.kill(bundle.id, "KILL"));
    await scene.delete(bundle.id);
  });

  test("a second container of the same id, and the first is left alone", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["sleep", "30"] });
    await scene.create(bundle);
    const pid = (await scene.state(bundle.id))?.pid;
    const second = await scene.create(bundle);
    expect(second.ran.code).not.toBe(0);
    expect(await scene.state(bundle.id)).toMatchObject({ status: "created", pid: pid ?? 0 });
    await scene.delete(bundle.id, "--force");
  });

  test("every verb on a container that does not exist; delete --force alone is content", async () => {
    const scene = await openScene();
    for (const verb of ["state", "start", "kill", "delete"])
      await refuse(scene.verb(verb, `${scene.mark}-no`));
    expect((await scene.delete(`${scene.mark}-no`, "--force")).code).toBe(0);
  });

  const badIds = ["", ".", "..", "../x", "a/b", "a b", "a\nb", "é"];
  const named = badIds.map((id): [string, string] => [JSON.stringify(id), id]);
  test.each([...named, ["of 2000 letters", "x".repeat(2_000)]])("the id %s", async (_name, id) => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["true"] });
    await refuse(run(scene.command("run", "--bundle", bundle.dir, id)));
    await refuse(run(scene.command("state", id)));
  });

  test("an unknown signal", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["sleep", "30"] });
    await scene.create(bundle);
    await refuse(scene.kill(bundle.id, "MOON"));
    await refuse(scene.kill(bundle.id, "9999"));
    expect((await scene.state(bundle.id))?.status).toBe("created");
    await scene.delete(bundle.id, "--force");
  });

  test("a bundle without config.json, with half a one, without a root file system", async () => {
    const scene = await openScene();
    const empty = scene.bundle();
    await run(["rm", join(empty.dir, "config.json")]);
    await refuse(scene.run(empty));
    const half = scene.bundle();
    writeFileSync(join(half.dir, "config.json"), JSON.stringify(half.config).slice(0, 200));
    await refuse(scene.run(half));
    await refuse(scene.runIn({ rootfs: join(scene.dir, "nothing") }));
    await refuse(scene.run({ ...empty, dir: join(scene.dir, "no-bundle") }));
  });

  test("a version that is not 1.x; every 1.x is taken", async () => {
    const scene = await openScene();
    const withVersion = (ociVersion: string) =>
      scene.runIn({
        args: ["true"],
        edit: (config) => {
          config.ociVersion = ociVersion;
        },
      });
    for (const version of ["1.0.0", "1.0.2", "1.0.2-dev"]) mustSucceed(await withVersion(version));
    for (const version of ["2.0.0", "moon", ""]) await refuse(withVersion(version));
  });
});

test("a state directory that another user may write is not believed", async () => {
  const scene = await openScene();
  const bundle = scene.bundle({ args: ["sleep", "30"] });
  mustSucceed((await scene.create(bundle)).ran);
  const directory = join(scene.stateRoot, bundle.id);
  chownSync(directory, 4242, 4242);
  const killed = await scene.kill(bundle.id, "KILL");
  const deleted = await scene.delete(bundle.id, "--force");
  const listed = await scene.verb("list", "-q");
  chownSync(directory, 0, 0);
  const status = (await scene.state(bundle.id))?.status;
  mustSucceed(await scene.delete(bundle.id, "--force"));
  expect(killed.code).not.toBe(0);
  expect(deleted.code).not.toBe(0);
  expect(listed).toMatchObject({ code: 0, stdout: `${bundle.id}\n` });
  expect(status).toBe("created");
});

describe("hooks", () => {
  const KINDS = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
  ];

  /** Appends its kind and what it got to /mnt/log of the container, DIR/log of the host. */
  function recorder(scene: Scene, kind: string, more: Partial<HookConfig> = {}): HookConfig {
    const log = kind === "startContainer" ? "/mnt/log" : join(scene.dir, "log");
    const script = `state=$(cat); echo "${kind} $1 $KEY $state" >> ${log}`;
    const env = ["PATH=/bin:/usr/bin", "KEY=value", `TARE_TEST_MARK=${scene.mark}`];
    return { path: "/bin/sh", args: ["sh", "-c", script, "sh", "argument"], env, ...more };
  }

  type Record = {
    kind: string;
    words: string[];
    state: { status: string; pid: number; id: string; bundle: string };
  };

  function records(scene: Scene): Record[] {
    const path = join(scene.dir, "log");
    if (!existsSync(path)) return [];
    const lines = readFileSync(path, "utf8")
      .replaceAll(/\n(?!\w+ argument)/g, "")
      .split("\n");
    return lines.map((line) => {
      const [kind = "", ...rest] = line.split(" ");
      const json = line.indexOf("{");
      return {
        kind,
        words: rest.slice(0, 2),
        state: json < 0 ? null : JSON.parse(line.slice(json)),
      };
    });
  }

  const shareLog = (scene: Scene) => [
    { destination: "/mnt", type: "bind", source: scene.dir, options: ["bind", "rw"] },
  ];

  test("of six kinds run in order, each with the state on its standard input", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({
      sh: 'echo "program argument" >> /mnt/log',
      mounts: shareLog(scene),
      hooks: Object.fromEntries(KINDS.map((kind) => [kind, [recorder(scene, kind)]])),
    });
    mustSucceed((await scene.create(bundle)).ran);
    expect(records(scene).map(({ kind }) => kind)).toEqual([
      "prestart",
      "createRuntime",
      "createContainer",
    ]);
    const pid = (await scene.state(bundle.id))?.pid ?? 0;
    mustSucceed(await scene.start(bundle.id));
    await scene.waitForStatus(bundle.id, "stopped");
    mustSucceed(await scene.delete(bundle.id));

    const all = records(scene);
    const kinds = all.map(({ kind }) => kind);
    // poststart and the program itself run at the same time.
    expect(kinds.filter((kind) => kind !== "program")).toEqual(KINDS);
    expect(kinds.indexOf("program")).toBeGreaterThan(kinds.indexOf("startContainer"));
    const hooks = all.filter(({ kind }) => kind !== "program");
    for (const { words, state } of hooks) {
      expect(words).toEqual(["argument", "value"]);
      expect(state).toMatchObject({ id: bundle.id, bundle: bundle.dir });
    }
    const statuses = hooks.map(({ state }) => state.status);
    expect(statuses.slice(0, 3)).toEqual(["created", "created", "created"]);
    expect(statuses[3]).toBe("created");
    expect(statuses[5]).toBe("stopped");
    for (const index of [0, 1]) expect(hooks[index]?.state.pid).toBe(pid);
  });

  test("several of one kind run in the order of the list", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({
      args: ["true"],
      hooks: {
        createRuntime: ["one", "two", "three"].map((name) => recorder(scene, name)),
      },
    });
    mustSucceed(await scene.run(bundle));
    expect(records(scene).map(({ kind }) => kind)).toEqual(["one", "two", "three"]);
  });

  test("have only the environment that is configured", async () => {
    const scene = await openScene();
    const log = join(scene.dir, "log");
    const hook = { path: "/usr/bin/env", args: ["env"], env: ["ONLY=this"] };
    const script = {
      path: "/bin/sh",
      args: ["sh", "-c", `env | sort > ${log}`],
      env: ["ONLY=this"],
    };
    mustSucceed(await scene.runIn({ args: ["true"], hooks: { createRuntime: [hook, script] } }));
    const lines = readFileSync(log, "utf8").trim().split("\n");
    expect(lines.filter((line) => !/^(PWD|SHLVL|_|OLDPWD)=/.test(line))).toEqual(["ONLY=this"]);
  });

  test("createContainer and startContainer see the container's namespaces", async () => {
    const scene = await openScene();
    const log = join(scene.dir, "log");
    const say = (path: string): HookConfig => ({
      path: "/bin/sh",
      args: [
        "sh",
        "-c",
        `readlink /proc/self/ns/mnt >> ${path}; readlink /proc/self/ns/uts >> ${path}`,
      ],
      env: ["PATH=/bin:/usr/bin"],
    });
    const bundle = scene.bundle({
      sh: "readlink /proc/self/ns/mnt; readlink /proc/self/ns/uts",
      mounts: shareLog(scene),
      hooks: { createContainer: [say(log)], startContainer: [say("/mnt/log")] },
    });
    const ran = mustSucceed(await scene.run(bundle));
    expect(readFileSync(log, "utf8")).toBe(ran.stdout + ran.stdout);
  });

  test.each(["prestart", "createRuntime", "createContainer"])(
    "a failing %s hook ends the creation",
    async (kind) => {
      const scene = await openScene();
      const hook = { path: "/bin/sh", args: ["sh", "-c", "exit 3"] };
      const bundle = scene.bundle({ sh: "echo ran", hooks: { [kind]: [hook] } });
      const { ran, output } = await scene.create(bundle);
      expect(ran.code).not.toBe(0);
      expect(output.stdout()).toBe("");
      expect(await scene.state(bundle.id)).toBeNull();
    },
  );

  test("a startContainer hook may do no more than the program, which may have put itself there", async () => {
    const scene = await openScene();
    const status = [
      "grep",
      "-E",
      "^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):",
      "/proc/self/status",
    ];
    const process = { args: status, user: { uid: 1000, gid: 1000 }, noNewPrivileges: true };
    const seccomp = { defaultAction: "SCMP_ACT_ALLOW" as const };
    const hook = { path: "/bin/grep", args: status };
    for (const noNewPrivileges of [true, false]) {
      const ran = await scene.runIn({
        process: { ...process, noNewPrivileges },
        linux: { seccomp },
        hooks: { startContainer: [hook] },
      });
      const lines = mustSucceed(ran).stdout.trim().split("\n");
      const half = lines.length / 2;
      expect(lines.slice(0, half)).toEqual(lines.slice(half));
      expect(lines).toContain("Seccomp:\t2");
    }
  });

  test("a startContainer hook without an environment has the program's, and its directory", async () => {
    const scene = await openScene();
    const hook = { path: "/bin/sh", args: ["sh", "-c", 'echo "$ONE $HOME $PWD"'] };
    const process = { env: ["PATH=/bin", "ONE=two"], cwd: "/tmp", args: ["true"] };
    const ran = await scene.runIn({ process, hooks: { startContainer: [hook] } });
    expect(mustSucceed(ran).stdout).toBe("two /root /tmp\n");
  });

  test("hooks of the runtime's namespaces begin in the bundle, or where it was", async () => {
    const scene = await openScene();
    const log = join(scene.dir, "log");
    const hook = { path: "/bin/sh", args: ["sh", "-c", `pwd >> ${log}`] };
    const kinds = ["prestart", "createRuntime", "poststart", "poststop"];
    const hooks = Object.fromEntries(kinds.map((kind) => [kind, [hook]]));
    const bundle = scene.bundle({ args: ["true"], hooks });
    mustSucceed(await scene.run(bundle));
    expect(readFileSync(log, "utf8")).toBe(`${realpathSync(bundle.dir)}\n`.repeat(kinds.length));
    const other = scene.bundle({ args: ["true"], hooks: { poststop: [hook] } });
    mustSucceed((await scene.create(other)).ran);
    rmSync(other.dir, { recursive: true });
    const deleted = await scene.delete(other.id, "--force");
    expect(deleted).toMatchObject({ code: 0, stderr: "" });
    expect(readFileSync(log, "utf8").split("\n")).toHaveLength(kinds.length + 2);
  });

  test("createContainer hooks start in the root file system, seen from the host", async () => {
    const scene = await openScene();
    const hook = { path: "/bin/sh", args: ["sh", "-c", "pwd"], env: ["PATH=/bin"] };
    const ran = await scene.runIn({ args: ["true"], hooks: { createContainer: [hook] } });
    expect(mustSucceed(ran).stdout).toBe(`${realpathSync(scene.rootfs)}\n`);
  });

  test("what a startContainer hook says on the container's terminal is shown when it fails", async () => {
    const scene = await openScene();
    const hook = { path: "/bin/sh", args: ["sh", "-c", "echo said by the hook; exit 3"] };
    const bundle = scene.bundle({
      process: { terminal: true, args: ["true"] },
      hooks: { startContainer: [hook] },
    });
    const ran = await scene.runOnTerminal(bundle);
    expect(ran.code).toBe(1);
    expect(ran.stdout).toContain("said by the hook");
  });

  test("a failing startContainer hook keeps the program from running", async () => {
    const scene = await openScene();
    const hook = { path: "/bin/sh", args: ["sh", "-c", "exit 3"] };
    const bundle = scene.bundle({ sh: "echo ran", hooks: { startContainer: [hook] } });
    const { output } = await scene.create(bundle);
    await scene.start(bundle.id);
    await Bun.sleep(100);
    expect(output.stdout()).toBe("");
    await scene.delete(bundle.id, "--force");
  });

  test("a failing poststop hook does not keep the container from going", async () => {
    const scene = await openScene();
    const hooks = {
      poststop: [{ path: "/bin/sh", args: ["sh", "-c", "exit 3"] }, recorder(scene, "after")],
    };
    const bundle = scene.bundle({ args: ["true"], hooks });
    await scene.create(bundle);
    await scene.start(bundle.id);
    await scene.waitForStatus(bundle.id, "stopped");
    await scene.delete(bundle.id);
    expect(await scene.state(bundle.id)).toBeNull();
    expect(records(scene).map(({ kind }) => kind)).toEqual(["after"]);
  });

  test("a hook that takes longer than its timeout is killed, and with it the creation", async () => {
    const scene = await openScene();
    const slow = recorder(scene, "slow", { timeout: 1, args: ["sh", "-c", "exec sleep 20"] });
    const bundle = scene.bundle({ args: ["true"], hooks: { createRuntime: [slow] } });
    const { ran } = await scene.create(bundle);
    expect(ran.code).not.toBe(0);
    expect(ran.wallMs).toBeGreaterThan(900);
    expect(ran.wallMs).toBeLessThan(8_000);
    expect(await scene.state(bundle.id)).toBeNull();
  });

  test("a program that does not exist is a failing hook", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({
      args: ["true"],
      hooks: { createRuntime: [{ path: "/no/such/hook" }] },
    });
    expect((await scene.run(bundle)).code).not.toBe(0);
  });

  test("a hook that ends without reading the state is no failure, long or short", async () => {
    const scene = await openScene();
    const annotations = { long: "x".repeat(200_000) };
    // The moment between its end and our writing is short: many hooks, so that some meet it.
    const hooks = { createRuntime: Array.from({ length: 40 }, () => ({ path: "/bin/true" })) };
    mustSucceed(await scene.runIn({ args: ["true"], hooks }));
    mustSucceed(await scene.runIn({ args: ["true"], hooks, annotations }));
  });

  test("a hook that reads late gets the whole of a long state", async () => {
    const scene = await openScene();
    const log = join(scene.dir, "log");
    const annotations = { long: "x".repeat(300_000) };
    const script = `sleep 0.2; cat > ${log}`;
    const hook = { path: "/bin/sh", args: ["sh", "-c", script], env: ["PATH=/bin:/usr/bin"] };
    mustSucceed(
      await scene.runIn({ args: ["true"], hooks: { createRuntime: [hook] }, annotations }),
    );
    expect(JSON.parse(readFileSync(log, "utf8")).annotations).toEqual(annotations);
  });

  test("the time limit holds too for a hook that does not read a long state", async () => {
    const scene = await openScene();
    const annotations = { long: "x".repeat(200_000) };
    const slow = recorder(scene, "slow", { timeout: 1, args: ["sh", "-c", "exec sleep 20"] });
    const hooks = { createRuntime: [slow] };
    const { ran } = await scene.create(scene.bundle({ args: ["true"], hooks, annotations }));
    expect(ran.code).not.toBe(0);
    expect(ran.wallMs).toBeLessThan(patiently(8_000));
  });
});
