/**
 * The programs that are measured. Ours are copied into the scratch directory first, so that a build
 * that runs meanwhile does not change what is measured.
 */
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { cpus, release } from "node:os";
import { join, resolve } from "node:path";
import { REPO } from "../../tests/harness/places.ts";
import { run } from "../../tests/harness/run.ts";

const OURS = ["tare-runtime", "tare-helper", "tare-init", "tare"] as const;
const PEERS = ["crun", "runc", "podman", "docker", "dockerd"] as const;
/** Before what somebody put into PATH: client and daemon are to be of one package. */
const DEBIAN_PATH = "/usr/bin:/usr/sbin";
type Ours = (typeof OURS)[number];
type Peer = (typeof PEERS)[number];

export type Programs = {
  readonly ours: ReadonlyMap<Ours, string>;
  readonly peers: ReadonlyMap<Peer, string>;
};

/**
 * Absolute paths of what there is; a program that is missing has no entry. Peers are looked for in a
 * directory of peers first, then where Debian has them, then in PATH.
 */
export function findPrograms(scratch: string, peersDir?: string): Programs {
  const dir = join(scratch, "dist");
  mkdirSync(dir);
  const ours = new Map<Ours, string>();
  for (const name of OURS) {
    const built = join(REPO, "dist", name);
    if (!existsSync(built)) continue;
    copyFileSync(built, join(dir, name));
    ours.set(name, join(dir, name));
  }
  const peers = new Map<Peer, string>();
  const { PATH = "" } = process.env;
  const usual = `${DEBIAN_PATH}:${PATH}`;
  const where = peersDir === undefined ? usual : `${resolve(peersDir)}:${usual}`;
  for (const name of PEERS) {
    const found = Bun.which(name, { PATH: where });
    if (found !== null) peers.set(name, found);
  }
  return { ours, peers };
}

export type Machine = {
  readonly kernel: string;
  readonly cpuCount: number;
  readonly cpuModel: string;
  /** /proc/loadavg: over 1, 5 and 15 minutes, and running and existing threads. */
  readonly load: string;
  /** First line of `--version` of each peer. */
  readonly versions: Readonly<Record<string, string>>;
};

/** What a result must say of where it was measured. */
export async function describeMachine(programs: Programs): Promise<Machine> {
  const versions: Record<string, string> = {};
  for (const [name, path] of programs.peers) {
    const said = await run([path, "--version"]);
    versions[name] = said.stdout.split("\n")[0] ?? "";
  }
  const processors = cpus();
  return {
    kernel: release(),
    cpuCount: processors.length,
    cpuModel: processors[0]?.model ?? "unknown",
    load: (await Bun.file("/proc/loadavg").text()).split(" ").slice(0, 4).join(" "),
    versions,
  };
}
