/**
 * Where commands of the runtime are played with failures in them: bundles that use much of
 * config.json, a container's report of itself, and the judgement of how a command ended.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type BundleConfig, DEFAULT_NAMESPACES } from "../harness/bundle.ts";
import { busyboxRootfs, copyRootfs, programs } from "../harness/fixtures.ts";
import { REPO, stubbornly } from "../harness/places.ts";
import { OutputFiles, type Ran, runToFiles, until } from "../harness/run.ts";
import { Scene, type SceneBundle } from "../harness/scene.ts";
import { type Call, readCalls, type Wire, writeWires } from "./wire.ts";

export const DEVELOPMENT_HOST = join(REPO, "dist/tare-host-dev");
/** Longer than any command waits by itself: ten seconds for processes that do not die. */
const COMMAND_MS_MAX = 60_000;
const END_MS_MAX = 5_000;
/** Longer than a command that fails takes to its end. */
const HOLD_MS = 100;

/** The end of a program that Stage.hold keeps. */
export const HELD = "while [ -e /out/hold ]; do sleep 0.02; done";

/** What a container says of itself; equal for containers that were made alike. */
export const REPORT = `exec > /out/report 2> /dev/null
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:|Umask)' /proc/self/status
sed -E 's/^[0-9]+ [0-9]+ [0-9:]+ //; s/(shared|master):[0-9]+/\\1/g' /proc/self/mountinfo
cat /proc/self/limits /proc/self/oom_score_adj /proc/self/cgroup /proc/sys/net/core/somaxconn
hostname; pwd; ls -l /dev | sed -E 's/ +[A-Z][a-z]+ +[0-9]+ +[0-9:]+ / /'; ls /proc/self/fd | wc -l
head -c1 /proc/kcore | wc -c; ls /proc/acpi /sys/firmware | wc -l; cat /proc/self/timens_offsets
for i in /sys/fs/cgroup/*/; do cat $i/memory.limit_in_bytes $i/pids.max $i/cpu.shares $i/devices.list; done
ip addr show lo | grep -c UP; cat /proc/self/uid_map; cat /proc/keys | wc -l; echo whole`;

const LIMITED = {
  devices: [{ allow: false, access: "rwm" }],
  memory: { limit: 268_435_456 },
  cpu: { shares: 512, quota: 50_000, period: 100_000 },
  pids: { limit: 100 },
};

const SECCOMP = {
  defaultAction: "SCMP_ACT_ALLOW",
  architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  syscalls: [{ names: ["kexec_load", "ptrace"], action: "SCMP_ACT_ERRNO" }],
};

export type Variant = keyof typeof VARIANTS;

/** The bundles: between them most of what a configuration can ask for. */
const VARIANTS = {
  /** What an engine asks for. */
  usual: (config: BundleConfig) => {
    config.process.user = { uid: 1000, gid: 1000, umask: 0o27, additionalGids: [5, 6] };
    config.process.cwd = "/tmp";
    config.process.oomScoreAdj = 100;
    config.linux.resources = LIMITED;
    config.linux.seccomp = SECCOMP;
    config.linux.sysctl = { "net.core.somaxconn": "256" };
    config.linux.devices = [{ path: "/dev/fuse", type: "c", major: 10, minor: 229 }];
    const options = ["nosuid", "mode=1777", "tmpcopyup"];
    config.mounts.push({ destination: "/tmp", type: "tmpfs", source: "tmpfs", options });
  },
  /** Hooks of each kind. */
  hooks: (config: BundleConfig, stage: Stage) => {
    const outside = (name: string) => [
      { path: "/bin/sh", args: ["sh", "-c", `echo ${name} >> ${stage.out}/hooks`] },
    ];
    config.hooks = {
      prestart: outside("prestart"),
      createRuntime: outside("createRuntime"),
      createContainer: outside("createContainer"),
      startContainer: [{ path: "/bin/true" }],
      poststart: [{ path: "/bin/true" }],
      poststop: [{ path: "/bin/true" }],
    };
  },
  /** A user namespace, clocks of its own, an id-mapped bind. */
  mapped: (config: BundleConfig) => {
    const map = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
    config.linux.namespaces = [...DEFAULT_NAMESPACES, "user", "time"].map((type) => ({ type }));
    config.linux.uidMappings = map;
    config.linux.gidMappings = map;
    config.linux.timeOffsets = { monotonic: { secs: 1000, nanosecs: 0 } };
    config.mounts = config.mounts.filter(({ type }) => type !== "cgroup");
  },
  /** A user namespace beside a network namespace that is joined: the stage of clone.ts. */
  joined: (config: BundleConfig, stage: Stage) => {
    VARIANTS.mapped(config);
    // Only who owns the network namespace may mount it.
    config.mounts = config.mounts.filter(({ type }) => type !== "sysfs");
    config.linux.namespaces = config.linux.namespaces
      .filter(({ type }) => type !== "network")
      .concat([{ type: "network", path: `/proc/${stage.holder()}/ns/net` }]);
  },
} as const satisfies Record<string, (config: BundleConfig, stage: Stage) => void>;

export const VARIANT_NAMES = Object.keys(VARIANTS) as Variant[];

/** How one command ended, with the calls that it made. */
export type Played = { readonly ran: Ran; readonly calls: readonly Call[] };

export class Stage {
  readonly scene: Scene;
  /** A directory that every container has as /out. */
  readonly out: string;
  readonly #program: string;
  readonly #rootfs: string;
  readonly #bundles = new Map<Variant, SceneBundle>();
  readonly #closers: (() => void)[] = [];
  #files = 0;
  #holder: number | undefined;

  static async open(): Promise<Stage> {
    if (!existsSync(DEVELOPMENT_HOST)) {
      throw new Error(`Cannot play: no ${DEVELOPMENT_HOST}; make dist/tare-host-dev`);
    }
    await programs();
    const mark = `tare-trip-${process.pid}-${Math.random().toString(36).slice(2, 6)}`;
    const scene = new Scene(mark, await busyboxRootfs(), false);
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    // Nobody but root of the machine may make it there, and a mapped container is not that.
    mkdirSync(join(rootfs, "out"), { recursive: true });
    return new Stage(scene, rootfs);
  }

  private constructor(scene: Scene, rootfs: string) {
    this.scene = scene;
    this.#rootfs = rootfs;
    this.out = join(scene.dir, "out");
    mkdirSync(this.out, { mode: 0o777 });
    Bun.spawnSync(["chmod", "777", this.out]);
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
        // Asked for first: with the report the file is taken away.
        sh: `[ ! -e /out/stay ] || stay=yes\n${REPORT}\n[ -z "$stay" ] || exec sleep 1000`,
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
    const file = join(this.scene.dir, `wire-${++this.#files}`);
    writeWires(file, wires);
    try {
      const ran = await this.#run(words, { TARE_TRIPWIRE: file });
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
    const argv = [this.#program, "--root", this.scene.stateRoot, ...words];
    return await runToFiles(argv, output, {
      env: { ...env, TARE_TEST_MARK: this.scene.mark },
      timeoutMs: COMMAND_MS_MAX,
    });
  }

  /** The next container stays when it has told of itself; to be called before it starts. */
  stay(): void {
    writeFileSync(join(this.out, "stay"), "");
  }

  /** Waits until a container has told of itself. */
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
    if (!isOver) rmSync(join(this.out, "hold"));
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
