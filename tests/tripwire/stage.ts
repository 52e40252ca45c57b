/**
 * Where commands of the runtime are played with failures in them: one container's directory, its
 * program's report of itself, and who is needed around it.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { busyboxRootfs, copyRootfs, programs } from "../harness/fixtures.ts";
import { REPO, stubbornly } from "../harness/places.ts";
import { OutputFiles, type Ran, type RunOptions, runToFiles, until } from "../harness/run.ts";
import { Scene, type SceneBundle } from "../harness/scene.ts";
import { Taker } from "../harness/taker.ts";
import { type CONSOLE_SIZE, makeSources, REPORT, VARIANTS, type Variant } from "./bundles.ts";
import { runWithTerminal } from "./terminal.ts";
import { type Call, readCalls, type Wire, writeWires } from "./wire.ts";

export const DEVELOPMENT_HOST = join(REPO, "dist/tare-host-dev");
/** Longer than any command waits by itself: ten seconds for processes that do not die. */
const COMMAND_MS_MAX = 60_000;
const END_MS_MAX = 5_000;
/** Longer than a command that fails takes to its end. */
const HOLD_MS = 100;

/** The end of a program that Stage.hold keeps. */
export const HELD = "while [ -e /out/hold ]; do sleep 0.02; done";

/** How one command ended, with the calls that it made. */
export type Played = { readonly ran: Ran; readonly calls: readonly Call[] };

export class Stage {
  readonly scene: Scene;
  /** A directory that every container has as /out. */
  readonly out: string;
  readonly sources: string;
  /** Where an agent listens, which takes what is sent and answers nothing. */
  readonly agent: string;
  readonly #program: string;
  readonly #rootfs: string;
  readonly #bundles = new Map<Variant, SceneBundle>();
  readonly #closers: (() => void)[] = [];
  #files = 0;
  #holder: number | undefined;
  #taker: Taker | undefined;

  static async open(): Promise<Stage> {
    if (!existsSync(DEVELOPMENT_HOST)) {
      throw new Error(`Cannot play: no ${DEVELOPMENT_HOST}; make dist/tare-host-dev`);
    }
    await programs();
    const mark = `tare-trip-${process.pid}-${Math.random().toString(36).slice(2, 6)}`;
    const scene = new Scene(mark, await busyboxRootfs(), false);
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    // Nobody but root of the machine may make it there, and a mapped container is not that.
    for (const name of ["out", "in"]) mkdirSync(join(rootfs, name), { recursive: true });
    symlinkSync("/etc/passwd", join(rootfs, "link"));
    // For tmpcopyup.
    mkdirSync(join(rootfs, "tmp/directory"), { recursive: true });
    writeFileSync(join(rootfs, "tmp/directory/file"), "kept");
    symlinkSync("directory/file", join(rootfs, "tmp/link"));
    return new Stage(scene, rootfs);
  }

  private constructor(scene: Scene, rootfs: string) {
    this.scene = scene;
    this.#rootfs = rootfs;
    this.out = join(scene.dir, "out");
    mkdirSync(this.out, { mode: 0o777 });
    Bun.spawnSync(["chmod", "777", this.out]);
    this.sources = join(scene.dir, "sources");
    makeSources(this.sources);
    this.agent = join(scene.dir, "agent");
    const agent = Bun.listen({ unix: this.agent, socket: { data: () => undefined } });
    this.#closers.push(() => agent.stop(true));
    // Under the name by which it knows what to be; a copy, so that a build meanwhile changes nothing.
    this.#program = join(scene.dir, "tare-runtime");
    copyFileSync(DEVELOPMENT_HOST, this.#program);
  }

  /** The one container of this stage. */
  get id(): string {
    return `${this.scene.mark}-c`;
  }

  /** The pid of a process with a network namespace to join. */
  holder(): number {
    if (this.#holder !== undefined) return this.#holder;
    const child = Bun.spawn(["unshare", "-n", "sleep", "100000"], {
      stdio: ["ignore", null, null],
    });
    this.#closers.push(() => child.kill("SIGKILL"));
    this.#holder = child.pid;
    return child.pid;
  }

  bundle(variant: Variant): string {
    let bundle = this.#bundles.get(variant);
    if (bundle === undefined) {
      bundle = this.scene.bundle({
        rootfs: this.#rootfs,
        sh: `[ ! -e /out/stay ] || { echo whole > /out/report; exec sleep 1000; }\n${REPORT}`,
        mounts: [{ destination: "/out", source: this.out, options: ["bind", "rw"] }],
        edit: (config) => {
          config.linux.cgroupsPath = `/${this.id}`;
          VARIANTS[variant](config, this);
        },
      });
      this.#bundles.set(variant, bundle);
    }
    return bundle.dir;
  }

  /** Runs a command of the runtime with failures in it. */
  async play(wires: readonly Wire[], ...words: string[]): Promise<Played> {
    return await this.#play(wires, (env) => this.#run(words, env));
  }

  /** The same on a terminal, which must be afterwards as it was, unless changing it is what fails. */
  async playOnTerminal(
    wires: readonly Wire[],
    size: typeof CONSOLE_SIZE,
    ...words: string[]
  ): Promise<Played> {
    let isKept = true;
    const played = await this.#play(wires, async (env) => {
      const done = await runWithTerminal(this.#argv(words), size, this.#options(env));
      isKept = done.isKept;
      return done.ran;
    });
    const isExcused = wires.some(
      ({ process, index, action }) =>
        action.kind === "die" ||
        played.calls.some(
          (call) => call.process === process && call.index === index && call.name === "ioctl",
        ),
    );
    if (!isKept && !isExcused) throw new Error("It leaves its caller's terminal another");
    return played;
  }

  async #play(
    wires: readonly Wire[],
    run: (env: Record<string, string>) => Promise<Ran>,
  ): Promise<Played> {
    const file = join(this.scene.dir, `wire-${++this.#files}`);
    writeWires(file, wires);
    try {
      const ran = await run({ TARE_TRIPWIRE: file });
      return { ran, calls: readCalls(file) };
    } finally {
      // Processes that outlive the command have it mapped: it must not be used again.
      unlinkSync(file);
    }
  }

