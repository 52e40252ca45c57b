/**
 * A small host for an engine under test: mount, pid, network, IPC, UTS and cgroup namespaces of its
 * own, with empty /run and /var/lib on tmpfs. Daemons and clients use their default paths there, and
 * nothing of this machine's engines is seen or touched. All of it dies with one process, which
 * dies with the test: its standard input ends.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hierarchies } from "../harness/cgroups.ts";
import { patiently } from "../harness/places.ts";
import { type Ran, run } from "../harness/run.ts";
import type { Scene } from "../harness/scene.ts";

const COMMAND_TIMEOUT_MS = 90_000;
const READY_TIMEOUT_MS = 60_000;
const ENDING_MS = 10_000;
/** The script's last word when the host is made. */
const READY = "ready";

export type EngineHost = {
  /** Its root directory, as it is seen from outside. */
  readonly root: string;
  /** Its first process, as it is seen from outside: its namespaces are the host's. */
  readonly pid: number;
  /** Runs a client to its end, in the host. */
  readonly run: (...argv: string[]) => Promise<Ran>;
  /** The same by `sh -c`: answers standard output, throws when it fails. */
  readonly sh: (script: string) => Promise<string>;
  /** Starts a daemon in the background and waits until the probe succeeds; throws with its log. */
  readonly daemon: (argv: readonly string[], probe: readonly string[]) => Promise<void>;
  /** The limit of memory, in bytes as text, of the container whose first process this is. */
  readonly memoryLimit: (pid: string) => Promise<string>;
  /** Directories of cgroups with this text in their names, one each. */
  readonly cgroups: (text: string) => Promise<string[]>;
};

/** Ends with the scene; cgroups bear its mark. Files for the daemons go to `scene.dir`. */
export async function openHost(scene: Pick<Scene, "mark" | "defer">): Promise<EngineHost> {
  const groups = hierarchies().map(({ dir }) => join(dir, scene.mark));
  for (const group of groups) makeGroup(group);
  const env = { TARE_TEST_MARK: scene.mark, HOME: "/run/home", TMPDIR: "/run/tmp" };
  const split = "unshare --mount --pid --net --ipc --uts --fork --mount-proc --kill-child";
  const enter = joinGroups(groups);
  const outer = `${enter}; ${outsideScript(scene.mark)}`;
  const holder = Bun.spawn([...split.split(" "), "sh", "-ec", outer], {
    env: { ...process.env, ...env, INSIDE: insideScript() },
    stdin: "pipe",
    stdout: "pipe",
  });
  const { value } = await holder.stdout.getReader().read();
  if (value === undefined) throw new Error("Cannot make a host for the engine");
  const inner = onlyChild(onlyChild(holder.pid));
  const spaces = "--mount --pid --net --ipc --uts --cgroup".split(" ");
  const nsenter = ["nsenter", `--target=${inner}`, ...spaces, "sh", "-ec", JOIN_HUGE, "sh"];
  const within: Within = (argv) =>
    run(["sh", "-ec", `${enter}; exec "$@"`, "sh", ...nsenter, ...argv], {
      env,
      timeoutMs: COMMAND_TIMEOUT_MS,
    });
  scene.defer(async () => {
    holder.stdin.end();
    await Promise.race([holder.exited, Bun.sleep(ENDING_MS)]);
    holder.kill("SIGKILL");
    await holder.exited;
    await removeGroups(groups);
  });
  const sh = async (script: string) => {
    const ran = await within(["sh", "-ec", script]);
    if (ran.code !== 0) throw new Error(`In the host, ${script}: ${ran.stderr}${ran.stdout}`);
    return ran.stdout.trim();
  };
  return {
    root: `/proc/${inner}/root`,
    pid: inner,
    run: (...argv) => within(argv),
    sh,
    daemon: (argv, probe) => startDaemon(within, argv, probe),
    memoryLimit: (pid) => sh(memoryLimitScript(pid)),
    cgroups: async (text) => {
      const found = await sh(`find /sys/fs/cgroup -type d -name '*${text}*'`);
      return found.split("\n").filter((line) => line !== "");
    },
  };
}

type Within = (argv: readonly string[]) => Promise<Ran>;

