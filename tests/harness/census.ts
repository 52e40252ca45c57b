/**
 * Counts what a test may leave behind: processes, mounts, cgroups, namespaces, files, network
 * namespaces and links, loop devices, descriptors.
 * The machine is shared, so only what bears the test's mark counts: the mark is in the container's
 * id, hence in cgroup names and state files, in every path of the test and in the environment.
 * Mounts are the exception: a mount of a container that appears on the host does not name its test,
 * so each new one counts unless it lies where other programs keep theirs.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { allCgroups } from "./cgroups.ts";
import { readMountTable } from "./mount-table.ts";
import { REPO, stubbornly } from "./places.ts";

export type CensusScope = {
  /** Unique text in the names of everything the test makes. */
  readonly mark: string;
  /** Processes that began before are not the test's: clock ticks since boot (proc(5), starttime). */
  readonly since?: number;
  /** Directories of the test whose every file counts, but not a cache: a first name with a dot. */
  readonly stateRoots: readonly string[];
  /** Directories that others use too: only what bears the mark counts. */
  readonly sharedRoots?: readonly string[];
  /** Long-lived processes whose open descriptors count, besides this one. */
  readonly pids?: readonly number[];
  /** Processes whose mount tables count; this one's and pid 1's unless given. */
  readonly mountTables?: readonly (number | "self")[];
};

/** One line per thing found, by kind; equal things are equal lines. */
export type Census = Readonly<Record<CensusKind, ReadonlySet<string>>>;

const KINDS = [
  "processes",
  "mounts",
  "cgroups",
  "namespaces",
  "files",
  "networks",
  "loops",
  "descriptors",
] as const;
export type CensusKind = (typeof KINDS)[number];

export function takeCensus(scope: CensusScope): Census {
  const processes = findProcesses(scope);
  return {
    processes: new Set(processes.map(describeProcess)),
    mounts: new Set(findMounts(scope)),
    cgroups: new Set(allCgroups().filter((dir) => dir.includes(scope.mark))),
    namespaces: new Set(processes.flatMap(({ pid }) => foreignNamespaces(pid))),
    files: new Set(findFiles(scope)),
    networks: new Set(findNetworks(scope)),
    loops: new Set(findLoops(scope)),
    descriptors: new Set(
      [process.pid, ...(scope.pids ?? [])].flatMap((pid) => descriptors(pid, scope)),
    ),
  };
}

/** What `after` has and `before` had not, one line each: `kind: thing`. */
export function leaks(before: Census, after: Census): string[] {
  return KINDS.flatMap((kind) =>
    [...after[kind].difference(before[kind])].map((thing) => `${kind}: ${thing}`),
  );
}

/** Throws with every leak. */
export function expectClean(before: Census, after: Census): void {
  const found = leaks(before, after);
  if (found.length > 0) throw new Error(`The test left behind:\n  ${found.join("\n  ")}`);
}

/**
 * Takes the census until it is clean, because the kernel frees some things a moment after the last
 * process: answers the leaks that stay.
 */
export async function leaksThatStay(
  scope: CensusScope,
  before: Census,
  timeoutMs = 2_000,
): Promise<string[]> {
  const end = performance.now() + stubbornly(timeoutMs);
  for (;;) {
    const found = leaks(before, takeCensus(scope));
    if (found.length === 0 || performance.now() > end) return found;
    await Bun.sleep(20);
  }
}

type Process = { readonly pid: number; readonly ppid: number; readonly comm: string };

/** Processes that bear the mark, except this one; a zombie counts only while its parent is ours. */
export function findProcesses(scope: CensusScope): Process[] {
  return listPids().flatMap((pid) => {
    if (pid === process.pid) return [];
    const stat = readText(`/proc/${pid}/stat`);
    const tail = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state = "", ppid = ""] = tail;
    if (startOf(tail) < (scope.since ?? 0)) return [];
    const comm = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    const found = { pid, ppid: Number(ppid), comm };
    if (state === "Z") return found.ppid === process.pid && comm.includes("tare") ? [found] : [];
    return bearsMark(pid, scope) ? [found] : [];
  });
}

/** Field 22 of what follows the name in /proc/PID/stat; 0 for a process that has gone. */
function startOf(tail: readonly string[]): number {
  return Number(tail[19] ?? 0);
}

/** When a process that begins now will have begun. */
export function ticksNow(): number {
  const [seconds = "0"] = readText("/proc/uptime").split(" ");
  // A tick is a hundredth of a second for every program (time(7), USER_HZ).
  return Math.round(Number(seconds) * 100);
}

