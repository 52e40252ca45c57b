/**
 * Each call of each command fails once, for each plausible reason; what follows is judged:
 * either the command failed in good order and nothing is left, or the container is what it always is.
 */
import type { Ran } from "../harness/run.ts";
import type { Variant } from "./bundles.ts";
import { DIVISIBLE, errnoName, INTERRUPTIBLE, plausibleErrnos } from "./plausible.ts";
import type { Outcome, Scenario } from "./scenario.ts";
import type { Stage } from "./stage.ts";
import type { Action, Call, Wire } from "./wire.ts";

/** One thing to try. */
export type Case = {
  readonly scenario: Scenario;
  readonly variant: Variant;
  readonly wires: readonly Wire[];
  /** The name of the call that each wire is for; who is scheduled first may put another in its place. */
  readonly names: readonly string[];
  /** Of a second failure: the line that told of the first, which must not be lost. */
  readonly told?: string;
};

/** What a case showed that should not be; `undefined` where all is well. */
export type Finding = {
  readonly case: Case;
  readonly faults: readonly string[];
  readonly stderr: string;
};

/** The calls of a command without failures, and what its container says of itself. */
export type Baseline = { readonly calls: readonly Call[]; readonly report: string };

/** Played twice: what the second has to do is what every later one has. */
export async function baseline(
  stage: Stage,
  scenario: Scenario,
  variant: Variant,
): Promise<Baseline> {
  await scenario.play(stage, variant, []);
  const { ran, calls, report } = await scenario.play(stage, variant, []);
  if (ran.code !== 0) throw new Error(`${scenario.name} fails by itself: ${ran.stderr}`);
  const left = await stage.scene.leaks();
  if (left.length > 0) throw new Error(`${scenario.name} leaves by itself:\n${left.join("\n")}`);
  return { calls, report };
}

function actionsOn({ name }: Call): Action[] {
  const fails = plausibleErrnos(name).map((errno) => ({ kind: "fail", errno }) as const);
  return DIVISIBLE.has(name) ? [...fails, { kind: "shorten" }] : fails;
}

/** Every failure of every call. */
export function casesOf(scenario: Scenario, variant: Variant, { calls }: Baseline): Case[] {
  return calls.flatMap((call) =>
    actionsOn(call).map((action) => ({
      scenario,
      variant,
      names: [call.name],
      wires: [{ process: call.process, index: call.index, action }],
    })),
  );
}

/** The process is killed at each call. */
export function deathsOf(scenario: Scenario, variant: Variant, { calls }: Baseline): Case[] {
  return calls.map((call) => ({
    scenario,
    variant,
    names: [call.name],
    wires: [{ process: call.process, index: call.index, action: { kind: "die" } }],
  }));
}

/** What can go wrong while a failure is made good: a second failure, or the end, at each call after it. */
export async function secondsOf(stage: Stage, one: Case): Promise<Case[]> {
  return (await seconds(stage, one)).cases;
}

async function seconds(
  stage: Stage,
  one: Case,
): Promise<{ cases: Case[]; calls: readonly Call[]; failed: boolean }> {
  const playing = one.scenario.play(stage, one.variant, one.wires);
  const { ran, calls } = await playing.finally(() => cleanUp(stage, one, undefined));
  const [first] = one.wires;
  const at = first === undefined ? -1 : calls.findIndex((call) => isAt(call, first));
  const told = ran.code === 0 ? undefined : ran.stderr.split("\n")[0];
  const cases = calls.slice(at + 1).flatMap((call) =>
    [...actionsOn(call), { kind: "die" } as const].map((action) => ({
      ...one,
      names: [...one.names, call.name],
      wires: [...one.wires, { process: call.process, index: call.index, action }],
      // Where the telling itself fails, there is nobody to tell.
      ...(told === undefined || TELLING.has(call.name) ? {} : { told }),
    })),
  );
  return { cases, calls, failed: ran.code !== 0 };
}

/**
 * Second failures, each distinct one once: by what fails and what its process had then still to do. What is
 * made good after different first failures is mostly the same, and a first failure that is no failure of the
 * command has nothing to make good.
 */
export async function* restsOf(
  stage: Stage,
  scenario: Scenario,
  variant: Variant,
  { calls }: Baseline,
): AsyncGenerator<Case> {
  const seen = new Set<string>();
  for (const call of calls) {
    const [action] = actionsOn(call);
    if (action === undefined) continue;
    const wires = [{ process: call.process, index: call.index, action }];
    const first = { scenario, variant, names: [call.name], wires };
    // What a first failure alone does wrong is told where it is tried alone.
    for (const [one, rest] of await restsAfter(stage, first).catch(() => [])) {
      if (seen.has(rest)) continue;
      seen.add(rest);
      yield one;
    }
  }
}

async function restsAfter(stage: Stage, first: Case): Promise<[one: Case, rest: string][]> {
  const { cases, calls, failed } = await seconds(stage, first);
  if (!failed) return [];
  return cases.map((one) => {
    const { process, index, action } = one.wires[1] ?? { process: 0, index: 0 };
    const rest = calls.filter((call) => call.process === process && call.index >= index);
    const names = rest.map(({ name }) => name).join(" ");
    return [one, `${process} ${JSON.stringify(action)} ${names}`];
  });
}

const TELLING: ReadonlySet<string> = new Set(["sendmsg", "recvmsg", "write"]);

function isAt(call: Call, { process, index }: Wire): boolean {
  return call.process === process && call.index === index;
}