  /** Runs a command without failures. */
  run(...words: string[]): Promise<Ran> {
    return this.#run(words, {});
  }

  async #run(words: readonly string[], env: Record<string, string>): Promise<Ran> {
    using output = new OutputFiles();
    return await runToFiles(this.#argv(words), output, this.#options(env));
  }

  #argv(words: readonly string[]): string[] {
    return [this.#program, "--root", this.scene.stateRoot, ...words];
  }

  #options(env: Record<string, string>): RunOptions {
    const marked = { ...env, TARE_TEST_MARK: this.scene.mark };
    return { env: marked, timeoutMs: COMMAND_MS_MAX };
  }

  /** The words by which a command sends its terminal to somebody, who waits for it from now on. */
  async consoleWords(): Promise<string[]> {
    this.#taker?.end();
    this.#taker = await Taker.listen(join(this.scene.rootfs, "t/receive-terminal"));
    return ["--console-socket", this.#taker.path];
  }

  /** What came to who waits for a terminal. */
  async takenTerminal(): Promise<string> {
    return (await this.#taker?.line()) ?? "nothing";
  }

  /** The next container stays, and tells only that it runs; to be called before it starts. */
  stay(): void {
    writeFileSync(join(this.out, "stay"), "");
  }

  /** Waits until a container has told of itself, or that it runs. */
  async waitForReport(): Promise<void> {
    await until(
      () => this.#isReportWhole(),
      END_MS_MAX,
      () => "the container's report",
    );
  }

  /** A program with HELD at its end stays until it is let go, so that one that is left is seen. */
  hold(): void {
    writeFileSync(join(this.out, "hold"), "");
  }

  /** Lets go of the program once it has told of itself and its command goes on all the same. */
  async letGo(command: Promise<unknown>): Promise<void> {
    let isOver = false;
    const end = () => {
      isOver = true;
    };
    command.then(end, end);
    while (!isOver && !this.#isReportWhole()) await Bun.sleep(5);
    if (!isOver) await Bun.sleep(HOLD_MS);
    if (!isOver) this.release();
  }

  /** Lets go of the program that is held. */
  release(): void {
    rmSync(join(this.out, "hold"), { force: true });
  }

  #isReportWhole(): boolean {
    const path = join(this.out, "report");
    return existsSync(path) && readFileSync(path, "utf8").endsWith("whole\n");
  }

  /** What the container wrote about itself, and which hooks ran; forgets it. */
  takeReport(): string {
    const names = ["report", "hooks"];
    const texts = names.map((name) => {
      const path = join(this.out, name);
      return existsSync(path) ? readFileSync(path, "utf8") : "";
    });
    for (const name of readdirSync(this.out)) rmSync(join(this.out, name), { recursive: true });
    return texts.join("--\n").replaceAll(this.scene.mark, "MARK");
  }

  /** Waits until the container's process is gone. */
  async waitForEnd(): Promise<void> {
    const path = join(this.scene.dir, "pid");
    const end = performance.now() + stubbornly(END_MS_MAX);
    const pid = Number(readFileSync(path, "utf8"));
    while (existsSync(`/proc/${pid}`) && !isZombie(pid)) {
      if (performance.now() > end) throw new Error(`Process ${pid} of the container does not end`);
      await Bun.sleep(2);
    }
  }

  get pidFile(): string {
    return join(this.scene.dir, "pid");
  }

  /** Forgets compiled filters: the next container's is compiled and stored. */
  forgetFilters(): void {
    rmSync(join(this.scene.stateRoot, ".seccomp"), { recursive: true, force: true });
  }

  async close(): Promise<void> {
    this.#taker?.end();
    for (const close of this.#closers) close();
    await this.scene.end();
  }
}

function isZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z");
  } catch {
    return true;
  }
}
