/**
 * The commands that are played with failures: how to come to the point where each is called, and
 * what shows that it did what it should.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stubbornly } from "../harness/places.ts";
import type { Ran } from "../harness/run.ts";
import { CONSOLE_SIZE, REPORT, type Variant } from "./bundles.ts";
import { HELD, type Played, type Stage } from "./stage.ts";
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
/** As the terminal of `exec` has it, so that a size which cannot be passed on, no failure, is none. */
const NO_SIZE = { height: 0, width: 0 };
/** Long enough for one event. */
const EVENTS_MS = 150;
const ALL = ["usual", "hooks", "mapped", "joined", "terminal", "sources", "rare"] as const;

async function must(ran: Promise<Ran>): Promise<void> {
  const { code, stderr } = await ran;
  if (code !== 0) throw new Error(`A command without failures failed: ${stderr}`);
}

/** The words of `create`; for a terminal somebody is waiting then. */
async function createWords(stage: Stage, variant: Variant, ...flags: string[]): Promise<string[]> {
  const words = ["create", "--bundle", stage.bundle(variant), "--pid-file", stage.pidFile];
  const more = variant === "terminal" ? await stage.consoleWords() : [];
  return [...words, ...flags, ...more, stage.id];
}

async function created(stage: Stage, variant: Variant): Promise<void> {
  await must(stage.run(...(await createWords(stage, variant))));
}

/** Created, started and ended. */
async function ended(stage: Stage, variant: Variant): Promise<void> {
  await created(stage, variant);
  await must(stage.run("start", stage.id));
  await stage.waitForEnd();
}

const run: Scenario = {
  name: "run",
  variants: ALL,
  undoes: true,
  async play(stage, variant, wires) {
    const words = ["run", "--bundle", stage.bundle(variant), stage.id];
    const played =
      variant === "terminal"
        ? await stage.playOnTerminal(wires, CONSOLE_SIZE, ...words)
        : await stage.play(wires, ...words);
    return { ...played, report: stage.takeReport() };
  },
};

const runDetached: Scenario = {
  name: "run --detach",
  variants: ["usual", "hooks", "terminal", "rare"],
  undoes: true,
  async play(stage, variant, wires) {
    const [, ...words] = await createWords(stage, variant);
    const played = await stage.play(wires, "run", "--detach", ...words);
    return await afterwards(stage, variant, played, []);
  },
};

/** Of a container that was made: what it says at its end, and that it can be deleted. */
async function afterwards(
  stage: Stage,
  variant: Variant,
  played: Played,
  starting: readonly string[],
): Promise<Outcome> {
  if (played.ran.code !== 0) return { ...played, report: stage.takeReport() };
  const taken = variant === "terminal" ? await stage.takenTerminal() : "";
  const started = starting.length === 0 ? played.ran : await stage.run(...starting);
  await stage.waitForEnd();
  const report = stage.takeReport() + taken;
  const deleted = await stage.run("delete", stage.id);
  const failed = [started, deleted].find(({ code }) => code !== 0);
  return { ran: failed ?? played.ran, calls: played.calls, report };
}

/** The first process goes on in `start`: its calls there belong to `create`, too. */
const create: Scenario = {
  name: "create",
  variants: ALL,
  undoes: true,
  async play(stage, variant, wires) {
    const played = await stage.play(wires, ...(await createWords(stage, variant)));
    return await afterwards(stage, variant, played, ["start", stage.id]);
  },
};

