/**
 * Runs one program of a suite where it can do no harm: in mount, pid, network, IPC, UTS and cgroup
 * namespaces of its own, on a terminal, with a limit on the time.
 * Suites make cgroups at fixed absolute names (`/test`), freeze them, leave processes, mounts and
 * directories behind and change /dev/null. Here the root of every hierarchy is a group of ours,
 * which is thawed, emptied and removed at the end.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Hierarchy, hierarchies, onlyCgroup2 } from "../harness/cgroups.ts";
import { type Ran, runOnTerminal } from "../harness/run.ts";

export type ArenaOptions = {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
};

const EMPTYING_MS = 10_000;
/** Of each second. */
const REALTIME_US = 50_000;
let count = 0;

/** Why suites cannot be run on this machine; undefined: they can. */
export function arenaLacks(): string | undefined {
  if (process.getuid?.() !== 0) return "root is needed";
  if (onlyCgroup2()) return "the lists of verdicts are for machines with cgroup v1";
  return undefined;
}

/** Runs argv to its end; nothing that it started is alive afterwards, and its cgroups are gone. */
export async function runInArena(argv: readonly string[], options: ArenaOptions): Promise<Ran> {
  const name = `tare-conformance-${process.pid}-${++count}`;
  const groups = hierarchies().map((hierarchy) => join(hierarchy.dir, ownGroup(hierarchy), name));
  // The programs cannot end while they are frozen, and a time limit must hold nevertheless.
  const thawing = setTimeout(() => groups.forEach(thaw), options.timeoutMs - 1_000);
  const split = "unshare --mount --pid --net --ipc --uts --fork --mount-proc --kill-child";
  const words = [...split.split(" "), "sh", "-ec", OUTSIDE, name, ...groups];
  try {
    groups.forEach(makeGroup);
    return await runOnTerminal(words, {
      cwd: options.cwd,
      timeoutMs: options.timeoutMs,
      env: { ...options.env, INSIDE: insideScript(argv) },
    });
  } finally {
    clearTimeout(thawing);
    for (const group of groups) await removeGroup(group);
  }
}

/**
 * Enters the groups ($0: their name, $@: their directories). Most machines mount no hierarchy for
 * huge pages; without one crun does not start, and a new one cannot be made in a cgroup namespace.
 * What is left in it by a run that was killed has nobody else who could remove it.
 */
const OUTSIDE = `
  mount --make-rprivate /
  for group do echo 0 >"$group/cgroup.procs"; done
  mount -t tmpfs -o mode=755 none /run
  mkdir /run/huge
  if mount -t cgroup -o hugetlb none /run/huge 2>/dev/null; then
    for old in /run/huge/tare-conformance-*; do
      # A group of the same name elsewhere is that of a run that goes on.
      [ -d "$1/../\${old##*/}" ] || find "$old" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    mkdir "/run/huge/$0" && echo 0 >"/run/huge/$0/cgroup.procs"
  fi
  code=0
  unshare --mount --cgroup sh -ec "$INSIDE" || code=$?
  # It fails where groups of others vanish under it.
  find /sys/fs/cgroup -path "*/$0/*" -name freezer.state -exec sh -c 'echo THAWED >"$1"' thaw {} \\; 2>/dev/null || true
  echo 0 >/run/huge/cgroup.procs 2>/dev/null || exit $code
  kill -KILL -1 2>/dev/null || true
  find "/run/huge/$0" -depth -type d -exec rmdir {} + || true
  exit $code`;

/** Every hierarchy is mounted again, since a mount made outside shows the machine's root. */
function insideScript(argv: readonly string[]): string {
  const mounted = hierarchies().map(({ version, dir, options }) =>
    version === 2
      ? `mkdir -p ${dir}; mount -t cgroup2 none ${dir}`
      : `mkdir -p ${dir}; mount -t cgroup -o ${options} none ${dir}`,
  );
  return `
    unset INSIDE
    huge=$(mountpoint -q /run/huge && echo yes || true)
    umount -R /sys; mount -t sysfs none /sys; mount -t tmpfs -o mode=755 none /sys/fs/cgroup
    ${mounted.join("\n    ")}
    if [ "$huge" ]; then
      umount /run/huge; mkdir /sys/fs/cgroup/hugetlb
      mount -t cgroup -o hugetlb none /sys/fs/cgroup/hugetlb
    fi
    # As on a host: tests look at what reaches a container.
    mount --make-rshared /
    mknod -m 666 /run/null c 1 3; mount --bind /run/null /dev/null
    ip link set lo up
    exec ${argv.map(quote).join(" ")}`;
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** Below our own group, whose limits go on to hold. */
function makeGroup(group: string): void {
  mkdirSync(group);
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    const given = join(group, "..", file);
    if (existsSync(given)) writeFileSync(join(group, file), readFileSync(given));
  }
  giveRealtime(join(group, "cpu.rt_runtime_us"));
}

/** A new group has no time for realtime processes, nor has what is below it; others may have it all. */
function giveRealtime(file: string): void {
  try {
    if (existsSync(file)) writeFileSync(file, String(REALTIME_US));
  } catch {
    console.log("No time for realtime processes is left: some tests may fail for that");
  }
}

function ownGroup({ version, options }: Hierarchy): string {
  const lines = readFileSync("/proc/self/cgroup", "utf8").split("\n");
  for (const line of lines) {
    const [number = "", names = "", ...path] = line.split(":");
    if (version === 2 ? number === "0" : names === options) return path.join(":");
  }
  return "/";
}

function thaw(group: string): void {
  for (const dir of tree(group)) {
    const file = join(dir, "freezer.state");
    if (existsSync(file)) writeFileSync(file, "THAWED");
  }
}

async function removeGroup(group: string): Promise<void> {
  const end = performance.now() + EMPTYING_MS;
  thaw(group);
  for (const dir of tree(group).reverse()) {
    while (!removed(dir) && performance.now() < end) {
      for (const pid of readFileSync(join(dir, "cgroup.procs"), "utf8").split("\n")) kill(pid);
      await Bun.sleep(20);
    }
  }
  if (existsSync(group)) throw new Error(`Cannot remove the cgroup ${group}: it is busy`);
}

function removed(dir: string): boolean {
  try {
    rmdirSync(dir);
    return true;
  } catch {
    return false;
  }
}

function kill(pid: string): void {
  try {
    if (pid !== "" && pid !== "0") process.kill(Number(pid), "SIGKILL");
  } catch {
    // It ended in the same moment.
  }
}

/** A group and all below it, parents first. */
function tree(dir: string): string[] {
  const entries = existsSync(dir) ? readdirSync(dir, { withFileTypes: true }) : [];
  const below = entries.filter((entry) => entry.isDirectory());
  return [dir, ...below.flatMap((entry) => tree(join(dir, entry.name)))];
}
