/**
 * `validation/` of opencontainers/runtime-tools: 58 programs in Go, each one property of the
 * specification, most of it checked from inside of a container. Wants `make runtimetest
 * validation-executables` in the checkout. A program is one test here: it ends well and none of its
 * points fails (its exit status alone says nothing; some print no point when all is well).
 */
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runInArena } from "./arena.ts";
import { chosenFiles, type Result, type Round, type Suite } from "./suite.ts";
import { parseTap } from "./tap.ts";

const TIMEOUT_MS = 120_000;

export const runtimeTools: Suite = {
  name: "runtime-tools",
  title: "opencontainers/runtime-tools, validation",
  variable: "TARE_SUITE_RUNTIME_TOOLS",
  lacks: (checkout) => {
    const built = existsSync(join(checkout, "runtimetest")) && programsOf(checkout).length > 0;
    return built ? undefined : "`make runtimetest validation-executables` was not run in it";
  },
  run,
};

/** A directory has one program of the same name. */
function programsOf(checkout: string): string[] {
  const names = readdirSync(join(checkout, "validation")).sort();
  return names.filter((name) => existsSync(join(checkout, programOf(name))));
}

function programOf(name: string): string {
  return join("validation", name, `${name}.t`);
}

async function* run(round: Round): AsyncGenerator<readonly Result[]> {
  for (const name of chosenFiles(programsOf(round.checkout), round.files)) {
    const ran = await runInArena([`./${programOf(name)}`], {
      // It looks for its root file system and its program inside of containers here.
      cwd: round.checkout,
      env: { RUNTIME: round.runtime, TMPDIR: round.work },
      timeoutMs: TIMEOUT_MS,
    });
    writeFileSync(join(round.logs, `${name}.log`), ran.stdout);
    yield [verdictOf(name, ran.stdout, ran.code)];
  }
}

/** @param code of the program; null if it was killed at the time limit */
export function verdictOf(name: string, output: string, code: number | null): Result {
  const points = parseTap(output);
  const bad = points.filter((point) => point.verdict === "fail");
  const passed = bad.length === 0 && code === 0;
  const skipped = passed && points.length > 0 && points.every((one) => one.verdict === "skip");
  const reasons = skipped ? points.map((point) => point.reason) : bad.map((point) => point.name);
  const ended = code === 0 ? [] : [code === null ? "ran out of time" : `ended with ${code}`];
  const tail = code === 0 ? [] : output.trimEnd().split("\n").slice(-3);
  return {
    file: name,
    test: name,
    verdict: skipped ? "skip" : passed ? "pass" : "fail",
    detail: [...ended, ...reasons.slice(0, 5), ...tail].join("\n"),
  };
}
