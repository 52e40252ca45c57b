/**
 * crun's own tests, `tests/*.py`. Wants the static helper `tests/init` (crun's Makefile makes it)
 * and Python 3.12, since one test calls `os.setns`. The tests of mounts want the module `libmount`,
 * which Debian does not package; a small one of ours stands in for it.
 */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { basename, join } from "node:path";
import { runInArena } from "./arena.ts";
import { chosenFiles, type Result, type Round, type Suite } from "./suite.ts";
import { pointResults } from "./tap.ts";

const TIMEOUT_MS = 120_000;
/** A line of the table of tests at the end of a file. */
const TEST = /^\s+"([^"]+)"\s*:\s*test_/gm;

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
    rmSync(join(round.logs, `${name}.log`), { force: true });
    const path = join(tests, `test_${name}.py`);
    const names = Array.from(readFileSync(path, "utf8").matchAll(TEST), ([, test = ""]) => test);
    const once = (env: Readonly<Record<string, string>>) => runFile(round, path, cwd, env);
    let results = await once({});
    // One that waits for ever takes the others with it: they get another round without it.
    while (results.length < names.length) {
      const [hung = "", ...rest] = names.slice(results.length);
      const late = { file: name, test: hung, verdict: "fail", detail: "ran out of time" } as const;
      results = [
        ...results,
        late,
        ...(rest.length === 0 ? [] : await once({ RUN_TESTS: rest.join(" ") })),
      ];
    }
    yield results;
  }
}

async function runFile(
  round: Round,
  path: string,
  cwd: string,
  env: Readonly<Record<string, string>>,
): Promise<Result[]> {
  const name = basename(path, ".py").slice("test_".length);
  const ran = await runInArena(["python3", path], {
    cwd,
    env: {
      OCI_RUNTIME: join(round.work, "crun"),
      INIT: join(round.checkout, "tests/init"),
      PYTHONPATH: join(import.meta.dir, "stand-ins"),
      PYTHONDONTWRITEBYTECODE: "1",
      PYTHONUNBUFFERED: "1",
      TMPDIR: cwd,
      ...env,
    },
    timeoutMs: TIMEOUT_MS,
  });
  appendFileSync(join(round.logs, `${name}.log`), ran.stdout);
  return pointResults(name, ran.stdout, "before");
}
