/** SCMP_ACT_NOTIFY: an agent on the host gets the listener and answers. Numbers are x86-64's. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { startAgent } from "../harness/agents.ts";
import type { Json, JsonObject } from "../harness/bundle.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { patiently } from "../harness/places.ts";
import { openScene } from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

const MKDIR = 83;
const WAIT4 = 61;
const EXECVE = 59;
const CAPSET = 126;
/** No medium found: nothing in here gives it by itself. */
const ENOMEDIUM = 123;

function notifying(listenerPath: string, names: string[], more: JsonObject = {}): Json {
  return {
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    listenerPath,
    syscalls: [{ names, action: "SCMP_ACT_NOTIFY" }],
    ...more,
  };
}

const isMissing = Bun.which("python3") === null;
if (isMissing) console.warn("skipped: the agent needs python3");

describe.skipIf(isMissing)("an agent", () => {
  test.each([true, false])("decides, with no_new_privs %p", async (noNewPrivileges) => {
    const scene = await openScene();
    const agent = await startAgent(scene, { [MKDIR]: ENOMEDIUM });
    const ran = await scene.runIn({
      sh: "mkdir /dev/shm/a; echo $?",
      process: { noNewPrivileges },
      linux: { seccomp: notifying(agent.path, ["mkdir"]) },
    });
    expect(ran.stderr).toContain("No medium found");
    expect(ran).toMatchObject({ stdout: "1\n", code: 0 });
    expect((await agent.heard()).calls).toEqual([MKDIR]);
  });

  test("is told which container it is", async () => {
    const scene = await openScene();
    const agent = await startAgent(scene);
    const bundle = scene.bundle({
      args: ["sleep", "60"],
      annotations: { "a.b": "c" },
      linux: { seccomp: notifying(agent.path, ["mkdir"], { listenerMetadata: "meta é" }) },
    });
    mustSucceed((await scene.create(bundle)).ran);
    expect((await agent.heard()).states).toEqual([]);
    mustSucceed(await scene.start(bundle.id));
    const state = await scene.state(bundle.id);
    expect((await agent.heard()).states).toEqual([
      {
        fds: 1,
        state: {
          ociVersion: expect.stringMatching(/^1\./),
          fds: ["seccompFd"],
          pid: state?.pid,
          metadata: "meta é",
          state: {
            ociVersion: expect.stringMatching(/^1\./),
            id: bundle.id,
            status: "created",
            pid: state?.pid,
            bundle: bundle.dir,
            annotations: { "a.b": "c" },
          },
        },
      },
    ]);
    mustSucceed(await scene.delete(bundle.id, "--force"));
  });

  test.each([true, false])(
    "may be asked about whatever comes after the filter, with no_new_privs %p",
    async (noNewPrivileges) => {
      const scene = await openScene();
      const agent = await startAgent(scene);
      const names = "wait4 execve capset prctl rt_sigprocmask sendmsg recvmsg read close fcntl";
      const more = `${names} openat open brk mmap futex clone clone3 exit_group`.split(" ");
      const ran = await scene.runIn({
        args: ["echo", "done"],
        process: { noNewPrivileges },
        linux: { seccomp: notifying(agent.path, more) },
      });
      expect(ran).toMatchObject({ stdout: "done\n", code: 0 });
      const { calls } = await agent.heard();
      expect(calls).toEqual(expect.arrayContaining([WAIT4, EXECVE]));
      expect(calls.includes(CAPSET)).toBe(!noNewPrivileges);
    },
  );

  test("has a listener of its own for a further process", async () => {
    const scene = await openScene();
    const agent = await startAgent(scene, { [MKDIR]: ENOMEDIUM });
    const bundle = scene.bundle({
      args: ["sleep", "60"],
      linux: { seccomp: notifying(agent.path, ["mkdir", "wait4", "execve"]) },
    });
    mustSucceed((await scene.create(bundle)).ran);
    mustSucceed(await scene.start(bundle.id));
    const ran = await scene.verb("exec", bundle.id, "mkdir", "/dev/shm/a");
    expect(ran.stderr).toContain("No medium found");
    const { states, calls } = await agent.heard();
    expect(states).toHaveLength(2);
    expect(calls).toEqual(expect.arrayContaining([MKDIR, EXECVE]));
    mustSucceed(await scene.delete(bundle.id, "--force"));
  });

  test("that refuses the wait for the hand-over holds nothing up", async () => {
    const scene = await openScene();
    const agent = await startAgent(scene, { [WAIT4]: ENOMEDIUM });
    const seccomp = notifying(agent.path, ["wait4"]);
    const ran = await scene.runIn({ args: ["echo", "done"], linux: { seccomp } });
    expect(ran).toMatchObject({ stdout: "done\n", code: 0 });
  });

  test("on a path that is longer than an address has room for", async () => {
    const scene = await openScene();
    const agent = await startAgent(scene, { [MKDIR]: ENOMEDIUM });
    const link = join(scene.dir, "d".repeat(100));
    symlinkSync(scene.dir, link);
    const long = join(link, basename(agent.path));
    expect(long.length).toBeGreaterThan(107);
    const seccomp = notifying(long, ["mkdir"]);
    const ran = await scene.runIn({ sh: "mkdir /dev/shm/a", linux: { seccomp } });
    expect(ran.stderr).toContain("No medium found");
    expect((await agent.heard()).states).toHaveLength(1);
  });

  test("with calls that end only with the container: WAIT_KILLABLE_RECV", async () => {
    const scene = await openScene();
    const agent = await startAgent(scene, { [MKDIR]: ENOMEDIUM });
    const flags = ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_LOG"];
    const seccomp = notifying(agent.path, ["mkdir"], { flags });
    const ran = await scene.runIn({ sh: "mkdir /dev/shm/a", linux: { seccomp } });
    expect(ran.stderr).toContain("No medium found");
  });

  test("that ends leaves ENOSYS", async () => {
    const scene = await openScene();
    const agent = await startAgent(scene);
    const running = scene.runIn({
      sh: "sleep 1; mkdir /dev/shm/a",
      linux: { seccomp: notifying(agent.path, ["mkdir"]) },
    });
    while ((await agent.heard()).states.length === 0) await Bun.sleep(5);
    agent.stop();
    expect((await running).stderr).toContain("Function not implemented");
  });

  test("leaves no descriptor and no process in the container", async () => {
    const scene = await openScene();
    const agent = await startAgent(scene);
    const ran = await scene.runIn({
      sh: "set -- /proc/[0-9]*; echo $#; ls /proc/self/fd | wc -l",
      linux: { seccomp: notifying(agent.path, ["mkdir"]) },
    });
    // The shell alone; three streams and the directory itself.
    expect(ran.stdout).toBe("1\n4\n");
  });
});

