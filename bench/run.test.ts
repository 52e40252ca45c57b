/** The benches themselves, as short as they can be, so that they cannot rot. No time is judged. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allCgroups } from "../tests/harness/cgroups.ts";
import { BUILD, REPO } from "../tests/harness/places.ts";

setDefaultTimeout(180_000);

const NEEDS = ["gcc", "unshare", "crun", "runc", "podman"];
const canRun =
  process.getuid?.() === 0 &&
  existsSync(join(REPO, "dist/tare-runtime")) &&
  NEEDS.every((name) => Bun.which(name) !== null);

/** What a bench leaves behind if it forgets. */
function traces(): string[] {
  const scratch = existsSync(BUILD) ? readdirSync(BUILD) : [];
  return [...allCgroups(), ...scratch].filter((name) => name.includes("tare-bench-"));
}

test.skipIf(!canRun)("every bench runs, writes its lines and leaves nothing", () => {
  const before = traces();
  const dir = mkdtempSync(join(tmpdir(), "tare-bench-test-"));
  try {
    const out = join(dir, "results.jsonl");
    const words = [process.execPath, join(import.meta.dir, "run.ts"), "--quick", "--out", out];
    const ran = Bun.spawnSync(words, { stdio: ["ignore", "pipe", "pipe"] });
    expect(ran.stderr.toString()).toBe("");
    expect(ran.exitCode).toBe(0);
    const lines = readFileSync(out, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const benches = new Set(lines.map(({ bench }) => bench));
    expect([...benches]).toEqual([undefined, "start", "run", "image"]);
    for (const { wallRatio } of lines.filter(({ kind }) => kind === "contest")) {
      expect(wallRatio.median).toBeGreaterThan(0);
    }
    expect(traces().filter((name) => !before.includes(name))).toEqual([]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
