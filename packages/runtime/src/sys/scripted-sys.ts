/**
 * A table of system calls for tests: what is called is recorded, answers are given by name, and what
 * has no answer succeeds with 0. Descriptors count up from 3 and are known to be open until closed.
 */

import { decodeUtf8, encodeUtf8 } from "@tare/spec/bytes.ts";
import type { Sys } from "./types.ts";

type Answer = (...args: never[]) => unknown;

export type ScriptedSys = {
  readonly sys: Sys;
  /** Every call in its order: the name, then the arguments. */
  readonly calls: readonly (readonly unknown[])[];
  /** The numbers that are open, ascending. */
  readonly open: () => readonly number[];
  /** A new open number, for answers that hand one out. */
  readonly give: () => number;
};

/** Calls that answer a new descriptor. */
const OPENERS: ReadonlySet<string> = new Set(
  "openat2 open_tree fsopen fsmount socket accept4 pidfd_open signalfd memfd_create".split(" "),
);

/** `answers` go before what is built in; a negative number is -errno. */
export function scriptedSys(answers: { readonly [call: string]: Answer }): ScriptedSys {
  const calls: (readonly unknown[])[] = [];
  const open = new Set<number>();
  let next = 3;
  const give = (): number => {
    open.add(next);
    return next++;
  };
  const builtIn: { readonly [call: string]: Answer } = {
    close: (fd: number) => (open.delete(fd) ? 0 : -9),
    encode_utf8: encodeUtf8,
    decode_utf8: decodeOrNull,
  };
  const answer = (name: string, args: readonly unknown[]): unknown => {
    calls.push([name, ...args]);
    const given = answers[name] ?? builtIn[name];
    if (given === undefined) return OPENERS.has(name) ? give() : 0;
    const result = given(...(args as never[]));
    if (OPENERS.has(name) && typeof result === "number" && result >= 0) open.add(result);
    return result;
  };
  const get = (_target: object, name: string | symbol) => {
    return (...args: unknown[]): unknown => answer(String(name), args);
  };
  const sys = new Proxy({}, { get }) as Sys;
  return { sys, calls, open: () => [...open].sort((one, other) => one - other), give };
}

function decodeOrNull(bytes: Uint8Array): string | null {
  try {
    return decodeUtf8(bytes, "bytes");
  } catch {
    return null; // As the host answers for what is not UTF-8.
  }
}

/** Writes the fields of a `struct statx` that statAt reads; the mode has the type. */
export function fillStat(
  into: Uint8Array,
  stat: {
    readonly mode: number;
    readonly ino?: bigint;
    readonly rdev?: readonly [major: number, minor: number];
    readonly dev?: readonly [major: number, minor: number];
  },
): 0 {
  const view = new DataView(into.buffer, into.byteOffset);
  view.setUint16(28, stat.mode, true);
  view.setBigUint64(32, stat.ino ?? 1n, true);
  for (const [at, value] of [...(stat.rdev ?? [0, 0]), ...(stat.dev ?? [0, 0])].entries()) {
    view.setUint32(128 + at * 4, value, true);
  }
  return 0;
}
