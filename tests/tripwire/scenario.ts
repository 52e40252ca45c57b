/**
 * The commands that are played with failures: how to come to the point where each is called, and
 * what shows that it did what it should.
 */
import { existsSync, readFileSync } from "node:fs";
import { stubbornly } from "../harness/places.ts";
import type { Ran } from "../harness/run.ts";
import { HELD, REPORT, type Stage, type Variant } from "./stage.ts";
import type { Call, Wire } from "./wire.ts";

export type Outcome = {
  /** How the command with the failures ended. */
  readonly ran: Ran;
  readonly calls: readonly Call[];
  /** What the container said of itself afterwards; of a success it must be what it always is. */
  readonly report: string;
};

export type Scenario = {
  readonly name: string;
  readonly variants: readonly Variant[];
  /** Whether a failure takes everything back by itself; else `delete --force` must. */
  readonly undoes: boolean;
  readonly play: (stage: Stage, variant: Variant, wires: readonly Wire[]) => Promise<Outcome>;
};

const DEATH_MS = 1_000;
const ALL = ["usual", "hooks", "mapped", "joined"] as const;

async function must(ran: Promise<Ran>): Promise<void> {
  const { code, stderr } = await ran;
  if (code !== 0) throw new Error(`A command without failures failed: ${stderr}`);
}

function createWords(stage: Stage, variant: Variant): string[] {
  return ["create", "--bundle", stage.bundle(variant), "--pid-file", stage.pidFile, stage.id];
}

/** Created, started and ended. */
async function ended(stage: Stage, variant: Variant): Promise<void> {
  await must(stage.run(...createWords(stage, variant)));
  await must(stage.run("start", stage.id));
  await stage.waitForEnd();
}

const run: Scenario = {
  name: "run",
  variants: ALL,
  undoes: true,
  async play(stage, variant, wires) {
    const words = ["run", "--bundle", stage.bundle(variant), stage.id];
    const played = await stage.play(wires, ...words);
    return { ...played, report: stage.takeReport() };
  },
};

/** The first process goes on in `start`: its calls there belong to `create`, too. */
const create: Scenario = {
  name: "create",
  variants: ALL,
  undoes: true,
  async play(stage, variant, wires) {
    const played = await stage.play(wires, ...createWords(stage, variant));
    if (played.ran.code !== 0) return { ...played, report: stage.takeReport() };
    const started = await stage.run("start", stage.id);
    await stage.waitForEnd();
    const report = stage.takeReport();
    const deleted = await stage.run("delete", stage.id);
    const failed = [started, deleted].find(({ code }) => code !== 0);
    return { ran: failed ?? played.ran, calls: played.calls, report };
  },
};

/** The same with nothing in the cache of filters. */
const createCold: Scenario = {
  ...create,
  name: "create, cold",
  variants: ["usual"],
  play(stage, variant, wires) {
    stage.forgetFilters();
    return create.play(stage, variant, wires);
  },
};

const start: Scenario = {
  name: "start",
  variants: ["usual", "hooks"],
  undoes: false,
  async play(stage, variant, wires) {
    await must(stage.run(...createWords(stage, variant)));
    const played = await stage.play(wires, "start", stage.id);
    if (played.ran.code !== 0) return { ...played, report: stage.takeReport() };
    await stage.waitForEnd();
    const report = stage.takeReport();
    await must(stage.run("delete", stage.id));
    return { ...played, report };
  },
};

const remove: Scenario = {
  name: "delete",
  variants: ["usual", "hooks"],
  undoes: false,
  async play(stage, variant, wires) {
    await ended(stage, variant);
    const played = await stage.play(wires, "delete", stage.id);
    return { ...played, report: stage.takeReport() };
  },
};

const removeByForce: Scenario = {
  name: "delete --force",
  variants: ["usual", "mapped"],
  undoes: false,
  async play(stage, variant, wires) {
    await must(stage.run(...createWords(stage, variant)));
    const played = await stage.play(wires, "delete", "--force", stage.id);
    return { ...played, report: stage.takeReport() };
  },
};

const kill: Scenario = {
  name: "kill",
  variants: ["usual"],
  undoes: false,
  async play(stage, variant, wires) {
    await must(stage.run(...createWords(stage, variant)));
    const played = await stage.play(wires, "kill", stage.id, "KILL");
    if (played.ran.code === 0) await stage.waitForEnd();
    if (played.ran.code === 0) await must(stage.run("delete", stage.id));
    return { ...played, report: stage.takeReport() };
  },
};

const state: Scenario = {
  name: "state",
  variants: ["usual"],
  undoes: false,
  async play(stage, variant, wires) {
    await must(stage.run(...createWords(stage, variant)));
    const played = await stage.play(wires, "state", stage.id);
    await must(stage.run("delete", "--force", stage.id));
    const report = `${stage.takeReport()}${played.ran.stdout}`;
    return { ...played, report: report.replaceAll(/"(pid|created)": .*/g, "") };
  },
};

