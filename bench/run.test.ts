/** The benches themselves, as short as they can be, so that they cannot rot. No time is judged. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allCgroups } from "../tests/harness/cgroups.ts";
import { BUILD, REPO } from "../tests/harness/places.ts";
import { scratchPrefix } from "./harness/place.ts";

// Loads and pulls wait for the disk, which on a busy machine takes minutes.
setDefaultTimeout(900_000);

const PEERS = ["crun", "runc", "podman"];
const isRoot = process.getuid?.() === 0;
const isBuilt = existsSync(join(REPO, "dist/tare-runtime")) && existsSync(join(REPO, "dist/tare"));
const has = (...names: string[]): boolean => names.every((name) => Bun.which(name) !== null);
const canRun = isRoot && isBuilt && has("gcc", "unshare");

const dir = mkdtempSync(join(tmpdir(), "tare-bench-test-"));
afterAll(() => rmSync(dir, { recursive: true }));

function start(script: string, ...words: string[]) {
  const argv = [process.execPath, join(import.meta.dir, script), ...words];
  return Bun.spawn(argv, { stdio: ["ignore", "pipe", "pipe"] });
}

/** What a bench leaves behind if it forgets. */
function traces(pid: number): string[] {
  const scratch = existsSync(BUILD) ? readdirSync(BUILD) : [];
  return [...allCgroups(), ...scratch].filter((name) => name.includes(scratchPrefix(pid)));
}

/** Without docker, which is not everywhere. */
function storeRows(): string[] {
  const works = has("docker-registry", "skopeo") ? ["load small", "pull small"] : ["load small"];
  const both = (row: string) => [row, `${row}, written back`];
  const rows = works.flatMap((work) => [
    ...both(`${work}, podman`),
    ...both(`${work}, gzip and tar`),
  ]);
  return [...rows, "images of 3, podman", "image inspect of 3, podman"];
}

test.skipIf(!canRun || !has(...PEERS))(
  "every bench runs, writes its lines and leaves nothing",
  async () => {
    const out = join(dir, "results.jsonl");
    const child = start("run.ts", "--quick", "--out", out);
    expect(await new Response(child.stderr).text()).toBe("");
    expect(await child.exited).toBe(0);
    const text = readFileSync(out, "utf8").trimEnd();
    const [header, ...lines] = text.split("\n").map((line) => JSON.parse(line));
    expect(header).toMatchObject({ kind: "run", quick: true });
    expect([...new Set(lines.map(({ bench }) => bench))]).toEqual([
      "start",
      "run",
      "crowd",
      "image",
      "store",
    ]);
    expect(lines.at(-1)).toMatchObject({ kind: "end" });
    const contests = lines.filter(({ kind }) => kind === "contest");
    const ofStore = contests.filter(({ bench }) => bench === "store").map(({ name }) => name);
    expect(ofStore.filter((name: string) => !name.includes("docker"))).toEqual(storeRows());
    expect(contests.filter(({ bench }) => bench !== "store")).toHaveLength(11);
    for (const { wallRatio } of contests) expect(wallRatio.median).toBeGreaterThan(0);
    expect(traces(child.pid)).toEqual([]);
  },
);

test.skipIf(!canRun || !has("perf", "strace"))("the look at where time goes works", async () => {
  const child = start("where.ts", "--rounds", "1", "--rows", "1");
  const said = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  expect(said).toContain("== process 1: 1 of 1 traces");
  expect(said).toMatch(/-- calls of one name.*\n\d+\.\d{3} +\d+ {2}[a-z]/);
  expect(said).toMatch(/cpu +-?\d+\.\d\d {2}capabilities/);
  expect(traces(child.pid)).toEqual([]);
});

test.skipIf(!canRun)("a bench that is interrupted leaves nothing", async () => {
  const out = join(dir, "stopped.jsonl");
  const child = start("run.ts", "--quick", "--only", "run", "--out", out);
  while (!traces(child.pid).some((name) => name.startsWith("/"))) {
    expect(child.exitCode).toBeNull();
    await Bun.sleep(1);
  }
  child.kill("SIGINT");
  expect(await child.exited).not.toBe(0);
  expect(traces(child.pid)).toEqual([]);
  const kinds = readFileSync(out, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).kind);
  expect([kinds[0], kinds.at(-1)]).toEqual(["run", "stopped"]);
});
