/**
 * One test's world for the command line: a store of its own in the scene's directory, a parent for
 * its cgroups, and `tare` as a function. The scene's census runs at the end; this adds that no
 * container's cgroup or directory is left.
 */
import { existsSync, mkdirSync, readdirSync, rmdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { allCgroups } from "../harness/cgroups.ts";
import { images } from "../harness/images.ts";
import { REPO } from "../harness/places.ts";
import {
  type Ran,
  type RunOptions,
  run,
  runOnTerminal,
  type TerminalOptions,
} from "../harness/run.ts";
import { openScene, type Scene } from "../harness/scene.ts";

/** The program under test; TARE_CLI names another build of it. */
const { TARE_CLI } = process.env;
const PROGRAM = TARE_CLI ?? resolve(REPO, "dist/tare");

/** A busybox image, brought in by `openLoadedCli`. */
export const IMAGE = "busybox";

let count = 0;

export class Cli {
  readonly scene: Scene;
  readonly dataRoot: string;
  readonly cgroupParent: string;

  constructor(scene: Scene) {
    this.scene = scene;
    this.dataRoot = join(scene.dir, "data");
    this.cgroupParent = `tare-cli-${process.pid}-${++count}`;
    scene.defer(() => this.#end());
  }

  /** The words of a `tare` command line with this world's store. */
  command(...words: string[]): string[] {
    const runRoot = join(this.scene.dir, "run");
    return [PROGRAM, "--data-root", this.dataRoot, "--run-root", runRoot, ...words];
  }

  /** Any command. */
  tare(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return run(this.command(...words), options);
  }

  /** `tare run --rm` with flags, image and command as words. */
  run(...words: string[]): Promise<Ran> {
    return this.tare(this.runWords(...words));
  }

  runWords(...words: string[]): string[] {
    return ["run", "--rm", "--cgroup-parent", this.cgroupParent, ...words];
  }

  /** `tare run --rm` of a shell line in the busybox image, as root. */
  sh(line: string, ...flags: string[]): Promise<Ran> {
    return this.run("-u", "0", ...flags, IMAGE, "sh", "-c", line);
  }

  onTerminal(words: readonly string[], options: TerminalOptions): Promise<Ran> {
    return runOnTerminal(this.command(...words), options);
  }

  /** Directories of containers that are there now. */
  containers(): string[] {
    const dir = join(this.dataRoot, "containers");
    return existsSync(dir) ? readdirSync(dir) : [];
  }

  /** Cgroups of containers that are there now. */
  cgroups(): string[] {
    return allCgroups().filter((dir) => dir.includes(`/${this.cgroupParent}/`));
  }

  /** Everything in the store and its mode, as lines: to see that nothing has changed. */
  inventory(): string[] {
    return existsSync(this.dataRoot) ? list(this.dataRoot) : [];
  }

  #end(): void {
    const [left, groups] = [this.containers(), this.cgroups()];
    const parents = allCgroups().filter((dir) => dir.endsWith(`/${this.cgroupParent}`));
    for (const dir of [...groups, ...parents]) removeQuietly(dir);
    if (groups.length > 0) throw new Error(`The test left cgroups: ${groups.join(" ")}`);
    if (left.length > 0) throw new Error(`The test left containers: ${left.join(" ")}`);
  }
}

function removeQuietly(dir: string): void {
  try {
    rmdirSync(dir);
  } catch {
    // In use: the caller has named it.
  }
}

function list(dir: string): string[] {
  return readdirSync(dir).flatMap((name) => {
    const path = join(dir, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return [];
    const line = `${path} ${stat.mode.toString(8)}`;
    return stat.isDirectory() ? [line, ...list(path)] : [line];
  });
}

/** An empty store. */
export async function openCli(): Promise<Cli> {
  const cli = new Cli(await openScene());
  mkdirSync(cli.dataRoot, { mode: 0o711 });
  return cli;
}

/** A store with the busybox image in it. */
export async function openLoadedCli(): Promise<Cli> {
  const cli = await openCli();
  const { rootTarball } = await images();
  const made = await cli.tare(["import", "-c", 'CMD ["/bin/sh"]', rootTarball, IMAGE]);
  if (made.code !== 0) throw new Error(`Cannot import the busybox image: ${made.stderr}`);
  return cli;
}