/** Started, and stays. */
async function running(stage: Stage, variant: Variant): Promise<void> {
  await must(stage.run(...createWords(stage, variant)));
  stage.stay();
  await must(stage.run("start", stage.id));
  await stage.waitForReport();
  stage.takeReport();
}

/** A command on a container that runs; what shows what became of it is asked for afterwards. */
function onRunning(
  name: string,
  words: readonly string[],
  show: (stage: Stage) => Promise<string>,
  more: Partial<Scenario> & { readonly before?: readonly string[] } = {},
): Scenario {
  const { before, ...rest } = more;
  return {
    name,
    variants: ["usual"],
    undoes: false,
    async play(stage, variant, wires) {
      await running(stage, variant);
      if (before !== undefined) await must(stage.run(...before, stage.id));
      const first = await show(stage);
      const [verb = "", ...flags] = words;
      const played = await stage.play(wires, verb, ...flags, stage.id);
      const report = await show(stage);
      const died = wires.some(({ action }) => action.kind === "die");
      if (played.ran.code !== 0 && wires.length === 1 && !died && report !== first) {
        throw new Error(`It fails, but something is done: ${report}`);
      }
      await must(stage.run("delete", "--force", stage.id));
      stage.takeReport();
      return { ...played, report };
    },
    ...rest,
  };
}

async function status(stage: Stage): Promise<string> {
  const { stdout } = await stage.run("state", stage.id);
  return (JSON.parse(stdout) as { status: string }).status;
}

const LIMIT_FILES = [
  ["memory", "memory.limit_in_bytes"],
  ["pids", "pids.max"],
  ["cpu", "cpu.shares"],
  ["cpu", "cpu.cfs_quota_us"],
  ["unified", "memory.max"],
] as const;

/** The limits that the kernel has, of whichever version. */
async function limits(stage: Stage): Promise<string> {
  const places = ["", "unified/"].flatMap((tree) => [
    ...LIMIT_FILES.map(([controller, file]) => `/sys/fs/cgroup/${controller}/${stage.id}/${file}`),
    ...["memory.max", "pids.max", "cpu.weight", "cpu.max"].map(
      (file) => `/sys/fs/cgroup/${tree}${stage.id}/${file}`,
    ),
  ]);
  return places
    .filter((path) => existsSync(path))
    .map((path) => readFileSync(path, "utf8").trim())
    .join(" ");
}

const pause = onRunning("pause", ["pause"], status);
const resume = onRunning("resume", ["resume"], status, { before: ["pause"] });
const ps = onRunning("ps", ["ps"], status);
const update = onRunning(
  "update",
  ["update", "--memory", "134217728", "--pids-limit", "50", "--cpu-share", "256"],
  limits,
);

/**
 * Processes of the container whose parent is none of it, but for the first: `exec` has put them there.
 * What they have started in turn the container adopts.
 */
async function strangers(stage: Stage): Promise<number[]> {
  const { stdout } = await stage.run("ps", "--format", "json", stage.id);
  const pids = JSON.parse(stdout) as number[];
  const first = Number(readFileSync(stage.pidFile, "utf8"));
  return pids.filter((pid) => pid !== first && !pids.includes(parentOf(pid) ?? first));
}

/** One that was killed dies a moment later. */
async function strangersThatStay(stage: Stage): Promise<number[]> {
  const end = performance.now() + stubbornly(DEATH_MS);
  for (;;) {
    const found = await strangers(stage);
    if (found.length === 0 || performance.now() > end) return found;
    await Bun.sleep(10);
  }
}

/** Undefined for a process that has gone. */
function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined;
  }
}

/** A further process, which tells of itself as the first one does. */
const exec: Scenario = {
  name: "exec",
  variants: ["usual", "mapped", "joined"],
  undoes: false,
  async play(stage, variant, wires) {
    await running(stage, variant);
    stage.hold();
    const script = `${REPORT}\n${HELD}`;
    const words = ["exec", "--env", "A=b", "--cwd", "/tmp", stage.id, "/bin/sh", "-c", script];
    const playing = stage.play(wires, ...words);
    await stage.letGo(playing);
    const played = await playing;
    const died = wires.some(({ action }) => action.kind === "die");
    // Where even SIGKILL is refused, it stays.
    const refused = played.calls.some(({ name, answer }) => name === "kill" && answer < 0);
    const left = died || refused ? [] : await strangersThatStay(stage);
    if (left.length > 0) throw new Error(`It leaves a process in the container: ${left}`);
    const report = stage.takeReport();
    await must(stage.run("delete", "--force", stage.id));
    return { ...played, report };
  },
};

export const SCENARIOS: readonly Scenario[] = [
  run,
  create,
  createCold,
  start,
  remove,
  removeByForce,
  kill,
  state,
  exec,
  pause,
  resume,
  ps,
  update,
];
