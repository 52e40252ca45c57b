/**
 * Checks and runs classic BPF programs as the kernel does for seccomp: net/core/filter.c
 * (bpf_check_classic, check_load_and_stores) and kernel/seccomp.c (seccomp_check_filter).
 * It knows all of the instructions that seccomp(2) takes, not only those that our compiler writes.
 */

import { TareError } from "@tare/spec/error.ts";
import { INSTRUCTION_BYTES, INSTRUCTIONS_MAX } from "./assembler.ts";

/** `struct seccomp_data`; arguments are unsigned 64-bit numbers. */
export type SyscallData = {
  readonly number: number;
  readonly token: number;
  readonly args: readonly bigint[];
};

export type FilterRun = {
  /** What the filter returned, such as RET_ALLOW. */
  readonly value: number;
  /** Instructions executed, the return included. */
  readonly instructions: number;
};

type Instruction = {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
};

/** A program that passed the check. */
export type CheckedFilter = { readonly instructions: readonly Instruction[] };

const DATA_BYTES = 64;
const ARGUMENTS = 6;
const ARGS_OFFSET = 16;
const MEMORY_WORDS = 16;
const SHIFT_MAX = 31;

const RET_A = 0x16;
const RET_K = 0x06;
const LD_ABS = 0x20;
const LD_IMM = 0x00;
const LDX_IMM = 0x01;
const LD_LEN = 0x80;
const LDX_LEN = 0x81;
const LD_MEM = 0x60;
const LDX_MEM = 0x61;
const ST = 0x02;
const STX = 0x03;
const TAX = 0x07;
const TXA = 0x87;
const JA = 0x05;
const NEGATE = 0x84;
const DIVIDE_BY_K = 0x34;
/** Division by a zero in the index register ends the program with 0. */
const DIVIDE_BY_X = 0x3c;
const SHIFTS_BY_K: readonly number[] = [0x64, 0x74];
const SOURCE_X = 0x08;

/** By the code without its source bit; `operand` is the constant or the index register. */
const ALU: ReadonlyMap<number, (a: number, operand: number) => number> = new Map([
  [0x04, (a: number, operand: number) => a + operand],
  [0x14, (a: number, operand: number) => a - operand],
  [0x24, (a: number, operand: number) => Math.imul(a, operand)],
  [0x34, (a: number, operand: number) => Math.trunc(a / operand)],
  [0x44, (a: number, operand: number) => a | operand],
  [0x54, (a: number, operand: number) => a & operand],
  [0x64, (a: number, operand: number) => a << operand],
  [0x74, (a: number, operand: number) => a >>> operand],
  [NEGATE, (a: number) => -a],
  [0xa4, (a: number, operand: number) => a ^ operand],
]);
const BRANCHES: ReadonlyMap<number, (a: number, operand: number) => boolean> = new Map([
  [0x15, (a: number, operand: number) => a === operand],
  [0x25, (a: number, operand: number) => a > operand],
  [0x35, (a: number, operand: number) => a >= operand],
  [0x45, (a: number, operand: number) => (a & operand) !== 0],
]);

type Kind = "return" | "register" | "load" | "fetch" | "store" | "goto" | "branch" | "alu";

function kindTable(): Map<number, Kind> {
  const kinds = new Map<number, Kind>([
    [LD_ABS, "load"],
    [JA, "goto"],
  ]);
  for (const code of [RET_A, RET_K]) kinds.set(code, "return");
  for (const code of [LD_IMM, LDX_IMM, LD_LEN, LDX_LEN, TAX, TXA]) kinds.set(code, "register");
  for (const code of [LD_MEM, LDX_MEM]) kinds.set(code, "fetch");
  for (const code of [ST, STX]) kinds.set(code, "store");
  for (const code of BRANCHES.keys()) kinds.set(code, "branch").set(code | SOURCE_X, "branch");
  for (const code of ALU.keys()) kinds.set(code, "alu").set(code | SOURCE_X, "alu");
  kinds.delete(NEGATE | SOURCE_X);
  return kinds;
}

const KINDS: ReadonlyMap<number, Kind> = kindTable();

function refuse(index: number, why: string): never {
  throw new TareError("corrupt", `Cannot use the seccomp filter: instruction ${index} ${why}`);
}

/** Reads and checks a program in the given byte order; `corrupt` for what the kernel would refuse. */
export function checkFilter(program: Uint8Array, bigEndian = false): CheckedFilter {
  const length = program.length / INSTRUCTION_BYTES;
  if (!Number.isInteger(length) || length === 0 || length > INSTRUCTIONS_MAX) {
    throw new TareError(
      "corrupt",
      `Cannot use the seccomp filter: ${program.length} bytes are not 1 to ${INSTRUCTIONS_MAX} instructions`,
    );
  }
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const instructions: Instruction[] = [];
  for (let index = 0; index < length; index++) {
    const offset = index * INSTRUCTION_BYTES;
    instructions.push({
      code: view.getUint16(offset, !bigEndian),
      jt: view.getUint8(offset + 2),
      jf: view.getUint8(offset + 3),
      k: view.getUint32(offset + 4, !bigEndian),
    });
  }
  for (const [index, instruction] of instructions.entries()) {
    checkInstruction(instruction, index, length);
  }
  const last = instructions[length - 1]?.code;
  if (last !== RET_K && last !== RET_A) refuse(length - 1, "is the last and does not return");
  checkMemory(instructions);
  return { instructions };
}

