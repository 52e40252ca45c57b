/**
 * kill -9 of each of our processes at any moment: the container ends, and after the next command
 * nothing of it is left: no process, cgroup, mount, directory. The moments are spread evenly, so
 * that a run meets each stage of starting, running and ending.
 */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findProcesses } from "../harness/census.ts";
import { images } from "../harness/images.ts";
import { run, until } from "../harness/run.ts";
import { type Cli, IMAGE, openCli, openLoadedCli } from "./cli-scene.ts";

const ROUNDS = 25;
/** A whole run takes about this long, so that the last kills come too late. */
const SPREAD_MS = 150;

/** Pids of the process and of all below it. */
function family(pid: number): number[] {
  const text = Bun.spawnSync(["ps", "-e", "-o", "pid=,ppid="]).stdout.toString();
  const pairs = text
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number));
  const found = [pid];
  for (const parent of found) {
    for (const [child = 0, of] of pairs) if (of === parent) found.push(child);
  }
  return found;
}

function killHard(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself a moment ago.
  }
}

/** Nothing of the scene's store runs or has a cgroup any more. */
async function expectQuiet(cli: Cli): Promise<void> {
  const mine = () => findProcesses(cli.scene.scope).map(({ pid, comm }) => `${pid} ${comm}`);
  await until(
    () => mine().length === 0,
    5_000,
    () => `the end of ${mine().join(", ")}`,
  );
  await until(
    () => cli.cgroups().length === 0,
    5_000,
    () => `the end of ${cli.cgroups().join(" ")}`,
  );
}

/** What each round kills, of the list of processes from the CLI down. */
const victims: [name: string, choose: (pids: readonly number[]) => (number | undefined)[]][] = [
  ["tare", (pids) => [pids[0]]],
  ["the helper or the runtime", (pids) => [pids[1]]],
  ["tare and the runtime together", (pids) => pids.slice(0, 2)],
  ["the container's first process", (pids) => [pids[2]]],
];

describe("kill -9 at a random moment", () => {
  test.each(victims)(
    "of %s leaves nothing",
    async (_name, choose) => {
      const cli = await openLoadedCli();
      for (let round = 0; round < ROUNDS; round++) {
        const words = cli.runWords("-u", "0", IMAGE, "sleep", "30");
        const child = Bun.spawn(cli.command(...words), { stdio: ["ignore", "ignore", "ignore"] });
        await Bun.sleep((round * SPREAD_MS) / ROUNDS);
        const pids = family(child.pid);
        for (const pid of choose(pids)) killHard(pid);
        if (choose(pids)[0] === undefined) killHard(child.pid);
        await child.exited;
        expect((await cli.run(IMAGE, "true")).code).toBe(0);
        await expectQuiet(cli);
        expect(cli.containers()).toEqual([]);
        expect(readdirSync(join(cli.dataRoot, "tmp"))).toEqual([]);
      }
    },
    180_000,
  );
});

test("kill -9 of a load at any moment leaves an image or none", async () => {
  const { dockerArchiveGzip } = await images();
  const cli = await openCli();
  for (let round = 0; round < ROUNDS; round++) {
    const child = Bun.spawn(cli.command("load", "-i", dockerArchiveGzip), {
      stdio: ["ignore", "ignore", "ignore"],
    });
    await Bun.sleep(round * 12);
    killHard(child.pid);
    await child.exited;
    const { stdout } = await cli.tare(["images", "-q"]);
    const [id] = stdout.trim().split("\n");
    if (id !== undefined && id !== "") {
      expect((await cli.run("-u", "0", "--entrypoint", "cat", id, "/added")).stdout).toBe(
        "added\n",
      );
      expect((await cli.tare(["rmi", "-f", id])).code).toBe(0);
    }
  }
  expect((await cli.tare(["load", "-i", dockerArchiveGzip])).code).toBe(0);
  expect(readdirSync(join(cli.dataRoot, "tmp"))).toEqual([]);
  expect(readdirSync(join(cli.dataRoot, "layers"))).toHaveLength(2);
}, 180_000);

test("what cannot be swept is told, and the command's own work and status stand", async () => {
  const cli = await openLoadedCli();
  const left = join(cli.dataRoot, "containers", "e".repeat(64));
  mkdirSync(join(left, "busy"), { recursive: true });
  writeFileSync(join(left, "owner.json"), JSON.stringify({ owner: "1-1", runtime: "/bin/false" }));
  const tare = cli.command(...cli.runWords("-u", "0", IMAGE, "sh", "-c", "sleep 0.3; exit 5"));
  const script = 'mount -t tmpfs none "$0" && exec "$@"';
  const own = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script];
  const ran = await run([...own, join(left, "busy"), ...tare]);
  expect(ran.stderr).toMatch(/^tare: Cannot clean up container "e{64}": [^\n]*\n$/);
  expect(ran.code).toBe(5);
  expect((await cli.run(IMAGE, "true")).stderr).toBe("");
  expect(cli.containers()).toEqual([]);
});

test("a container that outlived its command is ended before rm takes its files", async () => {
  const cli = await openLoadedCli();
  const words = cli.runWords(
    "-u",
    "0",
    "--runtime",
    "runc",
    "--name",
    "lost",
    IMAGE,
    "sleep",
    "60",
  );
  const kept = words.filter((word) => word !== "--rm");
  const child = Bun.spawn(cli.command(...kept), { stdio: ["ignore", "ignore", "ignore"] });
  await until(
    () => family(child.pid).length >= 3 && cli.cgroups().length > 0,
    10_000,
    () => "a start",
  );
  killHard(child.pid);
  await child.exited;
  expect((await cli.tare(["rm", "lost"])).stdout).toBe("lost\n");
  await expectQuiet(cli);
  expect(cli.containers()).toEqual([]);
});
