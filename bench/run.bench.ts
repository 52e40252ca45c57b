/**
 * A container from its bundle to its end: `run`, and `create`, `start`, `delete` one by one; `exec` into
 * one that runs. Both sides get the same bundle. A runtime may keep the seccomp filters it has compiled; tare does, by the
 * profile's hash, so every row finds one but "new profile", where each pair has a profile of its own.
 */
import { join } from "node:path";
import { busyboxRootfs, copyRootfs } from "../tests/harness/fixtures.ts";
import type { Bench, Prepared, Surroundings } from "./harness/bench.ts";
import { rewriteConfig, withNewProfile, writeDockerLikeBundle } from "./harness/bundle.ts";
import type { Bars, Contest, Side } from "./harness/contest.ts";
import { SETTLE, THEN } from "./harness/measure.ts";
import { STATE_DIR } from "./harness/place.ts";

type Scene = { readonly root: string; readonly bundle: string; readonly id: string };
type Runtime = { readonly label: string; readonly program: string };
type Lifecycle = (runtime: Runtime, scene: Scene) => Side;

export const RUN: Bench = { name: "run", prepare };

async function prepare(around: Surroundings): Promise<Prepared> {
  const program = around.programs.ours.get("tare-runtime");
  if (program === undefined) return { contests: [], missing: "dist/tare-runtime is not built" };
  const ours = { label: "tare-runtime", program };
  const rootfs = await copyRootfs(await busyboxRootfs(), join(around.scratch, "run-rootfs"));
  const wish = { dir: join(around.scratch, "run-bundle"), cgroup: `${around.mark}-c`, rootfs };
  const config = writeDockerLikeBundle(wish);
  const scene = { root: STATE_DIR, bundle: wish.dir, id: wish.cgroup };
  const usual = () => rewriteConfig(wish.dir, config);
  let profiles = 0;
  const unseen = () => rewriteConfig(wish.dir, withNewProfile(config, profiles++));
  const contests: Contest[] = [];
  for (const name of ["crun", "runc"] as const) {
    const found = around.programs.peers.get(name);
    if (found === undefined) continue;
    const peer = { label: name, program: found };
    const bars = BARS[name];
    const contest = (what: string, make: Lifecycle, before: () => void, limits: Bars): Contest => ({
      name: `${what}, ${name}`,
      ours: make(ours, scene),
      peer: make(peer, scene),
      bars: limits,
      pairs: name === "crun" ? 200 : 100,
      before,
    });
    contests.push(contest("run", runOnce, usual, bars.run));
    contests.push(contest("run, new profile", runOnce, unseen, {}));
    contests.push(contest("create, start, delete", stepByStep, usual, bars.steps));
    const guest = { ...scene, id: `${scene.id}-${name}` };
    const enter = (runtime: Runtime): Side => execOnce(runtime, startGuest(runtime, guest, rootfs));
    const limits = bars.exec;
    const pairs = name === "crun" ? 200 : 100;
    contests.push({
      name: `exec, ${name}`,
      ours: enter(ours),
      peer: enter(peer),
      bars: limits,
      pairs,
    });
  }
  return contests.length > 0
    ? { contests }
    : { contests, missing: "neither crun nor runc is here" };
}

const BARS: Record<
  "crun" | "runc",
  { readonly run: Bars; readonly steps: Bars; readonly exec: Bars }
> = {
  crun: {
    run: { wallRatio: 0.6, peakRatio: 1 },
    steps: { wallRatio: 0.7 },
    exec: { wallRatio: 0.7, peakRatio: 1 },
  },
  runc: { run: { wallRatio: 0.2 }, steps: {}, exec: {} },
};

/** A container that only sleeps, until the place of the bench is taken away. */
function startGuest(runtime: Runtime, { root, id }: Scene, rootfs: string): Scene {
  const guest = { root, id: `${id}-${runtime.label}`, bundle: `${rootfs}-${id}-${runtime.label}` };
  const wish = { dir: guest.bundle, cgroup: guest.id, rootfs };
  const config = writeDockerLikeBundle(wish);
  rewriteConfig(wish.dir, {
    ...config,
    process: { ...config.process, args: ["sleep", "100000"] },
  });
  const words = [...command(runtime, guest), "run", "--detach", "--bundle", wish.dir, guest.id];
  // Its streams are no pipes: the container would hold them open.
  const started = Bun.spawnSync(words, { stdio: ["ignore", Bun.file("/dev/null"), "inherit"] });
  if (started.exitCode === 0) return guest;
  throw new Error(`Cannot start a container with ${runtime.label}: ${started.exitCode}`);
}

function execOnce(runtime: Runtime, scene: Scene): Side {
  return { label: runtime.label, words: [...command(runtime, scene), "exec", scene.id, "true"] };
}

function runOnce(runtime: Runtime, scene: Scene): Side {
  const words = [...command(runtime, scene), "run", "--bundle", scene.bundle, scene.id];
  return { label: runtime.label, words };
}

/** The container has ended before it is deleted: nobody waits for it there. */
function stepByStep(runtime: Runtime, scene: Scene): Side {
  const start = command(runtime, scene);
  const words = [
    ...[...start, "create", "--bundle", scene.bundle, scene.id, THEN],
    ...[...start, "start", scene.id, SETTLE],
    ...[...start, "delete", scene.id],
  ];
  return { label: runtime.label, words };
}

/** Each runtime has its own state directory. */
function command({ label, program }: Runtime, { root }: Scene): string[] {
  return [program, "--root", join(root, label)];
}