function checkInstruction({ code, jt, jf, k }: Instruction, index: number, length: number): void {
  const left = length - index - 1;
  switch (KINDS.get(code)) {
    case "load":
      if (k >= DATA_BYTES || k % 4 !== 0) refuse(index, `loads from offset ${k}`);
      break;
    case "fetch":
    case "store":
      if (k >= MEMORY_WORDS) refuse(index, `uses memory word ${k}`);
      break;
    case "goto":
      if (k >= left) refuse(index, "jumps behind the end");
      break;
    case "branch":
      if (Math.max(jt, jf) >= left) refuse(index, "jumps behind the end");
      break;
    case "alu":
      checkConstant(code, k, index);
      break;
    case "return":
    case "register":
      break;
    default:
      refuse(index, `has the unknown code 0x${code.toString(16)}`);
  }
}

function checkConstant(code: number, k: number, index: number): void {
  if (code === DIVIDE_BY_K && k === 0) refuse(index, "divides by zero");
  if (SHIFTS_BY_K.includes(code) && k > SHIFT_MAX) refuse(index, `shifts by ${k}`);
}

/** A memory word may be read only where every way there has written it. */
function checkMemory(instructions: readonly Instruction[]): void {
  const arriving = new Uint16Array(instructions.length + 1).fill(0xffff);
  let written = 0;
  for (const [index, instruction] of instructions.entries()) {
    const kind = KINDS.get(instruction.code);
    const word = 1 << instruction.k;
    written &= arriving[index] ?? 0;
    if (kind === "store") written |= word;
    if (kind === "fetch" && (written & word) === 0) {
      refuse(index, `reads memory word ${instruction.k} before it is written`);
    }
    const targets = jumpTargets(instruction, kind);
    for (const target of targets) {
      arriving[index + 1 + target] = (arriving[index + 1 + target] ?? 0) & written;
    }
    if (targets.length > 0) written = 0xffff;
  }
}

function jumpTargets({ jt, jf, k }: Instruction, kind: Kind | undefined): readonly number[] {
  if (kind === "goto") return [k];
  return kind === "branch" ? [jt, jf] : [];
}

/** What a checked filter answers to a call. */
export function runFilter(filter: CheckedFilter, data: SyscallData, bigEndian = false): FilterRun {
  const machine = new Machine(encodeData(data, bigEndian), bigEndian);
  let index = 0;
  for (let count = 1; count <= INSTRUCTIONS_MAX; count++) {
    const instruction = filter.instructions[index];
    if (instruction === undefined) break;
    const { code, k } = instruction;
    if (code === RET_K) return { value: k, instructions: count };
    if (code === RET_A) return { value: machine.a, instructions: count };
    if (code === DIVIDE_BY_X && machine.x === 0) return { value: 0, instructions: count };
    index += 1 + machine.step(instruction);
  }
  throw new TareError("internal", "a checked filter ran off its end");
}

function encodeData(data: SyscallData, bigEndian: boolean): DataView {
  const view = new DataView(new ArrayBuffer(DATA_BYTES));
  view.setUint32(0, data.number, !bigEndian);
  view.setUint32(4, data.token, !bigEndian);
  for (let index = 0; index < ARGUMENTS; index++) {
    view.setBigUint64(ARGS_OFFSET + index * 8, data.args[index] ?? 0n, !bigEndian);
  }
  return view;
}

class Machine {
  a = 0;
  x = 0;
  readonly #memory = new Uint32Array(MEMORY_WORDS);
  readonly #data: DataView;
  readonly #littleEndian: boolean;

  constructor(data: DataView, bigEndian: boolean) {
    this.#data = data;
    this.#littleEndian = !bigEndian;
  }

  /** Executes one instruction that does not return; the answer is how many to skip. */
  step({ code, jt, jf, k }: Instruction): number {
    if (code === JA) return k;
    const operand = (code & SOURCE_X) === 0 ? k : this.x;
    const branch = BRANCHES.get(code & ~SOURCE_X);
    if (branch !== undefined) return branch(this.a, operand) ? jt : jf;
    const compute = ALU.get(code & ~SOURCE_X);
    if (compute === undefined) this.#move(code, k);
    else this.a = compute(this.a, operand) >>> 0;
    return 0;
  }

  #move(code: number, k: number): void {
    if (code === LD_ABS) this.a = this.#data.getUint32(k, this.#littleEndian);
    else if (code === LD_IMM) this.a = k;
    else if (code === LDX_IMM) this.x = k;
    else if (code === LD_LEN) this.a = DATA_BYTES;
    else if (code === LDX_LEN) this.x = DATA_BYTES;
    else if (code === TAX) this.x = this.a;
    else if (code === TXA) this.a = this.x;
    else if (code === LD_MEM) this.a = this.#memory[k] ?? 0;
    else if (code === LDX_MEM) this.x = this.#memory[k] ?? 0;
    else if (code === ST) this.#memory[k] = this.a;
    else this.#memory[k] = this.x;
  }
}