/** The root is not left by pivot_root(2). */
const createInitramfs: Scenario = {
  ...create,
  name: "create --no-pivot",
  variants: ["usual", "mapped"],
  async play(stage, variant, wires) {
    const words = await createWords(stage, variant, "--no-pivot");
    return await afterwards(stage, variant, await stage.play(wires, ...words), ["start", stage.id]);
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
  variants: ["usual", "hooks", "terminal", "rare"],
  undoes: false,
  async play(stage, variant, wires) {
    await created(stage, variant);
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
  variants: ["usual", "hooks", "mapped", "terminal", "rare"],
  undoes: false,
  async play(stage, variant, wires) {
    await created(stage, variant);
    const played = await stage.play(wires, "delete", "--force", stage.id);
    return { ...played, report: stage.takeReport() };
  },
};

/** Of many containers each failure is told as a warning, as crun does it: here that is the failure. */
function warned(ran: Ran): Ran {
  const stderr = ran.stderr.replace("warning: ", "");
  return stderr === ran.stderr ? ran : { ...ran, code: ran.code || 1, stderr };
}

const removeMatching: Scenario = {
  name: "delete --force --regex",
  variants: ["usual"],
  undoes: false,
  async play(stage, variant, wires) {
    await created(stage, variant);
    const played = await stage.play(wires, "delete", "--force", "--regex", `^${stage.id}$`);
    const ran = warned(played.ran);
    return { ...played, ran, report: stage.takeReport() };
  },
};

const kill: Scenario = {
  name: "kill",
  variants: ["usual", "rare"],
  undoes: false,
  async play(stage, variant, wires) {
    await created(stage, variant);
    const played = await stage.play(wires, "kill", stage.id, "KILL");
    if (played.ran.code === 0) await stage.waitForEnd();
    if (played.ran.code === 0) await must(stage.run("delete", stage.id));
    return { ...played, report: stage.takeReport() };
  },
};

/** Processes are frozen for the moment: they must not stay so. */
const killAll: Scenario = {
  name: "kill --all",
  variants: ["usual", "rare"],
  undoes: false,
  async play(stage, variant, wires) {
    await running(stage, variant);
    const played = await stage.play(wires, "kill", "--all", stage.id, "URG");
    const report = await status(stage);
    if (played.ran.code !== 0 && report === "paused" && !hasDied(wires)) {
      throw new Error("It fails, and the container stays frozen");
    }
    await must(stage.run("delete", "--force", stage.id));
    stage.takeReport();
    return { ...played, report };
  },
};

const state: Scenario = {
  name: "state",
  variants: ["usual"],
  undoes: false,
  async play(stage, variant, wires) {
    await created(stage, variant);
    const played = await stage.play(wires, "state", stage.id);
    await must(stage.run("delete", "--force", stage.id));
    const report = `${stage.takeReport()}${played.ran.stdout}`;
    return { ...played, report: report.replaceAll(/"(pid|created)": .*/g, "") };
  },
};

/** Started, and stays. */
async function running(stage: Stage, variant: Variant): Promise<void> {
  await created(stage, variant);
  stage.stay();
  await must(stage.run("start", stage.id));
  await stage.waitForReport();
  stage.takeReport();
}

/** A command on a container that runs; what shows what became of it is asked for afterwards. */
function onRunning(
  name: string,
  words: (stage: Stage) => readonly string[],
  show: (stage: Stage) => Promise<string>,
  more: Partial<Scenario> & {
    readonly before?: (stage: Stage) => readonly string[];
    /** Whether it may stop in the middle. */
    readonly inParts?: boolean;
  } = {},
): Scenario {
  const { before, inParts = false, ...rest } = more;
  return {
    name,
    variants: ["usual"],
    undoes: false,
    async play(stage, variant, wires) {
      await running(stage, variant);
      if (before !== undefined) await must(stage.run(...before(stage)));
      const first = await show(stage);
      const played = await stage.play(wires, ...words(stage));
      const report = await show(stage);
      const mustBeWhole = wires.length === 1 && !inParts && !hasDied(wires);
      if (played.ran.code !== 0 && mustBeWhole && report !== first) {
        throw new Error(`It fails, but something is done: ${report}`);
      }
      await must(stage.run("delete", "--force", stage.id));
      stage.takeReport();
      return { ...played, report };
    },
    ...rest,
  };
}

function hasDied(wires: readonly Wire[]): boolean {
  return wires.some(({ action }) => action.kind === "die");
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

/** The mounts that the container sees. */
async function mounts(stage: Stage): Promise<string> {
  const pid = readFileSync(stage.pidFile, "utf8");
  const lines = readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n");
  // But for numbers, which are others each time.
  return lines
    .map((line) =>
      line
        .split(" ")
        .slice(3)
        .join(" ")
        .replaceAll(/(shared|master):\d+/g, "$1"),
    )
    .join("\n")
    .replaceAll(stage.scene.mark, "MARK");
}

/** A file for `mounts add`: a bind of each kind, and a file system that is made inside. */
function mountsFile(stage: Stage, variant: Variant): string {
  const path = join(stage.scene.dir, "mounts.json");
  const tree = join(stage.sources, "tree");
  const bound = { type: "bind", source: tree };
  const wanted = [
    { destination: "/tmp/new", type: "tmpfs", source: "tmpfs", options: ["size=1m", "ro"] },
    { ...bound, destination: "/tmp/a/bound", options: ["bind", "ro", "nosuid"] },
    { ...bound, destination: "/tmp/b", options: ["bind", "idmap=uids=0-100007-1;gids=0-100007-1"] },
    // With its own procfs it joins the pid namespace.
    ...(variant === "usual" ? [{ destination: "/tmp/proc", type: "proc", source: "proc" }] : []),
  ];
  writeFileSync(path, JSON.stringify(wanted));
  return path;
}

const pause = onRunning("pause", ({ id }) => ["pause", id], status);
const resume = onRunning("resume", ({ id }) => ["resume", id], status, {
  before: ({ id }) => ["pause", id],
});
const ps = onRunning("ps", ({ id }) => ["ps", id], status);
const list = onRunning("list", () => ["list", "--format", "json"], status);
const stats = onRunning("events --stats", ({ id }) => ["events", "--stats", id], status);
const update = onRunning(
  "update",
  ({ id }) => ["update", "--memory", "134217728", "--pids-limit", "50", "--cpu-share", "256", id],
  limits,
);
const mountsAdd = onRunning(
  "mounts add",
  (stage) => ["mounts", "add", stage.id, mountsFile(stage, "usual")],
  mounts,
);
const mountsRemove = onRunning(
  "mounts remove",
  (stage) => ["mounts", "remove", stage.id, mountsFile(stage, "usual")],
  mounts,
  { before: (stage) => ["mounts", "add", stage.id, mountsFile(stage, "usual")], inParts: true },
);

/** Tells of the container until it ends. */
const events: Scenario = {
  name: "events",
  variants: ["usual"],
  undoes: false,
  async play(stage, variant, wires) {
    await running(stage, variant);
    const playing = stage.play(wires, "events", "--interval", "100ms", stage.id);
    await Promise.race([playing, Bun.sleep(EVENTS_MS)]);
    await must(stage.run("kill", stage.id, "KILL"));
    const played = await playing;
    await must(stage.run("delete", "--force", stage.id));
    stage.takeReport();
    return { ...played, report: "" };
  },
};

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
function execution(
  name: string,
  variants: readonly Variant[],
  flags: (stage: Stage) => Promise<readonly string[]>,
): Scenario {
  return {
    name,
    variants,
    undoes: false,
    async play(stage, variant, wires) {
      await running(stage, variant);
      stage.hold();
      const script = `${REPORT}\n${HELD}`;
      const given = await flags(stage);
      const own = ["--env", "A=b", "--cwd", "/tmp", stage.id, "/bin/sh", "-c", script];
      const words = ["exec", ...given, ...own];
      const isOwn = given.includes("--tty") && !given.includes("--detach");
      const playing = isOwn
        ? stage.playOnTerminal(wires, NO_SIZE, ...words)
        : stage.play(wires, ...words);
      await stage.letGo(playing);
      const played = await playing;
      if (given.includes("--detach") && played.ran.code === 0) {
        await stage.waitForReport();
        stage.release();
      }
      // Where even SIGKILL is refused, it stays.
      const refused = played.calls.some(({ name: call, answer }) => call === "kill" && answer < 0);
      const left = hasDied(wires) || refused ? [] : await strangersThatStay(stage);
      if (left.length > 0) throw new Error(`It leaves a process in the container: ${left}`);
      const report = stage.takeReport();
      await must(stage.run("delete", "--force", stage.id));
      return { ...played, report };
    },
  };
}

const exec = execution("exec", ["usual", "mapped", "joined", "rare"], async () => []);
const execOnTerminal = execution("exec --tty", ["usual", "mapped"], async () => ["--tty"]);
const execDetached = execution("exec --detach", ["usual", "mapped"], async (stage) => [
  ...["--tty", "--detach", "--pid-file", join(stage.scene.dir, "exec-pid")],
  ...(await stage.consoleWords()),
]);

export const SCENARIOS: readonly Scenario[] = [
  run,
  runDetached,
  create,
  createCold,
  createInitramfs,
  start,
  remove,
  removeByForce,
  removeMatching,
  kill,
  killAll,
  state,
  exec,
  execOnTerminal,
  execDetached,
  pause,
  resume,
  ps,
  list,
  stats,
  events,
  update,
  mountsAdd,
  mountsRemove,
];
