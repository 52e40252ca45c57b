import { describe, expect, test } from "bun:test";
import type { DeviceRule } from "@tare/spec/oci-runtime.ts";
import { DEFAULT_DEVICES } from "./default-devices.ts";
import { type DeviceMatch, devicePolicy } from "./device-rules.ts";
import { deviceProgram } from "./devices-bpf.ts";

type Access = {
  readonly type: 1 | 2;
  readonly bits: number;
  readonly major: number;
  readonly minor: number;
};

const MKNOD = 1;
const READ = 2;
const WRITE = 4;
const BLOCK = 1;
const CHAR = 2;

type Machine = { readonly registers: number[]; readonly context: readonly number[] };
type Operands = {
  readonly to: number;
  readonly from: number;
  readonly offset: number;
  readonly value: number;
};

/** What each instruction of linux/bpf.h does that the program may use; the answer is how far it jumps. */
const INSTRUCTIONS = new Map<number, (machine: Machine, operands: Operands) => number>([
  [0x61, (machine, { to, offset }) => set(machine, to, machine.context[offset / 4])],
  [0xb4, (machine, { to, value }) => set(machine, to, value)],
  [0xbc, (machine, { to, from }) => set(machine, to, get(machine, from))],
  [0x54, (machine, { to, value }) => set(machine, to, get(machine, to) & value)],
  [0x74, (machine, { to, value }) => set(machine, to, get(machine, to) >>> value)],
  [0x56, (machine, { to, value, offset }) => (get(machine, to) !== value ? offset : 0)],
  [0x46, (machine, { to, value, offset }) => ((get(machine, to) & value) !== 0 ? offset : 0)],
  [0x05, (_machine, { offset }) => offset],
]);
const EXIT = 0x95;

function get({ registers }: Machine, register: number): number {
  const value = registers[register];
  if (value === undefined) throw new Error(`r${register} is read before it is set`);
  return value;
}

function set({ registers }: Machine, register: number, value: number | undefined): number {
  if (value === undefined) throw new Error("a load from outside of the context");
  registers[register] = value >>> 0;
  return 0;
}

function run(program: Uint8Array, { type, bits, major, minor }: Access): number {
  const view = new DataView(program.buffer);
  const machine: Machine = { registers: [], context: [(bits << 16) | type, major, minor] };
  for (let at = 0; at < program.length; at += 8) {
    const code = view.getUint8(at);
    if (code === EXIT) return get(machine, 0);
    const registers = view.getUint8(at + 1);
    const step = INSTRUCTIONS.get(code);
    if (step === undefined) throw new Error(`unknown instruction ${code} at ${at / 8}`);
    const jump = step(machine, {
      to: registers & 15,
      from: registers >> 4,
      offset: view.getInt16(at + 2, true),
      value: view.getUint32(at + 4, true),
    });
    at += jump * 8;
  }
  throw new Error("the program does not end");
}

/** The oracle: for each wanted access, the last rule of the untouched list that speaks of it. */
function isAllowed(rules: readonly DeviceRule[], access: Access): boolean {
  const letters: [letter: string, bit: number][] = [
    ["m", MKNOD],
    ["r", READ],
    ["w", WRITE],
  ];
  const speaks = (rule: DeviceRule, letter: string): boolean =>
    rule.access.includes(letter) &&
    (rule.type === "a" || rule.type === (access.type === BLOCK ? "b" : "c")) &&
    [-1, access.major].includes(rule.major ?? -1) &&
    [-1, access.minor].includes(rule.minor ?? -1);
  const wanted = letters.filter(([, bit]) => (access.bits & bit) !== 0);
  return wanted.every(([letter]) => rules.findLast((rule) => speaks(rule, letter))?.allow === true);
}

const DENY_ALL: DeviceRule = { allow: false, type: "a", access: "rwm" };
const ALLOW_ALL: DeviceRule = { allow: true, type: "a", access: "rwm" };
const NULL: DeviceRule = { allow: true, type: "c", major: 1, minor: 3, access: "rwm" };

const NUMBERS = [0, 1, 3, 8, 136, 0x7fff_ffff, 0xffff_ffff];

function* everyAccess(): Generator<Access> {
  for (const type of [BLOCK, CHAR] as const) {
    for (let bits = 1; bits < 8; bits++) {
      for (const major of NUMBERS) {
        for (const minor of NUMBERS) yield { type, bits, major, minor };
      }
    }
  }
}

