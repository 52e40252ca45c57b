import { describe, expect, test } from "bun:test";
import { scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { rawSettings } from "./host-terminal.ts";
import { Pump } from "./pump.ts";

const EINTR = 4;
const EIO = 5;
const EAGAIN = 11;
const EPIPE = 32;

/** Reads give these answers in turn, a text or -errno, then the end; writes take `room` bytes a call. */
function pump(
  reads: readonly (string | number)[],
  room: () => number = () => 1000,
  atEnd?: (last: number | undefined) => Uint8Array,
) {
  const ahead = [...reads];
  let written = "";
  const host = scriptedSys({
    read: (_fd: number, into: Uint8Array) => {
      const next = ahead.shift() ?? 0;
      if (typeof next === "number") return next;
      into.set([...next].map((letter) => letter.charCodeAt(0)));
      return next.length;
    },
    write: (_fd: number, from: Uint8Array) => {
      const taken = Math.min(room(), from.length);
      if (taken > 0) written += String.fromCharCode(...from.subarray(0, taken));
      return taken;
    },
    poll: (set: Int32Array) => {
      set[2] = ahead.length > 0 ? 1 : 0;
      return ahead.length > 0 ? 1 : 0;
    },
  });
  return { pump: new Pump(host.sys, 5 as Fd, 6 as Fd, atEnd), written: () => written };
}

describe("a pump", () => {
  test("reads only when it has nothing left to write", () => {
    const { pump: one, written } = pump(["abc", "d"], () => 2);
    expect([one.wantsRead, one.wantsWrite]).toEqual([true, false]);
    one.move();
    expect([one.wantsRead, one.wantsWrite]).toEqual([false, true]);
    one.move();
    expect([one.wantsRead, one.wantsWrite, written()]).toEqual([true, false, "abc"]);
    one.move();
    expect(written()).toBe("abcd");
  });

  test("keeps what was not taken, and waits", () => {
    let blocked = true;
    const { pump: one, written } = pump(["abc"], () => (blocked ? -EAGAIN : 3));
    one.move();
    expect([one.wantsWrite, written()]).toEqual([true, ""]);
    blocked = false;
    one.move();
    expect([one.wantsWrite, written()]).toEqual([false, "abc"]);
  });

  test("writes once what is to be written at the end, and not where the source is lost", () => {
    const mark = (last: number | undefined) => Uint8Array.of(last ?? 63, 33);
    const { pump: one, written } = pump(["abc"], undefined, mark);
    for (let move = 0; move < 4; move++) one.move();
    expect([one.wantsRead, one.wantsWrite, written()]).toEqual([false, false, "abcc!"]);
    const { pump: lost, written: nothing } = pump([-EIO], undefined, mark);
    lost.move();
    expect([lost.wantsRead, lost.wantsWrite, nothing()]).toEqual([false, false, ""]);
  });

  test("nothing there yet, or a signal, is no end", () => {
    const { pump: one, written } = pump([-EAGAIN, -EINTR, "x"]);
    one.move();
    expect(one.wantsRead).toBeTrue();
    one.move();
    expect(written()).toBe("x");
  });

  test.each([0, -EIO])("answer %d is the end", (answer) => {
    const { pump: one } = pump([answer]);
    one.move();
    expect([one.wantsRead, one.wantsWrite]).toEqual([false, false]);
  });

  test("who does not take it any more ends it", () => {
    const { pump: one } = pump(["abc", "d"], () => -EPIPE);
    one.move();
    expect([one.wantsRead, one.wantsWrite]).toEqual([false, false]);
  });

  test("drains what is still there, in order, up to the end", () => {
    const { pump: one, written } = pump(["abc", "def", -EIO], () => 2);
    one.drain();
    expect(written()).toBe("abcdef");
    const open = pump(["abc"]);
    open.pump.drain();
    expect(open.written()).toBe("abc");
  });
});

test("a raw terminal: no echo, no lines, no signals, bytes of 8 bits, and newlines as before", () => {
  const before = new Uint8Array(36);
  const view = new DataView(before.buffer);
  for (const at of [0, 4, 8, 12]) view.setUint32(at, 0xffffffff, true);
  const raw = rawSettings(before);
  const after = new DataView(raw.buffer);
  const [ECHO, ICANON, ISIG, IEXTEN, ECHONL] = [0o10, 0o2, 0o1, 0o100000, 0o100];
  const lost = ECHO | ICANON | ISIG | IEXTEN | ECHONL;
  expect(~after.getUint32(12, true)).toBe(lost);
  const [IXON, ICRNL, ISTRIP, BRKINT] = [0o2000, 0o400, 0o40, 0o2];
  for (const flag of [IXON, ICRNL, ISTRIP, BRKINT]) {
    expect(after.getUint32(0, true) & flag).toBe(0);
  }
  const [OPOST, CSIZE, CS8, PARENB] = [0o1, 0o60, 0o60, 0o400];
  expect(after.getUint32(4, true) & OPOST).toBe(OPOST);
  expect(after.getUint32(8, true) & (CSIZE | PARENB)).toBe(CS8);
  expect([raw[17 + 6], raw[17 + 5]]).toEqual([1, 0]);
  expect(view.getUint32(12, true)).toBe(0xffffffff);
});
