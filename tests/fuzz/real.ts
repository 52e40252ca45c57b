/**
 * `create` and `delete` of configurations changed at random, on this machine and with the program that
 * ships. The container's own program never runs. What the change could aim at the machine itself (another
 * root, hooks, a cgroup that is not the test's) is left to the made-up machine of fuzz.test.ts.
 */
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BundleConfig } from "../harness/bundle.ts";
import { copyRootfs } from "../harness/fixtures.ts";
import type { Ran } from "../harness/run.ts";
import type { Scene, SceneBundle } from "../harness/scene.ts";
import { textFaultsOf } from "./judge.ts";
import { changed, type Mutant, type Node } from "./mutate.ts";
import type { Random } from "./random.ts";

/** Full censuses take longer than a container: one for so many cases. */
const CENSUS_EVERY = 20;
const CASE_MS_MAX = 20_000;

export class RealFuzz {
  readonly #scene: Scene;
  readonly #bundle: SceneBundle;
  #cases = 0;

  static async open(scene: Scene): Promise<RealFuzz> {
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    return new RealFuzz(scene, scene.bundle({ rootfs, writable: true, edit: enrich }));
  }

  private constructor(scene: Scene, bundle: SceneBundle) {
    this.#scene = scene;
    this.#bundle = bundle;
  }

  /** One configuration; answers what is wrong with how it was taken. */
  async tryOne(random: Random): Promise<string[]> {
    const mutant = this.#harmless(random);
    writeFileSync(join(this.#bundle.dir, "config.json"), mutant.text);
    const { ran } = await this.#scene.create(this.#bundle, { timeoutMs: CASE_MS_MAX });
    const faults = this.#judge(ran, mutant);
    if (ran.code === 0 || existsSync(join(this.#scene.stateRoot, this.#bundle.id))) {
      if (ran.code !== 0) faults.push("it fails and leaves its state");
      const deleted = await this.#scene.delete(this.#bundle.id, "--force");
      if (deleted.code !== 0 || deleted.stderr !== "") faults.push(`delete: ${deleted.stderr}`);
    }
    const states = readdirSync(this.#scene.stateRoot).filter((name) => !name.startsWith("."));
    if (states.length > 0) faults.push(`it leaves the states of ${states.join(", ")}`);
    if (++this.#cases % CENSUS_EVERY === 0 || faults.length > 0) {
      faults.push(...(await this.#scene.leaks()));
    }
    const where = mutant.paths.map((path) => path.join(".")).join(", ");
    return faults.map((fault) => `${where}: ${fault}`);
  }

  #harmless(random: Random): Mutant {
    for (;;) {
      const mutant = changed(this.#bundle.config as unknown as Node, random);
      if (this.#isHarmless(mutant)) return mutant;
    }
  }

  #isHarmless({ text, paths }: Mutant): boolean {
    const tops = paths.map(([top, next]) => (top === "linux" ? `${top}.${next}` : top));
    if (tops.some((top) => top === "root" || top === "hooks" || top === "linux.undefined")) {
      return false;
    }
    // A text that was damaged, or a key that comes twice, must not lead elsewhere either.
    const { config } = this.#bundle;
    const own = [JSON.stringify(config.root), JSON.stringify(config.linux.cgroupsPath)];
    return own.every((piece) => text.includes(piece)) && !/"(hooks|cgroupsPath)".*"\1"/s.test(text);
  }

  #judge(ran: Ran, { text }: Mutant): string[] {
    if (ran.timedOut) return ["it hangs"];
    if (ran.signal !== null) return [`it dies of ${ran.signal}`];
    const faults = textFaultsOf(ran.stderr, text);
    if (ran.code !== 0 && !ran.stderr.startsWith("tare-runtime: ")) {
      faults.push(`it fails and says "${ran.stderr}"`);
    }
    return faults;
  }
}

/** What the usual bundle has not. */
function enrich(config: BundleConfig): void {
  config.process.user = { uid: 1000, gid: 1000, umask: 0o27, additionalGids: [5] };
  config.process.oomScoreAdj = 100;
  config.linux.resources = {
    devices: [
      { allow: false, access: "rwm" },
      { allow: true, type: "c", major: 10, minor: 229 },
    ],
    memory: { limit: 268_435_456 },
    cpu: { shares: 512, quota: 50_000, period: 100_000 },
    pids: { limit: 100 },
  };
  config.linux.seccomp = {
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ["SCMP_ARCH_X86_64"],
    syscalls: [{ names: ["kexec_load"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }],
  };
  config.linux.sysctl = { "net.core.somaxconn": "256" };
  config.linux.devices = [{ path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 438 }];
  config.annotations = { "a.b": "c" };
  const options = ["nosuid", "mode=1777", "tmpcopyup"];
  config.mounts.push({ destination: "/tmp", type: "tmpfs", source: "tmpfs", options });
  config.mounts.push({ destination: "/data/x", source: "/etc/hostname", options: ["bind", "ro"] });
}
