/**
 * crun's own tests, `tests/*.py`. Wants the static helper `tests/init` (crun's Makefile makes it)
 * and Python 3.12, since one test calls `os.setns`. The tests of mounts want the module `libmount`,
 * which Debian does not package; a small one of ours stands in for it.
 */
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runInArena } from "./arena.ts";
import { chosenFiles, type Result, type Round, type Suite } from "./suite.ts";
import { pointResults } from "./tap.ts";

const TIMEOUT_MS = 300_000;

export const crun: Suite = {
  name: "crun",
  title: "containers/crun, tests/*.py",
  variable: "TARE_SUITE_CRUN",
  lacks: (checkout) => {
    if (!existsSync(join(checkout, "tests/init"))) return "the helper tests/init was not built";
    const { exitCode } = Bun.spawnSync(["python3", "-c", "import os; os.setns"]);
    return exitCode === 0 ? undefined : "python3 in PATH is older than 3.12";
  },
  run,
};

function filesOf(checkout: string): string[] {
  const names = readdirSync(join(checkout, "tests")).sort();
  return names
    .filter((name) => name.startsWith("test_") && name.endsWith(".py"))
    .map((name) => name.slice("test_".length, -".py".length));
}

async function* run(round: Round): AsyncGenerator<readonly Result[]> {
  const tests = join(round.checkout, "tests");
  // Help and version are wanted in the name of crun: ours are in the name it is called by.
  const runtime = join(round.work, "crun");
  symlinkSync(round.runtime, runtime);
  for (const name of chosenFiles(filesOf(round.checkout), round.files)) {
    const cwd = join(round.work, name);
    mkdirSync(cwd);
    const ran = await runInArena(["python3", join(tests, `test_${name}.py`)], {
      cwd,
      env: {
        OCI_RUNTIME: runtime,
        INIT: join(tests, "init"),
        PYTHONPATH: join(import.meta.dir, "stand-ins"),
        PYTHONDONTWRITEBYTECODE: "1",
        PYTHONUNBUFFERED: "1",
        TMPDIR: cwd,
      },
      timeoutMs: TIMEOUT_MS,
    });
    writeFileSync(join(round.logs, `${name}.log`), ran.stdout);
    yield pointResults(name, ran.stdout, "before");
  }
}
