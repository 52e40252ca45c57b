/** As a service of systemd: NOTIFY_SOCKET and LISTEN_FDS. The service manager is a program of the test. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { copyRootfs, mustSucceed } from "../harness/fixtures.ts";
import { patiently, runtimeProgram } from "../harness/places.ts";
import { run } from "../harness/run.ts";
import { openScene, type Scene, type SceneBundle } from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

/** Prints each datagram as JSON with the descriptors that came, and closes those. */
const MANAGER = `
import array, json, os, socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind("\\0" + sys.argv[1][1:] if sys.argv[1][0] == "@" else sys.argv[1])
print(json.dumps("ready"), flush=True)
while True:
    text, fds, _, _ = socket.recv_fds(server, 4096, 4)
    print(json.dumps(text.decode()), flush=True)
    for fd in fds:
        os.close(fd)
`;

/** Sends words from inside: busybox has no client for datagrams. */
const SAY = `import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
# A socket's whole path may be longer than an address.
os.chdir(os.path.dirname(sys.argv[1]))
s.sendto(sys.argv[2].encode(), os.path.basename(sys.argv[1]))
`;

const isMissing = Bun.which("python3") === null;
if (isMissing) console.warn("skipped: the service manager needs python3");

async function startManager(scene: Scene, address: string) {
  const child = Bun.spawn(["python3", "-c", MANAGER, address], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  const reading = (async () => {
    for await (const part of child.stdout) text += new TextDecoder().decode(part);
  })();
  scene.defer(async () => {
    child.kill(9);
    await reading;
  });
  const heard = () => {
    const lines = text.split("\n").filter((line) => line !== "");
    return lines.slice(1).map((line) => JSON.parse(line) as string);
  };
  while (text === "") await Bun.sleep(5);
  return { heard };
}

/** A root file system of the scene's own, in which the runtime may make /run/notify. */
async function serviceBundle(scene: Scene, sh: string): Promise<SceneBundle> {
  const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
  return scene.bundle({ rootfs, writable: true, sh });
}

/** Says something to the container's socket from the host, by the container's root. */
async function sayInside(
  pid: number,
  words: string,
  socket = "/run/notify/notify.sock",
): Promise<void> {
  const path = `/proc/${pid}/root${socket}`;
  mustSucceed(await run(["python3", "-c", SAY, path, words]));
}

async function until<T>(look: () => T | Promise<T>, isIt: (value: T) => boolean): Promise<T> {
  const end = performance.now() + patiently(10_000);
  for (;;) {
    const value = await look();
    if (isIt(value) || performance.now() > end) return value;
    await Bun.sleep(10);
  }
}

async function runningPid(scene: Scene, id: string): Promise<number> {
  const state = await until(
    () => scene.state(id),
    (each) => each?.status === "running",
  );
  return state?.pid ?? 0;
}

describe.skipIf(isMissing)("NOTIFY_SOCKET", () => {
  test("is made in the container's directory, also where --root is relative", async () => {
    const scene = await openScene();
    const bundle = await serviceBundle(scene, "ls /run/notify");
    const words = ["--root", "state", "run", "--bundle", bundle.dir, bundle.id];
    const env = { NOTIFY_SOCKET: join(scene.dir, "nobody.sock") };
    const ran = await run([runtimeProgram(), ...words], { cwd: scene.dir, env });
    expect(ran).toMatchObject({ stdout: "notify.sock\n", code: 0 });
  });

  test("run in the foreground passes the word on, and names itself", async () => {
    const scene = await openScene();
    const address = join(scene.dir, "manager.sock");
    const manager = await startManager(scene, address);
    const bundle = await serviceBundle(scene, "echo $NOTIFY_SOCKET; ls /run/notify; read x < /go");
    mustSucceed(await run(["mkfifo", join(scene.dir, "rootfs/go")]));
    const running = scene.run(bundle, { env: { NOTIFY_SOCKET: address } });
    const pid = await runningPid(scene, bundle.id);
    await sayInside(pid, "STATUS=half way\nMAINPID=1\n");
    await sayInside(pid, "READY=1\nSTATUS=hostile\nMAINPID=1\n");
    const [words] = await until(manager.heard, ({ length }) => length > 0);
    expect(words).toMatch(/^READY=1\nMAINPID=\d+\n$/);
    expect(words).not.toContain(`=${pid}\n`);
    mustSucceed(await run(["sh", "-c", `echo > ${scene.dir}/rootfs/go`]));
    expect(await running).toMatchObject({
      stdout: "/run/notify/notify.sock\nnotify.sock\n",
      code: 0,
    });
    expect(manager.heard()).toHaveLength(1);
  });

  test("called as crun it lies below the path of the host's", async () => {
    const scene = await openScene();
    const address = join(scene.dir, "manager.sock");
    const manager = await startManager(scene, address);
    const bundle = await serviceBundle(scene, `echo $NOTIFY_SOCKET; ls ${address}; read x < /go`);
    mustSucceed(await run(["mkfifo", join(scene.dir, "rootfs/go")]));
    const crun = join(scene.dir, "crun");
    symlinkSync(runtimeProgram(), crun);
    const [, ...words] = scene.command("run", "--bundle", bundle.dir, bundle.id);
    const env = { TARE_TEST_MARK: scene.mark, NOTIFY_SOCKET: address };
    const running = run([crun, ...words], { env });
    await sayInside(await runningPid(scene, bundle.id), "READY=1", `${address}/notify.sock`);
    await until(manager.heard, ({ length }) => length > 0);
    mustSucceed(await run(["sh", "-c", `echo > ${scene.dir}/rootfs/go`]));
    const stdout = `${address}/notify.sock\nnotify.sock\n`;
    expect(await running).toMatchObject({ stdout, code: 0 });
  });

  test.each([
    ["a path", (scene: Scene) => join(scene.dir, "manager.sock")],
    ["an abstract name", (scene: Scene) => `@${scene.mark}`],
  ])("run -d waits for the word, and hands over the main process: %s", async (_name, addressOf) => {
    const scene = await openScene();
    const address = addressOf(scene);
    const manager = await startManager(scene, address);
    const bundle = await serviceBundle(scene, "exec sleep 60");
    let isBack = false;
    const command = scene.command("run", "-d", "--bundle", bundle.dir, bundle.id);
    const running = run(command, {
      env: { TARE_TEST_MARK: scene.mark, NOTIFY_SOCKET: address },
    }).then((ran) => {
      isBack = true;
      return ran;
    });
    const pid = await runningPid(scene, bundle.id);
    await Bun.sleep(100);
    expect(isBack).toBeFalse();
    await sayInside(pid, "READY=1");
    const heard = await until(manager.heard, ({ length }) => length > 1);
    expect(heard).toEqual([`READY=1\nMAINPID=${pid}\n`, "BARRIER=1"]);
    mustSucceed(await scene.delete(bundle.id, "--force"));
    await running;
  });

  test("start waits where the container was created with a socket; a delete leaves nothing", async () => {
    const scene = await openScene();
    const address = join(scene.dir, "manager.sock");
    const manager = await startManager(scene, address);
    const env = { TARE_TEST_MARK: scene.mark, NOTIFY_SOCKET: address };
    const bundle = await serviceBundle(scene, "exec sleep 60");
    mustSucceed((await scene.create(bundle, { env: { NOTIFY_SOCKET: address } })).ran);
    const starting = run(scene.command("start", bundle.id), { env });
    await sayInside(await runningPid(scene, bundle.id), "READY=1");
    mustSucceed(await starting);
    expect(manager.heard().at(0)).toStartWith("READY=1\n");
    mustSucceed(await scene.delete(bundle.id, "--force"));
    expect(existsSync(join(scene.stateRoot, bundle.id))).toBeFalse();
  });

  test("a container that ends without a word ends the wait", async () => {
    const scene = await openScene();
    const address = join(scene.dir, "manager.sock");
    const manager = await startManager(scene, address);
    const bundle = await serviceBundle(scene, "true");
    const ran = await run(scene.command("run", "-d", "--bundle", bundle.dir, bundle.id), {
      env: { TARE_TEST_MARK: scene.mark, NOTIFY_SOCKET: address },
    });
    expect(ran.code).toBe(0);
    expect(manager.heard()).toEqual([]);
    mustSucceed(await scene.delete(bundle.id, "--force"));
  });

  test("a manager that is not there is a warning: the container runs", async () => {
    const scene = await openScene();
    const bundle = await serviceBundle(scene, "read x < /go; echo ran");
    mustSucceed(await run(["mkfifo", join(scene.dir, "rootfs/go")]));
    const running = scene.run(bundle, { env: { NOTIFY_SOCKET: join(scene.dir, "nobody.sock") } });
    await sayInside(await runningPid(scene, bundle.id), "READY=1");
    mustSucceed(await run(["sh", "-c", `echo > ${scene.dir}/rootfs/go`]));
    const ran = await running;
    expect(ran).toMatchObject({ stdout: "ran\n", code: 0 });
    expect(ran.stderr).toContain("NOTIFY_SOCKET");
  });
});

describe("LISTEN_FDS", () => {
  const SHOW =
    "echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES; readlink /proc/self/fd/3; readlink /proc/self/fd/4; ls /proc/self/fd | wc -l";

  /** Runs with two files as descriptors 3 and 4, whose pid is what LISTEN_PID says. */
  async function listening(scene: Scene, exports: string, flags: string[] = []) {
    const bundle = scene.bundle({ sh: SHOW, process: { env: ["PATH=/bin", "LISTEN_PID=77"] } });
    bundle.config.process.env.push(`TARE_TEST_MARK=${scene.mark}`);
    await Bun.write(join(bundle.dir, "config.json"), JSON.stringify(bundle.config));
    await Bun.write(join(scene.dir, "one"), "");
    await Bun.write(join(scene.dir, "two"), "");
    const command = scene.command("run", ...flags, "--bundle", bundle.dir, bundle.id);
    const script = `exec 3< ${scene.dir}/one 4< ${scene.dir}/two; ${exports}; exec "$@"`;
    const env = { TARE_TEST_MARK: scene.mark };
    return run(["sh", "-c", script, "sh", ...command], { env });
  }

  test("descriptors are passed, with their names and for process 1", async () => {
    const scene = await openScene();
    const ran = await listening(
      scene,
      "export LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=http:https",
    );
    expect(ran.stdout).toMatch(/^2 1 http:https\n\S*\/one\n\S*\/two\n6\n$/);
  });

  test("those of --preserve-fds come behind them", async () => {
    const scene = await openScene();
    const ran = await listening(scene, "export LISTEN_FDS=1 LISTEN_PID=$$", [
      "--preserve-fds",
      "1",
    ]);
    expect(ran.stdout).toMatch(/^1 1\n\S*\/one\n\S*\/two\n6\n$/);
  });

  test("exec passes them on too, and no other", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["sleep", "60"] });
    mustSucceed((await scene.create(bundle)).ran);
    mustSucceed(await scene.start(bundle.id));
    await Bun.write(join(scene.dir, "one"), "");
    const command = scene.command("exec", bundle.id, "sh", "-c", SHOW);
    const script = `exec 3< ${scene.dir}/one; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"`;
    const env = { TARE_TEST_MARK: scene.mark };
    const ran = await run(["sh", "-c", script, "sh", ...command], { env });
    expect(ran.stdout).toMatch(/^1 1\n\S*\/one\n5\n$/);
    mustSucceed(await scene.delete(bundle.id, "--force"));
  });

  test("what is meant for another process is closed", async () => {
    const scene = await openScene();
    const ran = await listening(scene, "export LISTEN_FDS=2 LISTEN_PID=1");
    expect(ran.stdout).toStartWith("77\n");
    expect(ran.stdout).not.toContain("/one");
    expect(ran.stdout).toEndWith("4\n");
  });

  test("a descriptor that is not there is the null device, never one of the runtime's", async () => {
    const scene = await openScene();
    const ran = await listening(scene, "exec 4<&-; export LISTEN_FDS=2 LISTEN_PID=$$");
    expect(ran.stdout).toMatch(/^2 1\n\S*\/one\n\/dev\/null\n/);
  });
});
