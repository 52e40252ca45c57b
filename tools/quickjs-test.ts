/**
 * Runs the tests of packages/spec and packages/runtime on the engine that ships: each `*.test.ts`
 * (not `*.oracle.test.ts`, which need Bun) is bundled with tests/quickjs in place of `bun:test` and
 * run by dist/tare-host-dev. `bun tools/quickjs-test.ts [FILE...]`, after `build.ts --dev`.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";

const ROOT = join(import.meta.dir, "..");
const HOST = join(ROOT, "dist/tare-host-dev");
const SHIM = join(ROOT, "tests/quickjs/bun-test.ts");
const TIME_LIMIT_MS = 120_000;
const PACKAGES = ["spec", "runtime"];

export type Counts = { passed: number; failed: number; skipped: number };

/** The files that must run on QuickJS, in a fixed order. */
function testFiles(): string[] {
  const patterns = [`packages/{${PACKAGES.join(",")}}/src/**/*.test.ts`, "tests/fuzz/*.test.ts"];
  return patterns
    .flatMap((pattern) => Array.from(new Bun.Glob(pattern).scanSync({ cwd: ROOT })))
    .filter((file) => !file.endsWith(".oracle.test.ts"))
    .sort()
    .map((file) => join(ROOT, file));
}

async function bundle(file: string, to: string): Promise<void> {
  const entry = `${file}.entry`;
  const result = await Bun.build({
    entrypoints: [entry],
    // As tools/build.ts bundles what ships.
    target: "bun",
    format: "esm",
    external: ["tare:sys"],
    throw: false,
    plugins: [
      {
        name: "quickjs",
        setup(build) {
          // For this target the bundler leaves "bun:test" alone, whatever a resolver says.
          build.onLoad({ filter: /\.test\.ts$/ }, async ({ path }) => ({
            contents: (await Bun.file(path).text()).replace('"bun:test"', JSON.stringify(SHIM)),
            loader: "ts",
          }));
          build.onResolve({ filter: /\.entry$/ }, ({ path }) => ({ path, namespace: "entry" }));
          build.onLoad({ filter: /./, namespace: "entry" }, () => ({
            contents: `import ${JSON.stringify(file)};
              import { finish } from ${JSON.stringify(SHIM)};
              finish();`,
            loader: "ts",
          }));
        },
      },
    ],
  });
  const [output] = result.outputs;
  if (!result.success || output === undefined) {
    throw new Error(`Cannot bundle "${relative(ROOT, file)}": ${result.logs.join("\n")}`);
  }
  await Bun.write(to, output);
}

/** Runs one file; a program that ends early counts as one failure. */
async function runFile(file: string, script: string): Promise<Counts> {
  await bundle(file, script);
  const child = Bun.spawn([HOST, "--script", script], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: TIME_LIMIT_MS,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const status = await child.exited;
  const lines = stdout.trimEnd().split("\n");
  const counts = readCounts(lines.at(-1) ?? "");
  if (status === 0 && counts !== undefined) {
    if (counts.failed > 0) console.log(lines.slice(0, -1).join("\n"));
    return counts;
  }
  console.log(`${stdout}${stderr}The host ended with ${child.signalCode ?? status}`);
  return { passed: 0, failed: 1, skipped: 0 };
}

function readCounts(line: string): Counts | undefined {
  if (!line.startsWith('{"passed":')) return undefined;
  const { passed, failed, skipped, expected } = JSON.parse(line) as Counts & { expected: number };
  // Without expectations nothing was tested.
  return expected > 0 ? { passed, failed, skipped } : undefined;
}

async function main(): Promise<number> {
  const named = process.argv.slice(2).map((file) => resolve(file));
  const dir = mkdtempSync(join(tmpdir(), "tare-quickjs-"));
  const sum: Counts = { passed: 0, failed: 0, skipped: 0 };
  try {
    for (const file of named.length > 0 ? named : testFiles()) {
      const began = performance.now();
      const counts = await runFile(file, join(dir, "test.js")).catch((error: unknown) => {
        console.log(String(error));
        return { passed: 0, failed: 1, skipped: 0 };
      });
      const tookMs = Math.round(performance.now() - began);
      const verdict = counts.failed > 0 ? `${counts.failed} FAILED` : `${counts.passed} passed`;
      console.log(`${relative(ROOT, file)}: ${verdict} (${tookMs} ms)`);
      for (const key of ["passed", "failed", "skipped"] as const) sum[key] += counts[key];
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
  return sum.failed === 0 && sum.passed > 0 ? 0 : 1;
}

if (import.meta.main) process.exit(await main());