describe("without an agent", () => {
  test("run and start fail, and nothing is left", async () => {
    const scene = await openScene();
    const seccomp = notifying(join(scene.dir, "nobody.sock"), ["mkdir", "wait4"]);
    const ran = await scene.runIn({ sh: "echo ran", linux: { seccomp } });
    expect(ran).toMatchObject({ stdout: "", code: 1 });
    expect(ran.stderr).toContain("failed to connect with seccomp agent");

    const bundle = scene.bundle({ sh: "echo ran", linux: { seccomp } });
    mustSucceed((await scene.create(bundle)).ran);
    expect((await scene.start(bundle.id)).code).toBe(1);
    await scene.waitForStatus(bundle.id, "stopped");
    mustSucceed(await scene.delete(bundle.id));
  });

  test("a path is demanded where a rule notifies, and has no meaning elsewhere", async () => {
    const scene = await openScene();
    const none = await scene.runIn({
      sh: "echo ran",
      linux: { seccomp: notifying("", ["mkdir"]) },
    });
    expect(none).toMatchObject({ stdout: "", code: 1 });
    const seccomp = notifying("/nowhere.sock", ["mkdir"], { syscalls: [] });
    const ran = await scene.runIn({ sh: "echo ran", linux: { seccomp } });
    expect(ran).toMatchObject({ stdout: "ran\n", code: 0 });
  });
});
