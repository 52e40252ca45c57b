/**
 * `bun bench/where.ts [--rounds N] [--rows N]`: where `tare-runtime run` spends its time. Three views:
 * system calls and the JavaScript between them, from traces by perf that leave out the time others had
 * the processor (strace gives the calls their arguments); what each part of the configuration costs, by
 * leaving it out, in pairs; and instructions of the start-up, where valgrind is there.
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { findArchitecture } from "../packages/runtime/src/seccomp/architectures.ts";
import { syscallTable } from "../packages/runtime/src/seccomp/tables.ts";
import type { BundleConfig } from "../tests/harness/bundle.ts";
import { busyboxRootfs, copyRootfs, mustSucceed } from "../tests/harness/fixtures.ts";
import { requireRoot } from "../tests/harness/places.ts";
import { run } from "../tests/harness/run.ts";
import { rewriteConfig, writeDockerLikeBundle } from "./harness/bundle.ts";
import { runContest } from "./harness/contest.ts";
import { openMeasure } from "./harness/measure.ts";
import { currentPlace, furnish, type Place, runInPlace, STATE_DIR } from "./harness/place.ts";
import { findPrograms } from "./harness/programs.ts";
import { median } from "./harness/statistics.ts";
import {
  labelCalls,
  mostAlike,
  parseStrace,
  parseTrace,
  type TracedCall,
  type TracedProcess,
  withoutNoise,
} from "./harness/trace.ts";

const NATIVE = process.arch === "arm64" ? "SCMP_ARCH_AARCH64" : "SCMP_ARCH_X86_64";

type Options = { readonly rounds: number; readonly rows: number };
type Scene = {
  readonly place: Place;
  readonly program: string;
  readonly bundle: string;
  readonly config: BundleConfig;
};

/** Each makes the configuration smaller by one thing. */
const WITHOUT: Readonly<Record<string, (config: BundleConfig) => void>> = {
  seccomp: ({ linux }) => delete linux.seccomp,
  limits: ({ linux }) => {
    linux.resources = {};
  },
  "device rules": ({ linux }) => {
    const { devices: _, ...others } = linux.resources;
    linux.resources = others;
  },
  "masked and read-only paths": ({ linux }) => {
    linux.maskedPaths = [];
    linux.readonlyPaths = [];
  },
  "three bind mounts": (config) => leaveMounts(config, "bind"),
  "the cgroup mount": (config) => leaveMounts(config, "cgroup"),
  "the mqueue mount": (config) => leaveMounts(config, "mqueue"),
  "the network namespace": (config) => leaveNamespace(config, "network"),
  "the ipc namespace, and mqueue": (config) => {
    leaveNamespace(config, "ipc");
    leaveMounts(config, "mqueue");
  },
  "the cgroup namespace": (config) => leaveNamespace(config, "cgroup"),
  "the uts namespace": (config) => {
    leaveNamespace(config, "uts");
    delete config.hostname;
  },
  capabilities: ({ process }) => delete process.capabilities,
};

function leaveMounts(config: BundleConfig, without: string): void {
  config.mounts = config.mounts.filter(({ type }) => type !== without);
}

function leaveNamespace(config: BundleConfig, without: string): void {
  config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== without);
}

function command({ place, program, bundle }: Scene): string[] {
  const id = `${place.mark}-c`;
  return [program, "--root", STATE_DIR, "run", "--bundle", bundle, id];
}

/** Time by call: the median over the rounds that made the same calls. */
async function traceCalls(scene: Scene, { rounds, rows }: Options): Promise<void> {
  const shown = await strace(scene);
  const names = new Map(
    [...syscallTable(findArchitecture(NATIVE))].map(([name, number]) => [number, name]),
  );
  const nameOf = (number: number): string => names.get(number) ?? `#${number}`;
  const traces: TracedProcess[][] = [];
  for (let round = 0; round < rounds; round++) traces.push(parseTrace(await perfTrace(scene)));
  shown.forEach((calls, index) => {
    const own = traces.map((processes) => withoutNoise(processes[index]?.calls ?? [], nameOf));
    const alike = mostAlike(own);
    console.log(`\n== process ${index}: ${alike.length} of ${rounds} traces`);
    printProcess(mergeCalls(alike, calls), rows);
  });
}

type Merged = Omit<TracedCall, "number"> & { readonly shown: string; readonly previous: string };

function mergeCalls(
  traces: ReturnType<typeof mostAlike>,
  shown: Parameters<typeof labelCalls>[1],
): Merged[] {
  const names = (traces[0] ?? []).map(({ name }) => name);
  const labels = labelCalls(names, shown);
  return labels.map((label, at) => {
    const of = (field: (call: TracedCall) => number): number =>
      median(traces.flatMap((calls) => calls.slice(at, at + 1).map(field)));
    return {
      shown: label,
      previous: labels[at - 1] ?? "(start)",
      beforeUs: of(({ beforeUs }) => beforeUs),
      insideUs: of(({ insideUs }) => insideUs),
      wallUs: of(({ wallUs }) => wallUs),
    };
  });
}

