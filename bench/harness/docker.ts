/**
 * Docker's daemon in a small host of its own (tests/engines/host.ts). Its client talks to it from here; what is pulled must be reachable from that host, so
 * the registry and all who pull stand in its network.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { openHost } from "../../tests/engines/host.ts";
import { mustSucceed } from "../../tests/harness/fixtures.ts";
import { run } from "../../tests/harness/run.ts";
import type { Surroundings } from "./bench.ts";

export type Docker = {
  /** The client, told of the daemon. */
  readonly client: readonly string[];
  /** Words in front of a program that is to be in the daemon's network. */
  readonly within: readonly string[];
  /** Processor time of the daemons and their children until now. */
  readonly cpuMs: () => number;
};

const DAEMONS = ["dockerd", "containerd"];
/** USER_HZ: proc_pid_stat(5) counts in hundredths of a second everywhere. */
const TICK_MS = 10;
const TIMEOUT_MS = 300_000;

/** Starts it, with all of its files on `disk`; or why it is left out. `defer` is given what ends it. */
export async function startDocker(
  around: Surroundings,
  disk: string,
  defer: (end: () => Promise<void>) => void,
): Promise<Docker | string> {
  const { peers } = around.programs;
  const [client, daemon] = [peers.get("docker"), peers.get("dockerd")];
  if (client === undefined || daemon === undefined || Bun.which("containerd") === null) {
    return "docker is not here";
  }
  try {
    return await startDaemon(client, around.mark, disk, defer);
  } catch (error) {
    // Not every machine lets a daemon live in namespaces: the others are measured all the same.
    return `docker: ${error}`;
  }
}

async function startDaemon(
  client: string,
  mark: string,
  disk: string,
  defer: (end: () => Promise<void>) => void,
): Promise<Docker> {
  const dir = join(disk, "docker");
  mkdirSync(dir);
  const socket = `unix://${dir}/socket`;
  const settings = join(dir, "daemon.json");
  writeFileSync(settings, JSON.stringify(daemonSettings(dir, socket)));
  const host = await openHost({ mark: `${mark}-docker`, defer });
  const told = [client, "--host", socket];
  await host.daemon(["dockerd", "--config-file", settings], [...told, "version"]);
  const within = ["nsenter", `--net=/proc/${host.pid}/ns/net`];
  return { client: told, within, cpuMs: () => cpuMsOf(host.pid) };
}

function daemonSettings(dir: string, socket: string): object {
  return {
    hosts: [socket],
    "data-root": join(dir, "data"),
    "storage-driver": "overlay2",
    bridge: "none",
    iptables: false,
    ip6tables: false,
    "ip-forward": false,
    "oom-score-adjust": 0,
  };
}

/** Removes all images. */
export async function clearDocker({ client }: Docker): Promise<void> {
  const words = [...client, "image", "prune", "--all", "--force"];
  mustSucceed(await run(words, { timeoutMs: TIMEOUT_MS }));
}

/** Of the daemons in the network of that process. */
function cpuMsOf(pid: number): number {
  const network = readlinkSync(`/proc/${pid}/ns/net`);
  let ticks = 0;
  for (const name of readdirSync("/proc")) {
    if (Number.isNaN(Number(name)) || !existsSync(`/proc/${name}/ns/net`)) continue;
    ticks += daemonTicks(`/proc/${name}`, network);
  }
  return ticks * TICK_MS;
}

function daemonTicks(process: string, network: string): number {
  try {
    if (readlinkSync(`${process}/ns/net`) !== network) return 0;
    const stat = readFileSync(`${process}/stat`, "utf8");
    const [begin, end] = [stat.indexOf("("), stat.lastIndexOf(")")];
    if (!DAEMONS.includes(stat.slice(begin + 1, end))) return 0;
    // utime, stime, cutime and cstime are fields 14 to 17; the third comes first here.
    const times = stat
      .slice(end + 2)
      .split(" ")
      .slice(11, 15);
    return times.reduce((sum, time) => sum + Number(time), 0);
  } catch {
    // It has ended meanwhile.
    return 0;
  }
}
