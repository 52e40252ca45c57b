/**
 * The file that the development host reads its failures from and notes its calls in; the other side,
 * with the layout, is host/src/tripwire.rs. A process has a number that does not depend on timing: the
 * n-th start of the program is n, the k-th child of process p is `p * CHILDREN + k`.
 */
import { readFileSync, writeFileSync } from "node:fs";

const HEAD_BYTES = 256;
const RECORD_BYTES = 40;
const RECORDS_MAX = 8192;
const WIRES_AT = 16;
const WIRE_BYTES = 16;
const NAME_AT = 12;

/** What happens at a call instead of it, or to it. */
export type Action =
  | { readonly kind: "fail"; readonly errno: number }
  /** It moves half of the bytes only. */
  | { readonly kind: "shorten" }
  /** The process is killed before the call. */
  | { readonly kind: "die" };

/** A call: the `index`-th (from 1) of a process. */
export type Place = { readonly process: number; readonly index: number };

export type Wire = Place & { readonly action: Action };

/** A call that was made. */
export type Call = Place & { readonly name: string; readonly answer: number };

const KINDS = { fail: 1, shorten: 2, die: 3 } as const;

/** Writes a file for TARE_TRIPWIRE with what shall happen; each run wants a new one. */
export function writeWires(path: string, wires: readonly Wire[]): void {
  const bytes = Buffer.alloc(HEAD_BYTES + RECORDS_MAX * RECORD_BYTES);
  bytes.writeUInt32LE(wires.length, 8);
  for (const [index, { process, index: call, action }] of wires.entries()) {
    const at = WIRES_AT + index * WIRE_BYTES;
    const value = action.kind === "fail" ? action.errno : 0;
    for (const [offset, word] of [process, call, KINDS[action.kind], value].entries()) {
      bytes.writeUInt32LE(word, at + offset * 4);
    }
  }
  writeFileSync(path, bytes);
}

/** The calls noted in a file, in the order in which they ended. */
export function readCalls(path: string): Call[] {
  const bytes = readFileSync(path);
  const count = bytes.readUInt32LE(4);
  if (count > RECORDS_MAX) throw new Error(`${count} calls: more than ${path} has room for`);
  return Array.from({ length: count }, (_, slot) => {
    const at = HEAD_BYTES + slot * RECORD_BYTES;
    const name = bytes.subarray(at + NAME_AT, at + RECORD_BYTES).toString("latin1");
    return {
      process: bytes.readUInt32LE(at),
      index: bytes.readUInt32LE(at + 4),
      answer: bytes.readInt32LE(at + 8),
      name: name.slice(0, name.indexOf("\0")),
    };
  });
}
