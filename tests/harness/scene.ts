/**
 * One test's world: a mark, a temporary directory, a state directory for the runtime, and the
 * runtime's verbs. `openScene` takes the census first and again when the test is over, and fails the
 * test for whatever is left; it also removes it, so that the next test starts clean.
 */
import { onTestFinished } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BundleConfig, type BundleOptions, makeConfig, writeBundle } from "./bundle.ts";
import { type CensusScope, findProcesses, leaksThatStay, takeCensus, ticksNow } from "./census.ts";
import { allCgroups } from "./cgroups.ts";
import { busyboxRootfs, mustSucceed } from "./fixtures.ts";
import { readMountTable } from "./mount-table.ts";
import { requireRoot, runtimeProgram, stubbornly } from "./places.ts";
import {
  OutputFiles,
  type Ran,
  type RunOptions,
  run,
  runOnTerminal,
  runToFiles,
  type TerminalOptions,
} from "./run.ts";

/** What `state` prints; runtime-spec, runtime.md. */
export type StateAnswer = {
  readonly ociVersion: string;
  readonly id: string;
  readonly status: "creating" | "created" | "running" | "stopped" | "paused";
  readonly pid?: number;
  readonly bundle: string;
  readonly annotations?: Record<string, string>;
};

export type SceneBundle = {
  readonly id: string;
  readonly dir: string;
  readonly config: BundleConfig;
};

/** A bundle as tests ask for it: `sh` is the short form of `process.args`. */
export type SceneBundleOptions = Partial<BundleOptions> & {
  /** Run by `sh -c` inside. */
  readonly sh?: string;
  readonly args?: readonly string[];
};

let scenes = 0;

/**
 * Called inside a test.
 * @param options.clean false: the test looks for leaks itself
 */
export async function openScene(options: { readonly clean?: boolean } = {}): Promise<Scene> {
  requireRoot();
  const mark = `tare-e2e-${process.pid}-${++scenes}-${Math.random().toString(36).slice(2, 6)}`;
  const scene = new Scene(mark, await busyboxRootfs(), options.clean ?? true);
  onTestFinished(() => scene.end());
  return scene;
}

export class Scene {
  readonly mark: string;
  /** Mode 0755, so that an ordinary user of a test may pass. */
  readonly dir: string;
  readonly stateRoot: string;
  readonly rootfs: string;
  readonly scope: CensusScope;
  readonly #before;
  readonly #clean: boolean;
  readonly #outputs: OutputFiles[] = [];
  readonly #deferred: (() => unknown)[] = [];
  #containers = 0;

  constructor(mark: string, rootfs: string, clean: boolean) {
    this.mark = mark;
    this.rootfs = rootfs;
    this.#clean = clean;
    this.dir = mkdtempSync(join(tmpdir(), `${mark}-`));
    Bun.spawnSync(["chmod", "755", this.dir]);
    this.stateRoot = join(this.dir, "state");
    mkdirSync(this.stateRoot, { mode: 0o711 });
    // A little earlier: the tick in which it begins is not over.
    const since = ticksNow() - 10;
    this.scope = { mark, since, stateRoots: [this.stateRoot], sharedRoots: ["/run/tare"] };
    this.#before = takeCensus(this.scope);
  }

  /** Writes a bundle below the scene's directory; the id is new. */
  bundle(options: SceneBundleOptions = {}): SceneBundle {
    const id = `${this.mark}-c${++this.#containers}`;
    const { sh, args, ...rest } = options;
    const argv = sh === undefined ? args : ["/bin/sh", "-c", sh];
    const config = makeConfig(id, `TARE_TEST_MARK=${this.mark}`, {
      rootfs: this.rootfs,
      ...rest,
      process: { ...(argv === undefined ? {} : { args: [...argv] }), ...rest.process },
    });
    const dir = join(this.dir, `bundle-${this.#containers}`);
    writeBundle(dir, config);
    return { id, dir, config };
  }

  /** The runtime's command line up to the verb. */
  command(...words: string[]): string[] {
    return [runtimeProgram(), "--root", this.stateRoot, ...words];
  }