function printProcess(calls: readonly Merged[], rows: number): void {
  const sum = (of: (call: Merged) => number): string =>
    ms(calls.reduce((all, call) => all + of(call), 0));
  const program = sum(({ beforeUs }) => beforeUs);
  const kernel = sum(({ insideUs }) => insideUs);
  const waiting = sum(({ wallUs }) => wallUs);
  console.log(
    `${calls.length} calls; ms: program ${program}, kernel ${kernel}, kernel with waiting ${waiting}`,
  );
  const top = (of: (call: Merged) => number): readonly Merged[] =>
    calls.toSorted((a, b) => of(b) - of(a)).slice(0, rows);
  console.log("-- the program between two calls: ms");
  for (const { beforeUs, previous, shown } of top((call) => call.beforeUs)) {
    console.log(`${ms(beforeUs)}  ${previous.slice(0, 60)}  ->  ${shown.slice(0, 60)}`);
  }
  console.log("-- calls: ms on the processor, ms with waiting");
  for (const { insideUs, wallUs, shown } of top((call) => call.wallUs)) {
    console.log(`${ms(insideUs)}  ${ms(wallUs)}  ${shown}`);
  }
  console.log("-- calls of one name: ms on the processor, number");
  const byName = Map.groupBy(calls, ({ shown }) => shown.split("(")[0] ?? shown);
  const sums = [...byName].map(([name, all]) => ({
    name,
    count: all.length,
    insideUs: all.reduce((sum, call) => sum + call.insideUs, 0),
  }));
  for (const { name, count, insideUs } of sums
    .sort((a, b) => b.insideUs - a.insideUs)
    .slice(0, rows)) {
    console.log(`${ms(insideUs)}  ${String(count).padStart(4)}  ${name}`);
  }
}

function ms(us: number): string {
  return (us / 1000).toFixed(3);
}

async function strace(scene: Scene): ReturnType<typeof parseStraceFile> {
  const file = join(scene.place.scratch, "strace");
  mustSucceed(await run(["strace", "-f", "-s", "80", "-o", file, ...command(scene)]));
  return parseStraceFile(file);
}

async function parseStraceFile(file: string) {
  return parseStrace(readFileSync(file, "utf8"));
}

/** Into the kernel's own buffer: the program is not stopped at its calls. */
async function perfTrace(scene: Scene): Promise<string> {
  const file = join(scene.place.scratch, "perf.data");
  const events = ["-e", "raw_syscalls:sys_enter,raw_syscalls:sys_exit"];
  const record = ["perf", "record", "-q", "--switch-events", "-m", "4M", "-o", file, ...events];
  mustSucceed(await run([...record, "--", ...command(scene)]));
  const script = [
    "perf",
    "script",
    "-i",
    file,
    "--show-switch-events",
    "-F",
    "comm,pid,time,event,trace",
  ];
  const { stdout } = mustSucceed(await run(script));
  rmSync(file);
  return stdout;
}

/** What each part of the configuration costs: the whole against the whole without it. */
async function eliminate(scene: Scene, { rounds }: Options): Promise<void> {
  console.log(
    "\n== ms saved by leaving out (median of pairs and its interval), and its processor time",
  );
  const measure = await openMeasure(scene.place.scratch);
  for (const [what, edit] of Object.entries(WITHOUT)) {
    const config = structuredClone(scene.config);
    edit(config);
    const bundle = join(scene.place.scratch, "without");
    mkdirSync(bundle, { recursive: true });
    rewriteConfig(bundle, config);
    const { wallAboveMs, ours, peer } = runContest(
      {
        name: what,
        ours: { label: "whole", words: command(scene) },
        peer: { label: "without", words: command({ ...scene, bundle }) },
        bars: {},
        pairs: rounds,
      },
      { pairs: rounds, warmUps: 2 },
      { measure, random: Math.random },
    );
    const { median: middle, low, high } = wallAboveMs;
    const range = `(${low.toFixed(2)} to ${high.toFixed(2)})`;
    const cpuMs = (ours.cpuMs - peer.cpuMs).toFixed(2);
    console.log(
      `${middle.toFixed(2).padStart(6)} ${range.padEnd(16)} cpu ${cpuMs.padStart(6)}  ${what}`,
    );
  }
}

/** Instructions do not depend on what else the machine does. */
async function countInstructions({ place, program }: Scene): Promise<void> {
  if (Bun.which("valgrind") === null) return;
  console.log("\n== instructions of the start-up, by valgrind");
  const out = `--callgrind-out-file=${join(place.scratch, "callgrind")}`;
  for (const words of [["--version"], ["state", "none"]]) {
    const { stderr } = await run(["valgrind", "--tool=callgrind", out, program, ...words]);
    const count = /Collected : (\d+)/.exec(stderr)?.[1] ?? "?";
    console.log(`${count.padStart(12)}  ${words.join(" ")}`);
  }
}

async function runInside(place: Place, options: Options): Promise<void> {
  await furnish();
  const program = findPrograms(place.scratch).ours.get("tare-runtime");
  if (program === undefined) throw new Error("Cannot look: dist/tare-runtime is not built");
  const rootfs = await copyRootfs(await busyboxRootfs(), join(place.scratch, "rootfs"));
  const bundle = join(place.scratch, "bundle");
  const config = writeDockerLikeBundle({ dir: bundle, cgroup: `${place.mark}-c`, rootfs });
  const scene = { place, program, bundle, config };
  mustSucceed(await run(command(scene)));
  if (Bun.which("perf") !== null && Bun.which("strace") !== null) await traceCalls(scene, options);
  await eliminate(scene, options);
  await countInstructions(scene);
}

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "30" },
    rows: { type: "string", default: "25" },
  },
});
requireRoot();
const place = currentPlace();
if (place === undefined) {
  process.exitCode = await runInPlace(import.meta.path, process.argv.slice(2));
} else {
  await runInside(place, { rounds: Number(values.rounds), rows: Number(values.rows) });
}
