/**
 * Argument comparisons of a rule: first brought to a form that fits the width of the argument, then
 * written as instructions. Comparisons are unsigned, as in libseccomp.
 */

import { TareError } from "@tare/spec/error.ts";
import type { SeccompArg, SeccompOperator } from "@tare/spec/oci-runtime.ts";
import {
  ALU_AND_K,
  type Assembler,
  JMP_JEQ_K,
  JMP_JGE_K,
  JMP_JGT_K,
  type Label,
  LD_W_ABS,
} from "./assembler.ts";
import type { Width } from "./tables.ts";

export type Condition = {
  readonly index: number;
  readonly width: Width;
  readonly test: "equal" | "above" | "at-least";
  /** True where the test must fail. */
  readonly negated: boolean;
  readonly mask: bigint;
  readonly value: bigint;
};

const ARGUMENTS = 6;
const WORD = 0xffffffffn;
const WORD_BITS = 32n;
const U64_MAX = 2n ** 64n - 1n;
/** `struct seccomp_data`: nr, arch, instruction_pointer, args[6]. */
const ARGS_OFFSET = 16;
const ARG_BYTES = 8;

/** Names of all operators, sorted. */
export const OPERATOR_NAMES: readonly SeccompOperator[] = [
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_LE",
  "SCMP_CMP_LT",
  "SCMP_CMP_MASKED_EQ",
  "SCMP_CMP_NE",
];

const ORDERINGS: ReadonlyMap<SeccompOperator, Pick<Condition, "test" | "negated">> = new Map([
  ["SCMP_CMP_GT", { test: "above", negated: false }],
  ["SCMP_CMP_LE", { test: "above", negated: true }],
  ["SCMP_CMP_GE", { test: "at-least", negated: false }],
  ["SCMP_CMP_LT", { test: "at-least", negated: true }],
]);

/** `bad_input` unless index, operator and values fit the kernel's. */
export function checkArgument(arg: SeccompArg, call: string): void {
  const what = `Cannot compile the seccomp rule for "${call}"`;
  if (!Number.isInteger(arg.index) || arg.index < 0 || arg.index >= ARGUMENTS) {
    throw new TareError("bad_input", `${what}: argument index ${arg.index} is not 0 to 5`);
  }
  if (!OPERATOR_NAMES.includes(arg.op)) {
    throw new TareError("bad_input", `${what}: operator "${arg.op}" is not known`);
  }
  for (const value of [arg.value, arg.valueTwo]) {
    if (value >= 0n && value <= U64_MAX) continue;
    throw new TareError("bad_input", `${what}: value ${value} is not an unsigned 64-bit number`);
  }
}

/**
 * The comparison as the kernel sees the argument. The value is cut to the argument's width where it
 * is tested for equality: `socket(2^32 + 40)` is `socket(40)`. Orderings do so for a value that is a
 * negative number of that width; any other value too large is above every argument. The answer is
 * a boolean where the comparison does not depend on the argument.
 */
export function toCondition(arg: SeccompArg, width: Width): Condition | boolean {
  const full = 2n ** BigInt(width) - 1n;
  const shape = { index: arg.index, width, mask: full };
  const ordering = ORDERINGS.get(arg.op);
  if (ordering !== undefined) {
    const negative = arg.value > U64_MAX - (full >> 1n) - 1n;
    if (arg.value > full && !negative) return ordering.negated;
    const value = arg.value & full;
    if (ordering.test === "at-least" && value === 0n) return !ordering.negated;
    if (ordering.test === "above" && value === full) return ordering.negated;
    return { ...shape, ...ordering, value };
  }
  if (arg.op !== "SCMP_CMP_MASKED_EQ") {
    const negated = arg.op === "SCMP_CMP_NE";
    return { ...shape, test: "equal", negated, value: arg.value & full };
  }
  // `value` is the mask here, and what the mask hides in valueTwo does not count, as in libseccomp.
  const mask = arg.value & full;
  if (mask === 0n) return true;
  return { ...shape, mask, test: "equal", negated: false, value: arg.valueTwo & mask };
}

/** Whether `value`, an argument as the program passed it, meets the condition. */
export function holds(condition: Condition, value: bigint): boolean {
  const seen = value & condition.mask;
  const met =
    condition.test === "equal"
      ? seen === condition.value
      : condition.test === "above"
        ? seen > condition.value
        : seen >= condition.value;
  return met !== condition.negated;
}

/** Whether the test reads the low word alone and leaves it in the accumulator as it was. */
export function keepsLowWord(condition: Condition): boolean {
  return condition.width === 32 && condition.mask === WORD;
}

export type EmitOptions = {
  readonly bigEndian: boolean;
  /** The accumulator holds the low word already. */
  readonly loaded: boolean;
};

/** Writes the test; `yes` and `no` are where it goes on. */
export function emitCondition(
  asm: Assembler,
  condition: Condition,
  yes: Label,
  no: Label,
  options: EmitOptions,
): Label {
  if (yes === no) return yes;
  const [met, failed] = condition.negated ? [no, yes] : [yes, no];
  const low = emitLowWord(asm, condition, met, failed, options);
  return condition.width === 64 ? emitHighWord(asm, condition, low, met, failed, options) : low;
}

const LOW_TESTS: Readonly<Record<Condition["test"], number>> = {
  equal: JMP_JEQ_K,
  above: JMP_JGT_K,
  "at-least": JMP_JGE_K,
};

function emitLowWord(
  asm: Assembler,
  condition: Condition,
  met: Label,
  failed: Label,
  options: EmitOptions,
): Label {
  const mask = Number(condition.mask & WORD);
  const value = Number(condition.value & WORD);
  if (mask === 0) return met; // The high word decides alone.
  const test = asm.branch(LOW_TESTS[condition.test], value, met, failed);
  const masked = mask === Number(WORD) ? test : asm.step(ALU_AND_K, mask);
  if (options.loaded) return masked;
  return asm.step(LD_W_ABS, wordOffset(condition.index, options.bigEndian ? 4 : 0));
}

function emitHighWord(
  asm: Assembler,
  condition: Condition,
  low: Label,
  met: Label,
  failed: Label,
  options: EmitOptions,
): Label {
  const mask = Number(condition.mask >> WORD_BITS);
  const value = Number(condition.value >> WORD_BITS);
  if (mask === 0) return low;
  const equal = asm.branch(JMP_JEQ_K, value, low, failed);
  if (condition.test !== "equal") asm.branch(JMP_JGT_K, value, met, equal);
  if (mask !== Number(WORD)) asm.step(ALU_AND_K, mask);
  return asm.step(LD_W_ABS, wordOffset(condition.index, options.bigEndian ? 0 : 4));
}

function wordOffset(index: number, half: number): number {
  return ARGS_OFFSET + index * ARG_BYTES + half;
}
