/**
 * What is left to do for a created container, as bytes: they cross over when its first process begins
 * again with a heap as the executable has it (waiting.ts). Pure but for the codec of texts.
 */

import { NO_FD } from "../sys/abi-file.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { InitGift, InitState } from "./init.ts";
import type { Step } from "./step.ts";

/** What crosses over: numbers of descriptors among them. The filter's program follows the text. */
export type Left = {
  readonly steps: readonly Step[];
  readonly clone: InitGift["plan"]["clone"];
  readonly config: InitGift["config"];
  readonly state: InitGift["state"];
  readonly preserveFds: number;
  readonly filterFlags: number | undefined;
  readonly channel: Fd;
  readonly startSocket: Fd;
  readonly root: Fd;
  readonly procfs: Fd;
  readonly callerMask: number;
  readonly program: InitState["program"];
};

/** Bytes before the text: its length, little-endian. */
const LENGTH_BYTES = 4;

/** The bytes for `resume`. Numbers of 64 bits and bytes are no JSON: they are objects of one field. */
export function encodeLeft(
  sys: Pick<Sys, "encode_utf8">,
  gift: InitGift,
  state: InitState,
): Uint8Array {
  const at = gift.plan.init.findIndex(({ op }) => op === "wait-start");
  const left: Left = {
    steps: gift.plan.init.slice(at + 1),
    clone: gift.plan.clone,
    config: { process: gift.config.process, hooks: gift.config.hooks } as InitGift["config"],
    state: gift.state,
    preserveFds: gift.preserveFds,
    filterFlags: gift.filter?.flags,
    channel: gift.channel.fd,
    startSocket: gift.startSocket ?? NO_FD,
    root: state.root,
    procfs: state.procfs,
    callerMask: state.callerMask,
    program: state.program,
  };
  const text = sys.encode_utf8(JSON.stringify(left, enclose));
  const program = gift.filter?.program ?? new Uint8Array(0);
  const bytes = new Uint8Array(LENGTH_BYTES + text.length + program.length);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, LENGTH_BYTES);
  bytes.set(program, LENGTH_BYTES + text.length);
  return bytes;
}

function enclose(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return { $bigint: String(value) };
  if (value instanceof Uint8Array) return { $bytes: [...value] };
  return value;
}

function disclose(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if ("$bigint" in value) return BigInt(String(value.$bigint));
  if ("$bytes" in value) return Uint8Array.from(value.$bytes as number[]);
  return value;
}

/** What `encodeLeft` made, and the filter's program. */
export function decodeLeft(
  sys: Pick<Sys, "decode_utf8">,
  bytes: Uint8Array,
): { readonly left: Left; readonly program: Uint8Array } {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const end = LENGTH_BYTES + length;
  const text = sys.decode_utf8(bytes.subarray(LENGTH_BYTES, end)) ?? "";
  return { left: JSON.parse(text, disclose) as Left, program: bytes.slice(end) };
}
