/**
 * The machine's cgroup hierarchies as the tests see them: where they are mounted, which controller
 * lives where, and a container's files, whatever the version.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { readMountTable } from "./mount-table.ts";

export type Hierarchy = {
  readonly version: 1 | 2;
  readonly dir: string;
  /** Empty for a named v1 hierarchy. */
  readonly controllers: readonly string[];
  /** What it is mounted with, which is also its name in /proc/self/cgroup; empty for version 2. */
  readonly options: string;
};

/** Every mounted hierarchy, each once. */
export function hierarchies(): Hierarchy[] {
  const found = new Map<string, Hierarchy>();
  for (const entry of readMountTable("self")) {
    if (entry.root !== "/") continue;
    if (entry.type === "cgroup2") {
      const controllers = readWords(join(entry.point, "cgroup.controllers"));
      found.set("v2", { version: 2, dir: entry.point, controllers, options: "" });
    } else if (entry.type === "cgroup") {
      const controllers = entry.superOptions.filter((option) => V1_CONTROLLERS.has(option));
      const options = entry.superOptions.filter((option) => option !== "rw").join();
      found.set(options, { version: 1, dir: entry.point, controllers, options });
    }
  }
  return [...found.values()];
}

const V1_CONTROLLERS = new Set([
  "blkio",
  "cpu",
  "cpuacct",
  "cpuset",
  "devices",
  "freezer",
  "hugetlb",
  "memory",
  "net_cls",
  "net_prio",
  "perf_event",
  "pids",
  "rdma",
]);

/** True where every controller is on the unified hierarchy: no v1 hierarchy has one. */
export function onlyCgroup2(): boolean {
  return !hierarchies().some(({ version, controllers }) => version === 1 && controllers.length > 0);
}

/**
 * The directory of a container's cgroup where this controller acts, or null if the machine lacks it.
 * @param id the cgroup's name below the root, as the bundles of these tests have it
 */
export function cgroupDir(controller: string, id: string): string | null {
  const name = onlyCgroup2() && controller === "blkio" ? "io" : controller;
  const home = hierarchies().find(({ controllers }) => controllers.includes(name));
  return home === undefined ? null : join(home.dir, id);
}

/** A cgroup's file without the final newline; null if there is none. */
export function readCgroupFile(controller: string, id: string, file: string): string | null {
  const dir = cgroupDir(controller, id);
  if (dir === null || !existsSync(join(dir, file))) return null;
  return readFileSync(join(dir, file), "utf8").trimEnd();
}

/** Every cgroup directory, relative to nothing: absolute paths in each hierarchy. */
export function allCgroups(): string[] {
  return hierarchies().flatMap(({ dir }) => below(dir));
}

function below(dir: string): string[] {
  const found: string[] = [];
  for (const entry of listDirectories(dir))
    found.push(join(dir, entry), ...below(join(dir, entry)));
  return found;
}

/** A group may vanish while it is listed. Its links tell how many directories are among its many files. */
function listDirectories(dir: string): string[] {
  try {
    if (statSync(dir).nlink === 2) return [];
    const entries = readdirSync(dir, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch {
    return [];
  }
}

function readWords(path: string): string[] {
  return existsSync(path) ? readFileSync(path, "utf8").split(/\s+/).filter(Boolean) : [];
}
