/** A terminal inside: the pty, its size, its keys, the caller's terminal restored, the console socket. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { mustSucceed } from "../harness/fixtures.ts";
import { patiently } from "../harness/places.ts";
import { run, runOnTerminal, until } from "../harness/run.ts";
import { openScene, type Scene, type SceneBundleOptions } from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

function terminalBundle(scene: Scene, options: SceneBundleOptions) {
  return scene.bundle({
    ...options,
    edit: (config) => {
      config.process.terminal = true;
      options.edit?.(config);
    },
  });
}

describe("run on a terminal", () => {
  test("all three streams are a pty of the container's own, with the caller's size", async () => {
    const scene = await openScene();
    const bundle = terminalBundle(scene, { args: ["/t/report"] });
    const ran = await scene.runOnTerminal(bundle, { columns: 91, rows: 37 });
    const got = JSON.parse(ran.stdout);
    expect(got).toMatchObject({ terminal: true, columns: 91, rows: 37, pid: 1, sid: 1 });
    expect(Object.keys(got.fds)).toEqual(["0", "1", "2"]);
    for (const fd of ["0", "1", "2"]) expect(got.fds[fd]).toMatch(/^\/dev\/(pts\/0|console)$/);
  });

  test("it is the controlling terminal, /dev/console and /dev/tty", async () => {
    const scene = await openScene();
    const bundle = terminalBundle(scene, {
      sh: "tty; stat -c '%F %t' /dev/console; echo to tty > /dev/tty; echo to console > /dev/console",
    });
    const ran = await scene.runOnTerminal(bundle);
    const lines = ran.stdout.split(/\r*\n/);
    expect(lines[0]).toMatch(/^\/dev\/(pts\/0|console)$/);
    expect(lines.slice(1)).toEqual(["character special file 88", "to tty", "to console", ""]);
  });

  test("what is typed arrives, what is printed shows, the exit code passes", async () => {
    const scene = await openScene();
    const bundle = terminalBundle(scene, { sh: 'echo ready; read line; echo "got $line"; exit 5' });
    const ran = await scene.runOnTerminal(bundle, {
      act: async (terminal) => {
        await terminal.waitFor("ready");
        terminal.type("hello\r");
      },
    });
    expect(ran.stdout).toContain("got hello");
    expect(ran.code).toBe(5);
  });

  test("the interrupt key reaches the program and not the runtime", async () => {
    const scene = await openScene();
    const bundle = terminalBundle(scene, {
      sh: "trap 'echo interrupted; exit 6' INT; echo ready; while :; do sleep 0.05; done",
    });
    const ran = await scene.runOnTerminal(bundle, {
      act: async (terminal) => {
        await terminal.waitFor("ready");
        terminal.type("\x03");
      },
    });
    expect(ran.stdout).toContain("interrupted");
    expect(ran.code).toBe(6);
  });

  test("end of file is the key for it", async () => {
    const scene = await openScene();
    const bundle = terminalBundle(scene, { sh: "echo ready; cat; echo end" });
    const ran = await scene.runOnTerminal(bundle, {
      act: async (terminal) => {
        await terminal.waitFor("ready");
        terminal.type("\x04");
      },
    });
    expect(ran.stdout).toContain("end");
    expect(ran.code).toBe(0);
  });

  test("a new size is passed on", async () => {
    const scene = await openScene();
    const bundle = terminalBundle(scene, {
      sh: "trap 'echo size $(stty size)' WINCH; echo ready; while :; do sleep 0.05; done",
    });
    await scene.runOnTerminal(bundle, {
      columns: 80,
      rows: 24,
      act: async (terminal) => {
        await terminal.waitFor("ready");
        terminal.resize(123, 45);
        await terminal.waitFor("size 45 123");
        await scene.kill(bundle.id, "KILL");
      },
    });
  });

  test("long output comes whole and in order", async () => {
    const scene = await openScene();
    const ran = await scene.runOnTerminal(terminalBundle(scene, { sh: "seq 1 20000" }));
    const lines = ran.stdout.trim().split(/\r*\n/);
    expect(lines).toHaveLength(20_000);
    expect(lines.every((line, index) => line === String(index + 1))).toBeTrue();
  });

  test("the caller's terminal is as it was, also after a killed container", async () => {
    const scene = await openScene();
    for (const sh of ["stty raw", "kill -9 $$", "exit 3"]) {
      const bundle = terminalBundle(scene, { sh });
      const argv = scene.command("run", "--bundle", bundle.dir, bundle.id);
      const [before, after] = [join(scene.dir, "before"), join(scene.dir, "after")];
      const script = `stty -a > ${before}; "$@"; stty -a > ${after}`;
      await runOnTerminal(["bash", "-c", script, "bash", ...argv], {
        env: { TARE_TEST_MARK: scene.mark },
      });
      expect(readFileSync(after, "utf8")).toBe(readFileSync(before, "utf8"));
    }
  });

  test("a terminal that goes away is no failure of the container", async () => {
    const scene = await openScene();
    const bundle = terminalBundle(scene, {
      sh: "trap 'exit 9' HUP; echo ready; while :; do sleep 0.05; done",
    });
    const ran = await scene.runOnTerminal(bundle, {
      act: async (terminal) => {
        await terminal.waitFor("ready");
        terminal.hangUp();
      },
    });
    expect(ran).toMatchObject({ code: 9, timedOut: false });
  });

  test("an ordinary user owns its terminal", async () => {
    const scene = await openScene();
    const bundle = terminalBundle(scene, {
      sh: "echo typed > /dev/tty; stat -c %u /proc/self/fd/0 -L",
      edit: (config) => {
        config.process.user = { uid: 1000, gid: 1000 };
      },
    });
    const ran = await scene.runOnTerminal(bundle);
    expect(ran.stdout).toMatch(/^typed\r*\n1000\r*\n$/);
  });
});

describe("input that ends", () => {
  test.each([
    ["whole lines", "one\ntwo\n", "one two"],
    ["a line that is not complete", "one\ntwo", "one two"],
  ])("ends the terminal's, after %s", async (_what, stdin, words) => {
    const scene = await openScene();
    const bundle = terminalBundle(scene, { sh: "echo got $(cat)" });
    const ran = await scene.run(bundle, { stdin });
    expect(ran.code).toBe(0);
    // What was not complete shows on its own line: the terminal echoes it.
    expect(ran.stdout.trim()).toEndWith(`got ${words}`);
  });
});

describe("create with a console socket", () => {
  async function createWithConsole(scene: Scene, options: SceneBundleOptions, size: string[] = []) {
    const socket = join(scene.dir, "console");
    const receiver = run([join(scene.rootfs, "t/receive-terminal"), socket, ...size], {
      env: { TARE_TEST_MARK: scene.mark },
      stdin: "typed\n",
    });
    await until(
      () => Bun.spawnSync(["test", "-S", socket]).exitCode === 0,
      5_000,
      () => "the socket",
    );
    const bundle = terminalBundle(scene, options);
    const { ran } = await scene.create(bundle, { flags: ["--console-socket", socket] });
    return { bundle, ran, receiver };
  }

  test("the caller gets the terminal and everything on it", async () => {
    const scene = await openScene();
    const sh = 'read line; echo "got $line"; stty size';
    const { bundle, ran, receiver } = await createWithConsole(scene, { sh }, ["77", "33"]);
    mustSucceed(ran);
    await scene.start(bundle.id);
    const { stdout } = await receiver;
    await scene.waitForStatus(bundle.id, "stopped");
    await scene.delete(bundle.id);
    expect(stdout).toStartWith("listening\nterminal\n");
    expect(stdout).toContain("got typed");
    expect(stdout).toContain("33 77");
  });

  test("the configured size is set", async () => {
    const scene = await openScene();
    const { bundle, receiver } = await createWithConsole(scene, {
      sh: "stty size",
      edit: (config) => {
        config.process.consoleSize = { height: 21, width: 65 };
      },
    });
    await scene.start(bundle.id);
    expect((await receiver).stdout).toContain("21 65");
    await scene.waitForStatus(bundle.id, "stopped");
    await scene.delete(bundle.id);
  });

  test("a terminal without a socket and a socket without a terminal are refused", async () => {
    const scene = await openScene();
    const without = terminalBundle(scene, { args: ["true"] });
    expect((await scene.create(without)).ran.code).not.toBe(0);
    expect(await scene.state(without.id)).toBeNull();
    const plain = scene.bundle({ args: ["true"] });
    const flags = ["--console-socket", join(scene.dir, "nowhere")];
    expect((await scene.create(plain, { flags })).ran.code).not.toBe(0);
    expect(await scene.state(plain.id)).toBeNull();
  });
});

// TIOCSTI puts a character into a terminal's input, as if it had been typed.
describe("a process inside types nothing into the caller's terminal", () => {
  const PUSH = "16 0 0x5412";
  const push = `for fd in 0 1 2; do /t/call 16 $fd 0x5412 's:X'; /t/call 16 $fd 0x5412 's:
'; done; /t/call ${PUSH} s:Y < /dev/tty; /t/call ${PUSH} s:Y < /dev/console; true`;

  /** What can be read from the caller's terminal after a command was run on it. */
  async function typed(scene: Scene, argv: readonly string[]): Promise<string> {
    const script = '"$@"; read -r -t 1 typed; echo "left [$typed]"';
    const ran = await runOnTerminal(["bash", "-c", script, "bash", ...argv], {
      env: { TARE_TEST_MARK: scene.mark },
    });
    expect(ran.stdout).toContain("ret ");
    return ran.stdout.slice(ran.stdout.lastIndexOf("left ")).trim();
  }

  test("which who may do it does type", async () => {
    const scene = await openScene();
    const call = join(scene.rootfs, "t/call");
    const script = `${call} ${PUSH} s:X; ${call} ${PUSH} 's:\n'`;
    expect(await typed(scene, ["bash", "-c", script])).toBe("left [X]");
  });

  test.each([
    ["with a terminal of its own", true],
    ["on the caller's streams", false],
  ])("run, %s", async (_name, terminal) => {
    const scene = await openScene();
    const bundle = terminal ? terminalBundle(scene, { sh: push }) : scene.bundle({ sh: push });
    const argv = scene.command("run", "--bundle", bundle.dir, bundle.id);
    expect(await typed(scene, argv)).toBe("left []");
  });

  test.each([
    ["with a terminal of its own", ["--tty"]],
    ["on the caller's streams", []],
  ])("exec, %s", async (_name, flags) => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["sleep", "60"] });
    mustSucceed((await scene.create(bundle)).ran);
    mustSucceed(await scene.start(bundle.id));
    scene.defer(() => scene.delete(bundle.id, "--force"));
    const argv = scene.command("exec", ...flags, bundle.id, "sh", "-c", push);
    expect(await typed(scene, argv)).toBe("left []");
  });
});

test("without a terminal in the configuration the streams are passed as they are", async () => {
  const scene = await openScene();
  const bundle = scene.bundle({ args: ["/t/report"] });
  const got = JSON.parse((await scene.run(bundle)).stdout);
  expect(got.terminal).toBeFalse();
  expect(got.fds["1"]).toMatch(/^(pipe|socket):/);
});