async function startDaemon(
  within: Within,
  argv: readonly string[],
  probe: readonly string[],
): Promise<void> {
  const log = `/run/${argv[0]}.log`;
  await within(["sh", "-c", `setsid "$@" >${log} 2>&1 </dev/null &`, "sh", ...argv]);
  const end = performance.now() + patiently(READY_TIMEOUT_MS);
  while ((await within(probe)).code !== 0) {
    if (performance.now() > end) {
      const said = await within(["tail", "-n", "40", log]);
      throw new Error(`${argv[0]} does not answer:\n${said.stdout}`);
    }
    await Bun.sleep(200);
  }
}

/**
 * The shim of containerd 1.6 reads no statistics unless each hierarchy in /proc/PID/cgroup is mounted;
 * most machines mount none for huge pages, while another test may. Nobody could remove a
 * group there once the mount is gone, so the outer shell stays and does.
 */
function outsideScript(mark: string): string {
  return `
    mount --make-rprivate /
    mount -t tmpfs -o mode=755 none /run
    mkdir /run/huge
    if mount -t cgroup -o hugetlb none /run/huge 2>/dev/null; then
      mkdir /run/huge/${mark}; echo 0 >/run/huge/${mark}/cgroup.procs
    fi
    unshare --mount --cgroup sh -ec "$INSIDE" || true
    echo 0 2>/dev/null >/run/huge/cgroup.procs || exit 0
    kill -KILL -1 2>/dev/null || true
    for round in $(seq 20); do
      find /run/huge/${mark} -depth -type d -exec rmdir {} + 2>/dev/null && break
      sleep 0.1
    done`;
}

const JOIN_HUGE = `
  file=/sys/fs/cgroup/hugetlb/cgroup.procs
  test ! -e $file || echo 0 >$file
  exec "$@"`;

function onlyChild(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim());
}

/** Every hierarchy is mounted again: a mount made outside shows the machine's root. */
function insideScript(): string {
  const mounted = hierarchies().map(({ version, dir, options }) => {
    const type = version === 2 ? "cgroup2" : `cgroup -o ${options}`;
    return `mkdir -p ${dir}; mount -t ${type} none ${dir}`;
  });
  const unified = hierarchies().some(({ dir }) => dir === "/sys/fs/cgroup");
  const base = unified ? "" : "mount -t tmpfs -o mode=755 none /sys/fs/cgroup";
  return `
    unset INSIDE
    umount -R /sys; mount -t sysfs none /sys; ${base}
    ${mounted.join("\n    ")}
    mount --make-rshared /
    if mountpoint -q /run/huge && ! mountpoint -q /sys/fs/cgroup/hugetlb; then
      umount /run/huge; mkdir /sys/fs/cgroup/hugetlb; mount -t cgroup -o hugetlb none /sys/fs/cgroup/hugetlb
    fi
    mount -t tmpfs -o mode=755 none /var/lib
    mkdir /run/home /run/tmp /run/lock
    ip link set lo up
    echo ${READY}
    exec cat >/dev/null`;
}

function joinGroups(groups: readonly string[]): string {
  return groups.map((group) => `echo 0 >${group}/cgroup.procs`).join("; ");
}

function makeGroup(group: string): void {
  mkdirSync(group);
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    try {
      writeFileSync(join(group, file), readFileSync(join(group, "..", file)));
    } catch {
      // Another controller's hierarchy, or one of version 2.
    }
  }
}

/** The kernel empties groups a moment after the last process is gone. */
async function removeGroups(groups: readonly string[]): Promise<void> {
  for (let round = 0; round < 50; round++) {
    const ran = await run([
      "sh",
      "-c",
      'find "$@" -depth -type d -exec rmdir {} + 2>&1',
      "sh",
      ...groups,
    ]);
    if (!ran.stdout.includes("busy")) return;
    await Bun.sleep(100);
  }
}

/** From the process's own line of /proc/PID/cgroup, whatever the version. */
function memoryLimitScript(pid: string): string {
  return `
    path=$(sed -n 's/^[0-9]*:memory://p' /proc/${pid}/cgroup)
    if [ "$path" ]; then cat "/sys/fs/cgroup/memory$path/memory.limit_in_bytes"
    else cat "/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/${pid}/cgroup)/memory.max"; fi`;
}

/** The program's path, or null: what the engine needs is not installed. */
export function lacks(...programs: string[]): boolean {
  const found = programs.map((name) => Bun.which(name));
  return found.includes(null);
}
