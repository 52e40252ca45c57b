/** A container that runs, and `exec` into it: what the files about exec share. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { OutputFiles, type Ran, run, runToFiles } from "../harness/run.ts";
import {
  openScene,
  type Scene,
  type SceneBundle,
  type SceneBundleOptions,
} from "../harness/scene.ts";

/** What the program `report` prints, as far as it is looked at here. */
export type Report = {
  readonly pid: number;
  readonly sid: number;
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
  readonly cwd: string;
  readonly groups: number[];
  readonly env: string[];
  readonly fds: Record<string, string>;
  readonly rlimits: Record<"RLIMIT_NOFILE", [string, string]>;
  readonly noNewPrivs: number;
  readonly sigBlk: string;
} & Record<"capInh" | "capPrm" | "capEff" | "capBnd" | "capAmb", string>;

/** A container that runs `sleep`, and `exec` into it. */
export class Guest {
  readonly scene: Scene;
  readonly bundle: SceneBundle;

  constructor(scene: Scene, bundle: SceneBundle) {
    this.scene = scene;
    this.bundle = bundle;
  }

  exec(flags: readonly string[], ...command: string[]): Promise<Ran> {
    return this.scene.verb("exec", ...flags, this.bundle.id, ...command);
  }

  /** With more in the runtime's environment. */
  execWith(env: Record<string, string>, ...words: string[]): Promise<Ran> {
    const marked = { TARE_TEST_MARK: this.scene.mark, ...env };
    return run(this.scene.command("exec", ...words), { env: marked });
  }

  /** Its streams are files: who reads a pipe would wait for the program. */
  async detach(flags: readonly string[], ...command: string[]): Promise<Ran> {
    using output = new OutputFiles();
    const words = ["exec", "--detach", ...flags, this.bundle.id, ...command];
    return await runToFiles(this.scene.command(...words), output);
  }

  sh(script: string, ...flags: string[]): Promise<Ran> {
    return this.exec(flags, "/bin/sh", "-c", script);
  }

  async report(...flags: string[]): Promise<Report> {
    const ran = await this.exec(flags, "/t/report");
    if (ran.code !== 0) throw new Error(`report ended with ${ran.code}: ${ran.stderr}`);
    return JSON.parse(ran.stdout) as Report;
  }

  /** With a file that says what `process` of config.json would. */
  file(process: object): Promise<Ran> {
    const path = join(this.scene.dir, "process.json");
    writeFileSync(path, JSON.stringify({ cwd: "/", env: ["PATH=/bin:/t"], ...process }));
    return this.scene.verb("exec", "--process", path, this.bundle.id);
  }

  async pid(): Promise<number> {
    return (await this.scene.state(this.bundle.id))?.pid ?? 0;
  }
}

/** A running container, which is gone when the test ends. */
export async function openGuest(options: SceneBundleOptions = {}, given?: Scene): Promise<Guest> {
  const scene = given ?? (await openScene());
  const bundle = scene.bundle({ args: ["sleep", "1000"], ...options });
  const { ran } = await scene.create(bundle);
  if (ran.code !== 0) throw new Error(ran.stderr);
  scene.defer(() => scene.delete(bundle.id, "--force"));
  const started = await scene.start(bundle.id);
  if (started.code !== 0) throw new Error(started.stderr);
  return new Guest(scene, bundle);
}