  /** `run` of a bundle, in the foreground. */
  run(bundle: SceneBundle, options: RunOptions = {}): Promise<Ran> {
    return run(this.command("run", "--bundle", bundle.dir, bundle.id), this.#marked(options));
  }

  /** Bundle and run in one: the most usual test. */
  runIn(options: SceneBundleOptions, runOptions: RunOptions = {}): Promise<Ran> {
    return this.run(this.bundle(options), runOptions);
  }

  runOnTerminal(bundle: SceneBundle, options: TerminalOptions = {}): Promise<Ran> {
    const argv = this.command("run", "--bundle", bundle.dir, bundle.id);
    return runOnTerminal(argv, this.#marked(options));
  }

  /** `create`; what the container will write goes to the files answered here. */
  async create(
    bundle: SceneBundle,
    options: RunOptions & { readonly flags?: readonly string[] } = {},
  ): Promise<{ readonly ran: Ran; readonly output: OutputFiles }> {
    const output = new OutputFiles();
    this.#outputs.push(output);
    const { flags = [], ...rest } = options;
    const argv = this.command("create", "--bundle", bundle.dir, ...flags, bundle.id);
    return { ran: await runToFiles(argv, output, this.#marked(rest)), output };
  }

  start(id: string): Promise<Ran> {
    return this.verb("start", id);
  }

  kill(id: string, signal: string | number): Promise<Ran> {
    return this.verb("kill", id, String(signal));
  }

  delete(id: string, ...flags: string[]): Promise<Ran> {
    return this.verb("delete", ...flags, id);
  }

  /** Any verb, with the scene's state directory. */
  verb(...words: string[]): Promise<Ran> {
    return run(this.command(...words), this.#marked({}));
  }

  /** The state, or null if the runtime does not know the container. */
  async state(id: string): Promise<StateAnswer | null> {
    const ran = await this.verb("state", id);
    return ran.code === 0 ? (JSON.parse(ran.stdout) as StateAnswer) : null;
  }

  /** Waits for a status; throws after the time limit. */
  async waitForStatus(id: string, status: StateAnswer["status"], timeoutMs = 5_000): Promise<void> {
    const limitMs = stubbornly(timeoutMs);
    const end = performance.now() + limitMs;
    let seen: string | undefined;
    while (performance.now() < end) {
      seen = (await this.state(id))?.status;
      if (seen === status) return;
      await Bun.sleep(10);
    }
    throw new Error(`Waited ${limitMs} ms in vain for "${status}": the container is "${seen}"`);
  }

  /** What the test left behind until now, after giving the kernel a moment. */
  leaks(timeoutMs?: number): Promise<string[]> {
    return leaksThatStay(this.scope, this.#before, timeoutMs);
  }

  /** Runs before the census at the end of the test, last deferred first. */
  defer(step: () => unknown): void {
    this.#deferred.push(step);
  }

  /** Mounts something of the test on this machine until the test ends; makes the point. */
  async mountHost(point: string, ...argv: string[]): Promise<void> {
    mkdirSync(point, { recursive: true });
    mustSucceed(await run(["mount", ...argv, point]));
    this.defer(() => run(["umount", "-l", point]));
  }

  /** The test is over: takes the census, removes everything, throws for what was left. */
  async end(): Promise<void> {
    for (const step of this.#deferred.reverse()) await step();
    const left = this.#clean ? await this.leaks() : [];
    await this.sweep();
    for (const output of this.#outputs) output[Symbol.dispose]();
    rmSync(this.dir, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`The test left behind:\n  ${left.join("\n  ")}`);
  }

  /** The runtime's own processes bear the mark in their environment. */
  #marked<T extends RunOptions>(options: T): T {
    return { ...options, env: { TARE_TEST_MARK: this.mark, ...options.env } };
  }

  /** Takes away, by force, what a failed test left: containers, processes, mounts, cgroups. */
  async sweep(): Promise<void> {
    const known = existsSync(this.stateRoot) ? readdirSync(this.stateRoot) : [];
    for (const id of known.filter((name) => name.includes(this.mark))) {
      await this.delete(id, "--force");
    }
    const groups = allCgroups().filter((dir) => dir.includes(this.mark));
    for (const dir of groups) thaw(dir);
    for (let round = 0; round < 20; round++) {
      const alive = findProcesses(this.scope);
      if (alive.length === 0) break;
      for (const { pid } of alive) killQuietly(pid);
      await Bun.sleep(20);
    }
    for (const { point } of readMountTable("self").reverse()) {
      if (point.includes(this.mark)) Bun.spawnSync(["umount", "-l", point]);
    }
    for (const dir of groups.reverse()) removeQuietly(dir);
  }
}

/** A frozen process of v1 does not even die. */
function thaw(cgroup: string): void {
  for (const [file, value] of [
    ["freezer.state", "THAWED"],
    ["cgroup.freeze", "0"],
  ] as const) {
    if (existsSync(join(cgroup, file))) writeFileSync(join(cgroup, file), value);
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}

function removeQuietly(dir: string): void {
  try {
    rmdirSync(dir);
  } catch {
    // Still in use: the census has named it.
  }
}
