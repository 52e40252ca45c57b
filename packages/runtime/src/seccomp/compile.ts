/**
 * Compiles a seccomp profile of config.json to the classic BPF program that seccomp(2) takes. One
 * program serves all architectures of the profile: it looks at the architecture first, then finds
 * the number's range by a binary tree of comparisons, then compares arguments where rules have some.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Seccomp } from "@tare/spec/oci-runtime.ts";
import { RET_KILL_PROCESS } from "./actions.ts";
import { Assembler, JMP_JEQ_K, JMP_JGE_K, type Label, LD_W_ABS } from "./assembler.ts";
import { emitCondition, keepsLowWord } from "./conditions.ts";
import {
  type ArgumentRule,
  type Outcome,
  outcomeKey,
  planFilter,
  type Range,
  unknownSyscalls,
} from "./plan.ts";

export type CompileOptions = {
  /** The architecture that the kernel runs, such as `SCMP_ARCH_X86_64`. */
  readonly native: string;
};

/** Offsets into `struct seccomp_data`. */
const NUMBER_OFFSET = 0;
const ARCH_OFFSET = 4;

/**
 * The program as `struct sock_filter[]` in the byte order of `native`.
 * An architecture that the profile does not list, and x32 calls where x32 is not listed, kill the
 * process; libseccomp kills the thread. `bad_input` for a profile that cannot be compiled.
 */
export function compileSeccomp(profile: Seccomp, options: CompileOptions): Uint8Array {
  const plan = planFilter(profile, options.native);
  const output: Output = { asm: new Assembler(), blocks: new Map(), bigEndian: plan.bigEndian };
  const { asm } = output;
  // From the last to the first, so that the native architecture is next to the dispatch.
  const entries = plan.sections
    .toReversed()
    .map(({ token, ranges }) => ({ token, entry: emitSection(output, ranges) }));
  let next = asm.ret(RET_KILL_PROCESS);
  for (const { token, entry } of entries) next = asm.branch(JMP_JEQ_K, token, entry, next);
  asm.step(LD_W_ABS, ARCH_OFFSET);
  return asm.finish(plan.bigEndian);
}

/** Throws `bad_input` for a profile that names calls which no architecture has. */
export function refuseUnknownSyscalls(profile: Seccomp): void {
  const [name] = unknownSyscalls(profile);
  if (name === undefined) return;
  throw new TareError("bad_input", `Cannot filter the system call "${name}": there is none`, {
    hint: "Correct the name, or leave out the annotation run.oci.seccomp_fail_unknown_syscall",
  });
}

type Output = {
  readonly asm: Assembler;
  /** Argument tests written already, by what they do. */
  readonly blocks: Map<string, Label>;
  readonly bigEndian: boolean;
};

/** A range, or one with a single number inside that gets something else. */
type Segment = Range & { readonly except?: { readonly number: number; readonly outcome: Outcome } };

function emitSection(output: Output, ranges: readonly Range[]): Label {
  const segments = toSegments(ranges);
  const entry = emitTree(output, segments, 0, segments.length);
  output.asm.fallInto(entry);
  return output.asm.step(LD_W_ABS, NUMBER_OFFSET);
}

/** Joins `x y x` to one segment where y is one number: one comparison for equality, not two. */
function toSegments(ranges: readonly Range[]): Segment[] {
  const segments: Segment[] = [];
  for (let index = 0; index < ranges.length; index++) {
    const [range, hole, after] = ranges.slice(index, index + 3);
    if (range === undefined) break;
    const isHole =
      hole !== undefined && after?.start === hole.start + 1 && after.outcome === range.outcome;
    if (!isHole) {
      segments.push(range);
      continue;
    }
    segments.push({ ...range, except: { number: hole.start, outcome: hole.outcome } });
    index += 2;
  }
  return segments;
}

function emitTree(output: Output, segments: readonly Segment[], from: number, to: number): Label {
  const middle = (from + to) >> 1;
  const segment = segments[middle];
  if (segment === undefined) return output.asm.ret(RET_KILL_PROCESS);
  if (to - from === 1) return emitSegment(output, segment);
  const right = emitTree(output, segments, middle, to);
  const left = emitTree(output, segments, from, middle);
  return right === left ? left : output.asm.branch(JMP_JGE_K, segment.start, right, left);
}

function emitSegment(output: Output, segment: Segment): Label {
  const base = emitOutcome(output, segment.outcome);
  if (segment.except === undefined) return base;
  const other = emitOutcome(output, segment.except.outcome);
  return output.asm.branch(JMP_JEQ_K, segment.except.number, other, base);
}

function emitOutcome(output: Output, outcome: Outcome): Label {
  const { asm, blocks } = output;
  if (typeof outcome === "number") return asm.ret(outcome);
  const key = outcomeKey(outcome);
  const known = blocks.get(key);
  if (known !== undefined) return known;
  let next = asm.ret(outcome.otherwise);
  for (let index = outcome.rules.length - 1; index >= 0; index--) {
    const rule = outcome.rules[index];
    if (rule === undefined) break;
    const loaded = leavesWordFor(outcome.rules[index - 1], rule);
    next = emitRule(output, rule, next, loaded);
  }
  blocks.set(key, next);
  return next;
}

/** Whether a rule fails with the word in the accumulator that the next one begins with. */
function leavesWordFor(before: ArgumentRule | undefined, rule: ArgumentRule): boolean {
  const [first] = rule.conditions;
  const [only, ...more] = before?.conditions ?? [];
  if (first === undefined || only === undefined || more.length > 0) return false;
  return only.index === first.index && first.width < 64 && keepsLowWord(only);
}

function emitRule(output: Output, rule: ArgumentRule, no: Label, loaded: boolean): Label {
  const { asm, bigEndian } = output;
  let yes = asm.ret(rule.action);
  for (let index = rule.conditions.length - 1; index >= 0; index--) {
    const condition = rule.conditions[index];
    if (condition === undefined) break;
    yes = emitCondition(asm, condition, yes, no, { bigEndian, loaded: loaded && index === 0 });
  }
  return yes;
}