function bearsMark(pid: number, { mark }: CensusScope): boolean {
  const texts = ["cgroup", "environ", "cmdline"].map((file) => readText(`/proc/${pid}/${file}`));
  const links = ["cwd", "root", "exe"].map((name) => readLink(`/proc/${pid}/${name}`));
  return [...texts, ...links].some((text) => text.includes(mark));
}

function describeProcess({ pid, comm }: Process): string {
  const words = readText(`/proc/${pid}/cmdline`).split("\0").join(" ").trim();
  return `${pid} (${comm}) ${words}`;
}

/** Where podman, docker, systemd and people mount things while a test runs. */
const FOREIGN_MOUNTS = [
  "/mnt/",
  "/run/",
  "/tmp/",
  "/var/lib/",
  "/var/tmp/",
  "/home/",
  "/root/",
  `${REPO}/`,
];

function findMounts(scope: CensusScope): string[] {
  const tables = scope.mountTables ?? ["self", 1];
  return tables.flatMap((who) =>
    readTable(who)
      .filter(({ point, source, root }) => {
        if (`${point} ${source} ${root}`.includes(scope.mark)) return true;
        if (scope.stateRoots.some((dir) => point.startsWith(`${dir}/`))) return true;
        // A checkout beside this one may be making its root file systems.
        if (point.includes("/.build/fixtures/")) return false;
        return !FOREIGN_MOUNTS.some((prefix) => point.startsWith(prefix));
      })
      .map(({ id, type, source, point }) => `of ${who}: ${id} ${type} ${source} on ${point}`),
  );
}

function readTable(who: "self" | number) {
  try {
    return readMountTable(who);
  } catch {
    return []; // Without CAP_SYS_PTRACE pid 1's table is closed.
  }
}

/** The namespaces of a process that are not ours, as `net:[4026532]`. */
function foreignNamespaces(pid: number): string[] {
  const names = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
  return names.flatMap((name) => {
    const link = readLink(`/proc/${pid}/ns/${name}`);
    return link === "" || link === readLink(`/proc/self/ns/${name}`) ? [] : [`${link} of ${pid}`];
  });
}

function findFiles({ mark, stateRoots, sharedRoots = [] }: CensusScope): string[] {
  const own = stateRoots.flatMap((dir) =>
    filesBelow(dir).filter((path) => !path.startsWith(`${dir}/.`)),
  );
  return [...own, ...sharedRoots.flatMap(filesBelow).filter((path) => path.includes(mark))];
}

function filesBelow(dir: string): string[] {
  if (!existsSync(dir)) return [];
  const found: string[] = [];
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    found.push(path);
    if (entry.isDirectory()) found.push(...filesBelow(path));
  }
  return found;
}

/** Named network namespaces that bear the mark, and links of ours in this network namespace. */
function findNetworks({ mark }: CensusScope): string[] {
  const named = existsSync("/run/netns") ? readdirSync("/run/netns") : [];
  const links = existsSync("/sys/class/net") ? readdirSync("/sys/class/net") : [];
  return [
    ...named.filter((name) => name.includes(mark)).map((name) => `namespace ${name}`),
    ...links.filter((name) => name.startsWith("tare")).map((name) => `link ${name}`),
  ];
}

function findLoops({ mark }: CensusScope): string[] {
  const blocks = existsSync("/sys/block") ? readdirSync("/sys/block") : [];
  return blocks.flatMap((name) => {
    const file = readText(`/sys/block/${name}/loop/backing_file`).trim();
    return file.includes(mark) ? [`${name} of ${file}`] : [];
  });
}

/**
 * Open descriptors worth naming. Of this process only those that hold a namespace, a process or a
 * path of the test: the test runner opens and closes its own at any time. Of others all.
 */
function descriptors(pid: number, { mark }: CensusScope): string[] {
  const dir = `/proc/${pid}/fd`;
  if (!existsSync(dir)) return [];
  return readdirSync(dir).flatMap((fd) => {
    const target = readLink(join(dir, fd));
    const counts =
      pid !== process.pid ||
      target.includes(mark) ||
      /^(mnt|net|pid|user|uts|ipc|cgroup|time):/.test(target);
    return counts && target !== "" ? [`${fd} of ${pid}: ${target}`] : [];
  });
}

function listPids(): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid > 0);
}

/** Empty if the process is gone or closed to us. */
function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
