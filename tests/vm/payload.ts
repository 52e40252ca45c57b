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
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { busyboxRootfs, debianRootfs, programs } from "../harness/fixtures.ts";
import { REPO } from "../harness/places.ts";
import { makeDisk } from "./machine.ts";

const SIZE = "2G";
/** What the end-to-end files import and read. */
const REPO_PARTS = ["package.json", "tsconfig.base.json", "tsconfig.json", "tests"];

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
  if (task.files.some((file) => readFileSync(file, "utf8").includes("criu"))) copyCriu(tree);
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

/** criu of this machine, if there is one, with the libraries that the machine inside lacks. */
function copyCriu(tree: string): void {
  const criu = Bun.which("criu");
  if (criu === null) return;
  const libraries = join(tree, "vm/criu");
  mkdirSync(libraries);
  mkdirSync(join(tree, "vm/bin"));
  cpSync(criu, join(libraries, "criu"));
  const needed = Bun.spawnSync(["ldd", criu]).stdout.toString();
  for (const [, path = ""] of needed.matchAll(/=> (\/\S+)/g)) {
    // The C library belongs to the loader of the machine inside.
    if (basename(path).startsWith("libc.so")) continue;
    cpSync(path, join(libraries, basename(path)), { dereference: true });
  }
  const script = '#!/bin/sh\nLD_LIBRARY_PATH=/tare/vm/criu exec /tare/vm/criu/criu "$@"\n';
  writeFileSync(join(tree, "vm/bin/criu"), script, { mode: 0o755 });
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
