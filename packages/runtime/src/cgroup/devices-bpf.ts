/**
 * The device policy as an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE: cgroup v2 has no files
 * for it. The program gets `struct bpf_cgroup_dev_ctx` { access_type, major, minor } and returns 1 to
 * allow. It goes through the rules from the last to the first with the set of accesses that are
 * still to be decided: a deny that speaks of one of them ends it, an allow takes its own out, and
 * when none is left the request is allowed.
 * Sources: linux/bpf.h; Documentation/bpf/standardization/instruction-set.rst; cgroup-v2.rst.
 * Little-endian machines only, which is all that we run on.
 */

import { assert } from "@tare/spec/error.ts";
import { ACCESS_ALL, ANY, type DeviceMatch, type DevicePolicy } from "./device-rules.ts";

export const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
export const BPF_CGROUP_DEVICE = 6;
export const BPF_F_ALLOW_MULTI = 2;
export const BPF_F_REPLACE = 4;
/** The name of the program, by which an update finds it among those of others. */
export const DEVICE_PROGRAM = "tare_devices";

const INSTRUCTION_BYTES = 8;

/** BPF_LDX | BPF_MEM | BPF_W: dst = *(u32 *)(src + offset) */
const LOAD_WORD = 0x61;
/** The ALU and JMP32 classes work on 32 bits: a device number above 2^31 is not sign-extended. */
const MOVE_IMMEDIATE = 0xb4;
const MOVE_REGISTER = 0xbc;
const AND_IMMEDIATE = 0x54;
const SHIFT_RIGHT_IMMEDIATE = 0x74;
const JUMP = 0x05;
const JUMP_IF_NOT_EQUAL = 0x56;
const JUMP_IF_ANY_BIT = 0x46;
const EXIT = 0x95;

const ANSWER = 0;
const CONTEXT = 1;
const TYPE = 2;
const ACCESS = 3;
const MAJOR = 4;
const MINOR = 5;

const TYPE_NUMBER = { b: 1, c: 2 } as const;

type Instruction = {
  readonly code: number;
  readonly to?: number;
  readonly from?: number;
  readonly offset?: number;
  readonly value?: number;
};

/** The program for a policy, as an array of `struct bpf_insn`. */
export function deviceProgram(policy: DevicePolicy): Uint8Array {
  const program = [...prologue(), ...policy.rules.toReversed().flatMap(block)];
  return encode([...program, ...answer(policy.defaultAllow)]);
}

/** Type is the low half of access_type, the wanted accesses are its high half. */
function prologue(): Instruction[] {
  return [
    { code: LOAD_WORD, to: TYPE, from: CONTEXT, offset: 0 },
    { code: MOVE_REGISTER, to: ACCESS, from: TYPE },
    { code: AND_IMMEDIATE, to: TYPE, value: 0xffff },
    { code: SHIFT_RIGHT_IMMEDIATE, to: ACCESS, value: 16 },
    { code: LOAD_WORD, to: MAJOR, from: CONTEXT, offset: 4 },
    { code: LOAD_WORD, to: MINOR, from: CONTEXT, offset: 8 },
  ];
}

/** One rule: tests that skip to the end of the block, then what it does. */
function block(rule: DeviceMatch): Instruction[] {
  const tests: { readonly register: number; readonly value: number }[] = [
    { register: TYPE, value: TYPE_NUMBER[rule.type] },
  ];
  if (rule.major !== ANY) tests.push({ register: MAJOR, value: rule.major });
  if (rule.minor !== ANY) tests.push({ register: MINOR, value: rule.minor });
  const body = rule.allow ? allow(rule.access) : deny(rule.access);
  const jumps = tests.map(({ register, value }, index) => {
    const offset = tests.length - 1 - index + body.length;
    return { code: JUMP_IF_NOT_EQUAL, to: register, value, offset };
  });
  return [...jumps, ...body];
}

function allow(access: number): Instruction[] {
  if (access === ACCESS_ALL) return answer(true);
  return [
    { code: AND_IMMEDIATE, to: ACCESS, value: ACCESS_ALL & ~access },
    { code: JUMP_IF_NOT_EQUAL, to: ACCESS, value: 0, offset: 2 },
    ...answer(true),
  ];
}

function deny(access: number): Instruction[] {
  return [
    { code: JUMP_IF_ANY_BIT, to: ACCESS, value: access, offset: 1 },
    { code: JUMP, offset: 2 },
    ...answer(false),
  ];
}

function answer(allowed: boolean): Instruction[] {
  return [{ code: MOVE_IMMEDIATE, to: ANSWER, value: allowed ? 1 : 0 }, { code: EXIT }];
}

/** `struct bpf_insn`: code, two registers in one byte, a signed 16-bit offset, a 32-bit value. */
function encode(instructions: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(instructions.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, { code, to = 0, from = 0, offset = 0, value = 0 }] of instructions.entries()) {
    const at = index * INSTRUCTION_BYTES;
    assert(offset >= 0 && offset < 0x8000, "a jump of the device program is short and forward");
    view.setUint8(at, code);
    view.setUint8(at + 1, to | (from << 4));
    view.setInt16(at + 2, offset, true);
    view.setUint32(at + 4, value, true);
  }
  return bytes;
}
