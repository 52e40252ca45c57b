/**
 * Reads what `perf script` prints of a traced program: for every process its system calls, with the time
 * in each and the time in the program before it, both without the time in which others had the
 * processor. Pure.
 */

export type TracedCall = {
  readonly number: number;
  /** In the program, since the call before (or since it began to be traced). */
  readonly beforeUs: number;
  /** In the kernel. */
  readonly insideUs: number;
  /** In the kernel, waiting included. */
  readonly wallUs: number;
};

export type TracedProcess = { readonly pid: number; readonly calls: readonly TracedCall[] };

/** The calls by which C libraries get memory and locks: when they come depends on chance. */
const NOISE: ReadonlySet<string> = new Set(["brk", "mmap", "munmap", "mprotect", "futex"]);

type Entered = { readonly number: number; readonly atUs: number; readonly beforeUs: number };
type Clock = {
  /** When the last piece of time ended that is accounted for. */
  sinceUs: number;
  /** Time on the processor that is not accounted for yet. */
  runUs: number;
  out: boolean;
  entered: Entered | undefined;
  readonly calls: TracedCall[];
};

/** The processes in the order in which they first did something. */
export function parseTrace(text: string): TracedProcess[] {
  const clocks = new Map<number, Clock>();
  for (const line of text.split("\n")) {
    const event = parseLine(line);
    if (event === undefined) continue;
    const clock = clocks.get(event.pid) ?? newClock(event.atUs);
    clocks.set(event.pid, clock);
    advance(clock, event);
  }
  return [...clocks].map(([pid, { calls }]) => ({ pid, calls }));
}

function newClock(atUs: number): Clock {
  return { sinceUs: atUs, runUs: 0, out: false, entered: undefined, calls: [] };
}

type Event = {
  readonly pid: number;
  readonly atUs: number;
  readonly what: "enter" | "exit" | "in" | "out";
  readonly number: number;
};

const CALL = /^\s*\S+\s+(\d+)\s+(\d+)\.(\d{6}):\s+raw_syscalls:sys_(enter|exit): NR (-?\d+)/;
const SWITCH = /^\s*\S+\s+(\d+)\s+(\d+)\.(\d{6}): PERF_RECORD_SWITCH (IN|OUT)/;

function parseLine(line: string): Event | undefined {
  const call = CALL.exec(line);
  const [, pid, seconds, micros, what, number = "-1"] = call ?? SWITCH.exec(line) ?? [];
  if (pid === undefined || what === undefined) return undefined;
  return {
    pid: Number(pid),
    atUs: Number(seconds) * 1e6 + Number(micros),
    what: what.toLowerCase() as Event["what"],
    number: Number(number),
  };
}

function advance(clock: Clock, { atUs, what, number }: Event): void {
  if (!clock.out) clock.runUs += atUs - clock.sinceUs;
  clock.sinceUs = atUs;
  if (what === "in" || what === "out") clock.out = what === "out";
  else if (what === "enter") {
    clock.entered = { number, atUs, beforeUs: clock.runUs };
    clock.runUs = 0;
  } else {
    const { entered } = clock;
    if (entered !== undefined) {
      const { beforeUs } = entered;
      const wallUs = atUs - entered.atUs;
      clock.calls.push({ number: entered.number, beforeUs, insideUs: clock.runUs, wallUs });
    }
    clock.entered = undefined;
    clock.runUs = 0;
  }
}

export type NamedCall = { readonly name: string; readonly shown: string };
type StraceProcess = readonly NamedCall[];
type Traced = TracedCall & { readonly name: string };

/** Leaves out the noise; its time counts as the program's. */
export function withoutNoise(
  calls: readonly TracedCall[],
  nameOf: (number: number) => string,
): Traced[] {
  const kept: Traced[] = [];
  let carriedUs = 0;
  for (const call of calls) {
    const name = nameOf(call.number);
    const beforeUs = call.beforeUs + carriedUs;
    carriedUs = NOISE.has(name) ? beforeUs + call.insideUs : 0;
    if (!NOISE.has(name)) kept.push({ ...call, name, beforeUs });
  }
  return kept;
}

const STRACE = /^(\d+)\s+(?:<\.\.\. )?(\w+)(\(| resumed>)(.*)$/;
const SHOWN_MAX = 100;

/** What `strace -f` printed, a process after the other, without the noise. */
export function parseStrace(text: string): StraceProcess[] {
  const processes = new Map<string, NamedCall[]>();
  for (const line of text.split("\n")) {
    const [, pid, name, how, rest = ""] = STRACE.exec(line) ?? [];
    if (pid === undefined || name === undefined || NOISE.has(name)) continue;
    const calls = processes.get(pid) ?? [];
    processes.set(pid, calls);
    if (how === "(") calls.push({ name, shown: `${name}(${rest}`.slice(0, SHOWN_MAX) });
  }
  return [...processes.values()];
}

/** Those of the traces that made the same calls as most did: only they can be compared call by call. */
export function mostAlike(traces: readonly (readonly Traced[])[]): readonly (readonly Traced[])[] {
  const groups = Map.groupBy(traces, (calls) => calls.map(({ name }) => name).join(" "));
  let most: readonly (readonly Traced[])[] = [];
  for (const group of groups.values()) if (group.length > most.length) most = group;
  return most;
}

/** How far a call may have moved between two runs. */
const SHIFT_MAX = 8;

/** What strace showed of each call: the next of that name, if it comes soon; else the bare name. */
export function labelCalls(names: readonly string[], shown: StraceProcess): string[] {
  let next = 0;
  return names.map((name) => {
    const shift = shown.slice(next, next + SHIFT_MAX).findIndex((each) => each.name === name);
    if (shift < 0) return name;
    next += shift + 1;
    return shown[next - 1]?.shown ?? name;
  });
}
