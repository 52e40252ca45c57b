/**
 * The commands that are played with failures: how to come to the point where each is called, and
 * what shows that it did what it should.
 */
import type { Ran } from "../harness/run.ts";
import type { Stage, Variant } from "./stage.ts";
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

const ALL = ["usual", "hooks", "mapped", "joined"] as const;

async function must(ran: Promise<Ran>): Promise<void> {
  const { code, stderr } = await ran;
  if (code !== 0) throw new Error(`A command without failures failed: ${stderr}`);
}

function createWords(stage: Stage, variant: Variant): string[] {
  const console = variant === "terminal" ? ["--console-socket", stage.consoleSocket] : [];
  return ["create", "--bundle", stage.bundle(variant), "--pid-file", stage.pidFile].concat(
    console,
    stage.id,
  );
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
  variants: [...ALL, "terminal"],
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

export const SCENARIOS: readonly Scenario[] = [
  run,
  create,
  createCold,
  start,
  remove,
  removeByForce,
  kill,
  state,
];
