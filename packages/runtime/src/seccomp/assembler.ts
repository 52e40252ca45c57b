/**
 * Writes a classic BPF program from its last instruction to its first, so that the target of each
 * jump is known when the jump is written. A label is the number of instructions behind and
 * including its target. <linux/bpf_common.h>, <linux/filter.h>.
 */

import { assert, TareError } from "@tare/spec/error.ts";

export type Label = number;

export const LD_W_ABS = 0x20;
export const ALU_AND_K = 0x54;
export const JMP_JA = 0x05;
export const JMP_JEQ_K = 0x15;
export const JMP_JGT_K = 0x25;
export const JMP_JGE_K = 0x35;
export const RET_K = 0x06;

/** BPF_MAXINSNS of <linux/bpf_common.h>. */
export const INSTRUCTIONS_MAX = 4096;
export const INSTRUCTION_BYTES = 8;
/** The distance of a conditional jump is one byte. */
const JUMP_MAX = 255;

type Instruction = {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
};

export class Assembler {
  readonly #reversed: Instruction[] = [];
  readonly #returns = new Map<number, Label>();

  /** An instruction that goes on with the one written before it. */
  step(code: number, k: number): Label {
    return this.#push({ code, jt: 0, jf: 0, k });
  }

  /** The nearest `ret value`; a new one where none is in reach of a conditional jump. */
  ret(value: number): Label {
    const known = this.#returns.get(value);
    if (known !== undefined && this.#distance(known) < JUMP_MAX) return known;
    const label = this.step(RET_K, value);
    this.#returns.set(value, label);
    return label;
  }

  /** Jumps to `yes` or `no` on a comparison of the accumulator with `k`. */
  branch(code: number, k: number, yes: Label, no: Label): Label {
    assert(yes !== no, "a branch has two targets");
    let near = yes;
    let other = no;
    // The trampoline of one target moves the other one further away, hence a second look.
    for (let round = 0; round < 2; round++) {
      if (this.#distance(other) > JUMP_MAX) other = this.goto(other);
      if (this.#distance(near) > JUMP_MAX) near = this.goto(near);
    }
    return this.#push({ code, jt: this.#distance(near), jf: this.#distance(other), k });
  }

  /** Makes `target` what the next written instruction goes on with. */
  fallInto(target: Label): Label {
    return this.#distance(target) === 0 ? target : this.goto(target);
  }

  goto(target: Label): Label {
    return this.step(JMP_JA, this.#distance(target));
  }

  /** `struct sock_filter[]` in the byte order of the architecture. */
  finish(bigEndian: boolean): Uint8Array {
    const program = new Uint8Array(this.#reversed.length * INSTRUCTION_BYTES);
    const view = new DataView(program.buffer);
    for (const [index, instruction] of this.#reversed.toReversed().entries()) {
      const offset = index * INSTRUCTION_BYTES;
      view.setUint16(offset, instruction.code, !bigEndian);
      program[offset + 2] = instruction.jt;
      program[offset + 3] = instruction.jf;
      view.setUint32(offset + 4, instruction.k, !bigEndian);
    }
    return program;
  }

  #distance(target: Label): number {
    return this.#reversed.length - target;
  }

  #push(instruction: Instruction): Label {
    if (this.#reversed.length === INSTRUCTIONS_MAX) {
      throw new TareError(
        "bad_input",
        `Cannot compile the seccomp profile: it needs more than ${INSTRUCTIONS_MAX} instructions`,
        { hint: "List fewer architectures, or fewer rules that compare arguments" },
      );
    }
    return this.#reversed.push(instruction);
  }
}
