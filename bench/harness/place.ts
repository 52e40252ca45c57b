/**
 * Where benches run: mount and pid namespaces of their own, a scratch directory, one cgroup name.
 * When the process inside ends, however it ends, the kernel ends all that it started and takes back all
 * it mounted; the process outside, which stays, removes the directory and the cgroups.
 *
 * Inside, the cgroup v2 hierarchy of a hybrid machine is out of sight, for all runtimes alike: crun
 * refuses to start where v2 has a controller, and moving that to v1 would move it for the whole
 * machine. On a machine with v2 alone nothing is hidden.
 */
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { allCgroups } from "../../tests/harness/cgroups.ts";
import { mustSucceed } from "../../tests/harness/fixtures.ts";
import { readMountTable } from "../../tests/harness/mount-table.ts";
import { BUILD } from "../../tests/harness/places.ts";
import { run } from "../../tests/harness/run.ts";

const SCRATCH_VARIABLE = "TARE_BENCH_SCRATCH";
/** States are written here whatever a program is told; inside they lie in memory, as /run should. */
const STATE_DIRS = ["/run", "/var/lib/containers", "/var/lib/cni"];
/** For the states of the runtimes. */
export const STATE_DIR = "/run/bench";
const UNIFIED = "/sys/fs/cgroup/unified";
/** Half a minute: what is killed while a gigabyte is written back ends only behind it. */
const SWEEP_TRIES = 1500;
const SWEEP_WAIT_MS = 20;

export type Place = {
  /** An empty directory of this run. */
  readonly scratch: string;
  /** Part of every container's id and cgroup, so that they can be found and told apart. */
  readonly mark: string;
};

/** The place this process was put into by `runInPlace`; undefined in any other. */
export function currentPlace(): Place | undefined {
  const scratch = process.env[SCRATCH_VARIABLE];
  return scratch === undefined ? undefined : { scratch, mark: markOf(scratch) };
}

/** How the scratch directory and the cgroups begin that a process uses. */
export function scratchPrefix(pid: number): string {
  return `tare-bench-${pid}-`;
}

/** A directory's last name. */
function markOf(scratch: string): string {
  return scratch.slice(scratch.lastIndexOf("/") + 1);
}

/** Runs a script with its words in a new place, and takes the place away; answers the exit status. */
export async function runInPlace(script: string, words: readonly string[]): Promise<number> {
  mkdirSync(BUILD, { recursive: true });
  const scratch = mkdtempSync(join(BUILD, scratchPrefix(process.pid)));
  // The namespaces die with the child, and the child on the signal that the whole group gets.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => child.kill("SIGKILL"));
  }
  const isolate = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];
  const child = Bun.spawn([...isolate, process.execPath, script, ...words], {
    env: { ...process.env, [SCRATCH_VARIABLE]: scratch },
    stdio: ["inherit", "inherit", "inherit"],
  });
  try {
    return await child.exited;
  } finally {
    try {
      await removeCgroups(markOf(scratch));
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }
}

/** To be called once inside: mounts what the runtimes need. */
export async function furnish(): Promise<void> {
  for (const dir of STATE_DIRS) {
    if (existsSync(dir)) await must("mount", "-t", "tmpfs", "none", dir);
  }
  mkdirSync(STATE_DIR);
  const isHybrid = readMountTable("self").some(({ point }) => point === UNIFIED);
  if (!isHybrid) return;
  await must("umount", UNIFIED);
  // crun writes below this path in any case.
  await must("mount", "-t", "tmpfs", "-o", "size=8m", "none", UNIFIED);
}

async function must(...words: string[]): Promise<void> {
  mustSucceed(await run(words));
}

/** Deepest first; the last processes may still be on their way out. */
async function removeCgroups(mark: string): Promise<void> {
  for (let tries = 0; tries < SWEEP_TRIES; tries++) {
    const left = allCgroups().filter((dir) => dir.includes(mark));
    if (left.length === 0) return;
    for (const dir of left.sort((a, b) => b.length - a.length)) removeIfEmpty(dir);
    await Bun.sleep(SWEEP_WAIT_MS);
  }
  throw new Error(`Cannot remove the cgroups of the bench: "${mark}" is still in use`);
}

function removeIfEmpty(dir: string): void {
  try {
    rmdirSync(dir);
  } catch {
    // Tried again, and named at the end.
  }
}

/** The commit that is measured, with a mark where files differ from it. */
export async function commit(): Promise<string> {
  const described = await run(["git", "describe", "--always", "--dirty", "--abbrev=10"], {
    cwd: join(import.meta.dir, "../.."),
  });
  return described.code === 0 ? described.stdout.trim() : "unknown";
}