/** Every access on which the program and the oracle differ, as text. */
function differences(own: readonly DeviceRule[], defaults: readonly DeviceMatch[] = []): string[] {
  const program = deviceProgram(devicePolicy(own, defaults));
  const letters = ["", "m", "r", "rm", "w", "wm", "rw", "rwm"];
  const after = defaults.map((rule) => ({ ...rule, access: letters[rule.access] ?? "" }));
  const found: string[] = [];
  for (const access of everyAccess()) {
    const want = isAllowed([...own, ...after], access) ? 1 : 0;
    if (run(program, access) !== want) found.push(JSON.stringify(access));
  }
  return found;
}

describe("the program says what the list says", () => {
  const cases: [name: string, own: DeviceRule[]][] = [
    ["nothing", []],
    ["deny all", [DENY_ALL]],
    ["allow all", [ALLOW_ALL]],
    ["one device", [DENY_ALL, NULL]],
    [
      "accesses from two rules add up",
      [
        { allow: true, type: "c", major: 1, minor: 3, access: "r" },
        { allow: true, type: "c", major: 1, access: "w" },
      ],
    ],
    [
      "a hole in a wild card",
      [
        { allow: true, type: "c", major: 1, access: "rwm" },
        { allow: false, type: "c", major: 1, minor: 3, access: "w" },
      ],
    ],
    ["a hole in everything", [ALLOW_ALL, { allow: false, type: "b", major: 8, access: "w" }]],
    [
      "a hole filled again",
      [
        ALLOW_ALL,
        { allow: false, type: "b", access: "rwm" },
        { allow: true, type: "b", major: 8, minor: 0, access: "r" },
      ],
    ],
    ["a minor without a major", [{ allow: true, type: "c", minor: 3, access: "rw" }]],
    ["type a with numbers", [{ allow: true, type: "a", major: 8, access: "r" }]],
    [
      "numbers above 2^31",
      [{ allow: true, type: "c", major: 0xffff_ffff, minor: 0x7fff_ffff, access: "rw" }],
    ],
    ["the last word counts", [NULL, DENY_ALL, NULL, { ...NULL, allow: false }]],
  ];
  test.each(cases)("%s", (_name, own) => {
    expect(differences(own)).toEqual([]);
  });

  test("with the default devices after it", () => {
    expect(differences([DENY_ALL], DEFAULT_DEVICES)).toEqual([]);
  });

  test("lists made at random", () => {
    let seed = 7;
    const pick = <T>(from: readonly T[]): T => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return from[seed % from.length] as T;
    };
    for (let list = 0; list < 25; list++) {
      const own = Array.from({ length: 1 + (list % 6) }, (): DeviceRule => {
        return {
          allow: pick([true, false]),
          type: pick(["b", "c", "c", "a"] as const),
          major: pick([-1, 1, 8]),
          minor: pick([-1, 0, 3]),
          access: pick(["r", "w", "m", "rw", "rwm", "wm"]),
        };
      });
      expect([JSON.stringify(own), ...differences(own)]).toEqual([JSON.stringify(own)]);
    }
  });
});

describe("what a container with CAP_MKNOD may do (GHSA-g54h-m393-cpwq)", () => {
  const program = deviceProgram(devicePolicy([], DEFAULT_DEVICES));
  const hostile: [name: string, type: 1 | 2, major: number, minor: number][] = [
    ["/dev/mem", CHAR, 1, 1],
    ["a disk", BLOCK, 8, 0],
    ["a disk of NVMe", BLOCK, 259, 0],
    ["a virtual disk", BLOCK, 254, 0],
    ["/dev/fuse", CHAR, 10, 229],
    ["the console of the host", CHAR, 5, 1],
  ];
  test.each(hostile)("make a node of %s, and never open it", (_name, type, major, minor) => {
    expect(run(program, { type, bits: MKNOD, major, minor })).toBe(1);
    for (const bits of [READ, WRITE, READ | WRITE, READ | MKNOD]) {
      expect(run(program, { type, bits, major, minor })).toBe(0);
    }
  });

  test("open /dev/null and a terminal", () => {
    expect(run(program, { type: CHAR, bits: READ | WRITE, major: 1, minor: 3 })).toBe(1);
    expect(run(program, { type: CHAR, bits: READ | WRITE, major: 136, minor: 77 })).toBe(1);
    expect(run(program, { type: BLOCK, bits: READ, major: 1, minor: 3 })).toBe(0);
  });

  test("a request for no access is for a device that some rule allows", () => {
    expect(run(program, { type: CHAR, bits: 0, major: 1, minor: 3 })).toBe(1);
    expect(
      run(deviceProgram(devicePolicy([], [])), { type: CHAR, bits: 0, major: 1, minor: 3 }),
    ).toBe(0);
  });
});

test("is whole instructions, and short", () => {
  const program = deviceProgram(devicePolicy([], DEFAULT_DEVICES));
  expect(program.length % 8).toBe(0);
  expect(program.length / 8).toBeLessThan(80);
});
