/**
 * The runtime is killed at fifty moments: after `delete --force` nothing is left. Every process of
 * the runtime counts, so each round kills one of those alive at the moment.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { Random } from "../fuzz/random.ts";
import { findProcesses } from "../harness/census.ts";
import { patiently } from "../harness/places.ts";
import { OutputFiles, runToFiles } from "../harness/run.ts";
import { openScene, type Scene, type SceneBundle } from "../harness/scene.ts";

setDefaultTimeout(patiently(180_000));

const ROUNDS = 50;
/** The same delays each time. */
const random = new Random(1);
/** Longer than a start takes anywhere; short delays are the most frequent, see below. */
const DELAY_MS_MAX = 40;

async function killOneLater(scene: Scene, starter: number): Promise<void> {
  await Bun.sleep(random.fraction() ** 2 * DELAY_MS_MAX);
  const ours = findProcesses(scene.scope).map(({ pid }) => pid);
  const victims = ours.filter((pid) => pid === starter || isRuntime(pid));
  const victim = victims[random.below(victims.length)];
  if (victim === undefined) return;
  try {
    process.kill(victim, "SIGKILL");
  } catch {
    // It ended in the same moment.
  }
}

/** True for a process that still runs the runtime and not yet the container's program. */
function isRuntime(pid: number): boolean {
  try {
    return !/^(sleep|\/bin\/sleep)\0/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
  } catch {
    return false;
  }
}

async function crashAndClean(
  scene: Scene,
  bundle: SceneBundle,
  crash: (bundle: SceneBundle) => Promise<unknown>,
): Promise<void> {
  await crash(bundle);
  const deleted = await scene.delete(bundle.id, "--force");
  expect(deleted).toMatchObject({ code: 0, stderr: "" });
  expect(await scene.leaks()).toEqual([]);
}

test("run: after kill -9 of any of its processes, delete --force leaves nothing", async () => {
  const scene = await openScene();
  using output = new OutputFiles();
  for (let round = 0; round < ROUNDS / 2; round++) {
    const bundle = scene.bundle({ args: ["sleep", "100"] });
    await crashAndClean(scene, bundle, async () => {
      // Files, because a container that outlives its runtime would keep a pipe open.
      const argv = scene.command("run", "--bundle", bundle.dir, bundle.id);
      let killing: Promise<void> | undefined;
      const ending = runToFiles(argv, output, {
        env: { TARE_TEST_MARK: scene.mark },
        onStart: (pid) => {
          killing = killOneLater(scene, pid).then(() => endQuietly(pid));
        },
      });
      await killing;
      await ending;
    });
  }
});

test("create and start: the same", async () => {
  const scene = await openScene();
  for (let round = 0; round < ROUNDS / 2; round++) {
    const bundle = scene.bundle({ args: ["sleep", "100"] });
    await crashAndClean(scene, bundle, async () => {
      let killing: Promise<void> | undefined;
      await scene.create(bundle, {
        onStart: (pid) => {
          killing = killOneLater(scene, pid);
        },
      });
      await killing;
      await scene.start(bundle.id);
    });
  }
});

test("delete: killed in the middle, a second delete --force finishes it", async () => {
  const scene = await openScene();
  for (let round = 0; round < 10; round++) {
    const bundle = scene.bundle({ args: ["sleep", "100"] });
    await scene.create(bundle);
    await crashAndClean(scene, bundle, async () => {
      const child = Bun.spawn(scene.command("delete", "--force", bundle.id), {
        env: { ...process.env, TARE_TEST_MARK: scene.mark },
        stdout: "ignore",
        stderr: "ignore",
      });
      await Bun.sleep(random.fraction() * 10);
      child.kill("SIGKILL");
      await child.exited;
    });
  }
});

test("a state that cannot be read does not stop work on the other containers", async () => {
  const scene = await openScene();
  const good = scene.bundle({ args: ["sleep", "30"] });
  const bad = scene.bundle({ args: ["sleep", "30"] });
  await scene.create(good);
  await scene.create(bad);
  const files = stateFiles(scene, bad.id);
  expect(files.size).toBeGreaterThan(0);
  for (const path of files.keys()) writeFileSync(path, "{");
  const listed = (await scene.verb("list", "-q")).stdout;
  const state = await scene.state(good.id);
  for (const [path, bytes] of files) writeFileSync(path, bytes);
  await scene.delete(good.id, "--force");
  await scene.delete(bad.id, "--force");
  expect(listed).toContain(good.id);
  expect(state).toMatchObject({ status: "created" });
});

/** The regular files of a container's state directory and their content. */
function stateFiles(scene: Scene, id: string): Map<string, Buffer> {
  const dir = `${scene.stateRoot}/${id}`;
  const files = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(files.map(({ name }) => [`${dir}/${name}`, readFileSync(`${dir}/${name}`)]));
}

/** The foreground runtime lives on where another process was hit: its container would run for ever. */
function endQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It was the one that was hit.
  }
}