/** `create usual: openat2 #3 of 2: EMFILE`. */
export function describeCase({ scenario, variant, names, wires }: Case): string {
  const what = wires.map(({ process, index, action }, at) => {
    const how = action.kind === "fail" ? errnoName(action.errno) : action.kind;
    return `${names[at]} #${index} of ${process}: ${how}`;
  });
  return `${scenario.name} ${variant}: ${what.join(", then ")}`;
}

/** Plays a case, judges it, and leaves the stage clean. */
export async function tryCase(
  stage: Stage,
  one: Case,
  expected: Baseline,
): Promise<Finding | undefined> {
  const faults: string[] = [];
  let outcome: Outcome | undefined;
  try {
    outcome = await one.scenario.play(stage, one.variant, one.wires);
    faults.push(...judge(one, outcome, expected));
  } catch (error) {
    faults.push(String(error));
  }
  faults.push(...(await cleanUp(stage, one, outcome)));
  const stderr = outcome?.ran.stderr ?? "";
  return faults.length === 0 ? undefined : { case: one, faults, stderr };
}

function judge(one: Case, { ran, calls, report }: Outcome, expected: Baseline): string[] {
  if (one.wires.some(({ action }) => action.kind === "die")) {
    return ran.timedOut ? ["it hangs"] : [];
  }
  const made = one.wires.map((wire) => calls.find((call) => isAt(call, wire))?.name);
  if (one.wires.length > 1) return judgeSecond(one, made, ran);
  if (ran.code !== 0) {
    const interrupted = one.wires.some(({ action }) => mustGoOn(made[0], action));
    return [...(interrupted ? ["it is not tried again"] : []), ...judgeFailure(ran)];
  }
  // Where a mount is made by another way, it may stand elsewhere in the table.
  if (sorted(report) === sorted(expected.report)) return [];
  return [`it succeeds, but the container is another:\n${difference(expected.report, report)}`];
}

function judgeSecond({ told, names }: Case, made: readonly (string | undefined)[], ran: Ran) {
  if (TELLING.has(made[1] ?? "")) return ran.timedOut ? ["it hangs"] : [];
  // What another call would have told is not known.
  const isLost =
    told !== undefined && made[0] === names[0] && !anyPid(ran.stderr).includes(anyPid(told));
  return [...(isLost ? [`the first error is lost: ${told}`] : []), ...judgeFailure(ran)];
}

/** A message may name a process, which is another each time: in a path, or as what a call was made on. */
function anyPid(text: string): string {
  return text.replaceAll(/\/proc\/\d+/g, "/proc/PID").replaceAll(/"\d+"/g, '"PID"');
}

function mustGoOn(name: string | undefined, action: Action): boolean {
  if (name === undefined) return false;
  // What must be written at once fails where that is not done.
  if (action.kind === "shorten") return name !== "write";
  return action.kind === "fail" && errnoName(action.errno) === "EINTR" && INTERRUPTIBLE.has(name);
}

const WARNING = "tare-runtime: warning: ";
/** What the process of a hook says before it is the hook. */
const HOOK = /^\/bin\/(sh|true): /;
const NONSENSE = /internal|uncaught|undefined|\[object|assertion|TypeError|ReferenceError|NaN/;

/** A failure that is told as it should be: one line, perhaps a hint. */
export function judgeFailure(ran: Ran): string[] {
  if (ran.timedOut) return ["it hangs"];
  if (ran.code === 0) return [];
  if (ran.signal !== null) return [`it dies of ${ran.signal}`];
  const faults: string[] = [];
  const lines = ran.stderr
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith(WARNING) && !HOOK.test(line));
  const [first = "", second = "hint: ", ...more] = lines;
  if (!first.startsWith("tare-runtime: ")) faults.push("it does not say why it failed");
  if (!second.startsWith("hint: ") || more.length > 0) faults.push("it says more than one error");
  if (NONSENSE.test(ran.stderr)) faults.push("it says nonsense");
  return faults;
}

async function cleanUp(stage: Stage, one: Case, outcome: Outcome | undefined): Promise<string[]> {
  const faults: string[] = [];
  const failed = outcome === undefined || outcome.ran.code !== 0;
  const died = one.wires.some(({ action }) => action.kind === "die");
  // Where its program has run, the command is over but for what delete does.
  const undoes = one.scenario.undoes && outcome?.report === "" && one.wires.length === 1;
  if (outcome !== undefined && !died && (!failed || undoes)) {
    const left = await stage.scene.leaks();
    if (left.length > 0) faults.push(`it leaves, before delete --force:\n  ${left.join("\n  ")}`);
  }
  const deleted = await stage.run("delete", "--force", stage.id);
  if (deleted.code !== 0 || deleted.stderr !== "") {
    faults.push(`delete --force: ${deleted.code} ${deleted.stderr}`);
  }
  const left = await stage.scene.leaks();
  if (left.length > 0) faults.push(`delete --force leaves:\n  ${left.join("\n  ")}`);
  if (faults.length > 0) await stage.scene.sweep();
  stage.takeReport();
  return faults;
}

function sorted(report: string): string {
  return report.split("\n").sort().join("\n");
}

function difference(expected: string, got: string): string {
  const [before, after] = [new Set(expected.split("\n")), new Set(got.split("\n"))];
  const lost = [...before.difference(after)].map((line) => `  - ${line}`);
  const won = [...after.difference(before)].map((line) => `  + ${line}`);
  return [...lost, ...won].slice(0, 12).join("\n");
}
