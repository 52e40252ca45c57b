/**
 * The second disk of the virtual machine, made for each run: the tests, the fixtures they use, the
 * programs under test and what to do.
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { busyboxRootfs, debianRootfs, programs } from "../harness/fixtures.ts";
import { REPO } from "../harness/places.ts";
import { makeDisk } from "./machine.ts";

const SIZE = "2G";
/** What the end-to-end files import and read. */
const REPO_PARTS = ["package.json", "tsconfig.base.json", "tsconfig.json", "tests"];
/** Programs that the machine inside gets from this one, if a test file names them. */
const INSTALLED = ["conmon", "criu", "podman"];

export type Task = {
  /** Test files, absolute. */
  readonly files: readonly string[];
  /** Set in the machine beside its own environment. */
  readonly environment: Readonly<Record<string, string>>;
};

/** @param dir an empty directory; answers the disk's path in it */
export async function makePayload(dir: string, task: Task): Promise<string> {
  const tree = join(dir, "payload");
  mkdirSync(join(tree, "vm"), { recursive: true });
  for (const part of REPO_PARTS) copyPart(part, tree);
  copyPrograms(tree);
  const texts = task.files.map((file) => readFileSync(file, "utf8"));
  copyInstalled(
    tree,
    INSTALLED.filter((name) => texts.some((text) => text.includes(name))),
  );
  await copyFixtures(tree, task.files);
  for (const script of ["init.sh", "run-tests.sh"]) {
    cpSync(join(import.meta.dir, script), join(tree, "vm", script));
    chmodSync(join(tree, "vm", script), 0o755);
  }
  const names = task.files.map((file) => `./${relative(REPO, file)}`);
  writeFileSync(join(tree, "vm/files"), `${names.join("\n")}\n`);
  const lines = Object.entries(task.environment).map(([name, value]) => `${name}=${quote(value)}`);
  writeFileSync(join(tree, "vm/environment"), `${lines.join("\n")}\n`);
  const disk = join(dir, "payload.disk");
  await makeDisk(tree, disk, SIZE);
  return disk;
}

function copyPart(part: string, tree: string): void {
  const from = join(REPO, part);
  const to = join(tree, part);
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to, { recursive: true });
}

/** The built programs, dist/tare and its neighbours, if there are any. */
function copyPrograms(tree: string): void {
  const dist = join(REPO, "dist");
  mkdirSync(join(tree, "dist"));
  if (!existsSync(dist)) return;
  for (const entry of readdirSync(dist, { withFileTypes: true })) {
    if (!entry.isDirectory())
      Bun.spawnSync(["cp", "-a", join(dist, entry.name), join(tree, "dist")]);
  }
}

/**
 * Programs of this machine, those that there are, with their libraries, as a tree that is laid over the
 * root of the machine inside; what it has of its own stays.
 */
function copyInstalled(tree: string, names: readonly string[]): void {
  for (const name of names) {
    const program = Bun.which(name);
    if (program === null) continue;
    const needed = Bun.spawnSync(["ldd", program]).stdout.toString();
    const libraries = Array.from(needed.matchAll(/=> (\/\S+)/g), ([, path = ""]) => path);
    for (const path of [program, ...libraries]) {
      // Not by a link: the machine inside has /lib as one, too.
      const to = join(tree, "vm/system", realpathSync(dirname(path)), basename(path));
      mkdirSync(dirname(to), { recursive: true });
      cpSync(path, to, { dereference: true });
    }
  }
}

async function copyFixtures(tree: string, files: readonly string[]): Promise<void> {
  const wanted = [await programs(), await busyboxRootfs()];
  const wantsDebian = files.some((file) => readFileSync(file, "utf8").includes("debianRootfs"));
  if (wantsDebian) wanted.push(await debianRootfs());
  const home = join(tree, ".build/fixtures");
  mkdirSync(home, { recursive: true });
  for (const fixture of wanted) {
    Bun.spawnSync(["cp", "-a", fixture, join(home, basename(fixture))]);
  }
}

/** For bash. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
