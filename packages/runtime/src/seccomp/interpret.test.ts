import { describe, expect, test } from "bun:test";
import { checkFilter, runFilter } from "./interpret.ts";

type Line = readonly [code: number, jt: number, jf: number, k: number];

function assemble(lines: readonly Line[], bigEndian = false): Uint8Array {
  const view = new DataView(new ArrayBuffer(lines.length * 8));
  for (const [index, [code, jt, jf, k]] of lines.entries()) {
    view.setUint16(index * 8, code, !bigEndian);
    view.setUint8(index * 8 + 2, jt);
    view.setUint8(index * 8 + 3, jf);
    view.setUint32(index * 8 + 4, k, !bigEndian);
  }
  return new Uint8Array(view.buffer);
}

const RET_A: Line = [0x16, 0, 0, 0];
const CALL = { number: 0x12345678, token: 0xc000003e, args: [2n ** 64n - 2n] };

function run(...lines: Line[]): number {
  return runFilter(checkFilter(assemble(lines)), CALL).value;
}

describe("instructions", () => {
  const cases: [string, number, Line[]][] = [
    ["ret k", 7, [[0x06, 0, 0, 7]]],
    ["ld number", 0x12345678, [[0x20, 0, 0, 0], RET_A]],
    ["ld arch", 0xc000003e, [[0x20, 0, 0, 4], RET_A]],
    ["ld low word", 0xfffffffe, [[0x20, 0, 0, 16], RET_A]],
    ["ld high word", 0xffffffff, [[0x20, 0, 0, 20], RET_A]],
    ["ld len", 64, [[0x80, 0, 0, 0], RET_A]],
    ["add wraps", 1, [[0x00, 0, 0, 0xffffffff], [0x04, 0, 0, 2], RET_A]],
    ["sub wraps", 0xffffffff, [[0x00, 0, 0, 1], [0x14, 0, 0, 2], RET_A]],
    ["mul wraps", 1, [[0x00, 0, 0, 0xffffffff], [0x24, 0, 0, 0xffffffff], RET_A]],
    ["div", 3, [[0x00, 0, 0, 7], [0x34, 0, 0, 2], RET_A]],
    [
      "div by x = 0 ends",
      0,
      [
        [0x00, 0, 0, 7],
        [0x01, 0, 0, 0],
        [0x3c, 0, 0, 0],
        [0x06, 0, 0, 9],
      ],
    ],
    ["and stays unsigned", 0xf0000000, [[0x00, 0, 0, 0xffffffff], [0x54, 0, 0, 0xf0000000], RET_A]],
    ["xor, neg", 1, [[0x00, 0, 0, 0xfffffffe], [0xa4, 0, 0, 1], [0x84, 0, 0, 0], RET_A]],
    ["lsh", 0x80000000, [[0x00, 0, 0, 1], [0x64, 0, 0, 31], RET_A]],
    ["rsh", 1, [[0x00, 0, 0, 0x80000000], [0x74, 0, 0, 31], RET_A]],
    ["tax, txa", 5, [[0x00, 0, 0, 5], [0x07, 0, 0, 0], [0x00, 0, 0, 6], [0x87, 0, 0, 0], RET_A]],
    ["memory", 5, [[0x00, 0, 0, 5], [0x02, 0, 0, 3], [0x61, 0, 0, 3], [0x87, 0, 0, 0], RET_A]],
    [
      "jump",
      2,
      [
        [0x05, 0, 0, 1],
        [0x06, 0, 0, 1],
        [0x06, 0, 0, 2],
      ],
    ],
    [
      "jgt is unsigned",
      2,
      [
        [0x00, 0, 0, 0x80000000],
        [0x25, 1, 0, 1],
        [0x06, 0, 0, 1],
        [0x06, 0, 0, 2],
      ],
    ],
    [
      "jset",
      1,
      [
        [0x00, 0, 0, 4],
        [0x45, 0, 1, 12],
        [0x06, 0, 0, 1],
        [0x06, 0, 0, 2],
      ],
    ],
  ];
  test.each(cases)("%s", (_name, want, lines) => expect(run(...lines)).toBe(want));

  test("in the other byte order", () => {
    const filter = checkFilter(assemble([[0x20, 0, 0, 16], RET_A], true), true);
    expect(runFilter(filter, CALL, true)).toEqual({ value: 0xffffffff, instructions: 2 });
  });
});

describe("what the kernel refuses", () => {
  const cases: [string, Line[]][] = [
    ["no return at the end", [[0x20, 0, 0, 0]]],
    ["an unknown code", [[0x30, 0, 0, 0], RET_A]],
    ["a load beyond the data", [[0x20, 0, 0, 64], RET_A]],
    ["an unaligned load", [[0x20, 0, 0, 2], RET_A]],
    ["a jump to behind the end", [[0x05, 0, 0, 1], RET_A]],
    ["a jump that wraps", [[0x05, 0, 0, 0xffffffff], RET_A]],
    ["a branch to behind the end", [[0x15, 0, 1, 0], RET_A]],
    ["a division by zero", [[0x34, 0, 0, 0], RET_A]],
    ["a shift by 32", [[0x64, 0, 0, 32], RET_A]],
    ["memory word 16", [[0x02, 0, 0, 16], RET_A]],
    ["memory that was not written", [[0x60, 0, 0, 0], RET_A]],
    ["memory written on one way only", [[0x15, 0, 1, 0], [0x02, 0, 0, 0], [0x60, 0, 0, 0], RET_A]],
  ];
  test.each(cases)("%s", (_name, lines) => {
    expect(() => checkFilter(assemble(lines))).toThrow("Cannot use the seccomp filter");
  });

  test.each([0, 7, 8 * 4097])("%d bytes", (length) => {
    expect(() => checkFilter(new Uint8Array(length).fill(0))).toThrow("Cannot use");
  });
});
