import { describe, expect, test } from "bun:test";
import { EPERM, ESRCH } from "../sys/abi-errno.ts";
import { scriptedSys } from "../sys/scripted-sys.ts";
import { signalMembers } from "./signal.ts";

const TERM = 15;

/** `lists` are what the cgroups hold at each look; `send` answers for a pid. */
function play(lists: readonly number[][], rounds: number, send: (pid: number) => number = () => 0) {
  const pidOf = new Map<number, number>();
  const got: number[] = [];
  const host = scriptedSys({
    pidfd_open: (pid: number) => {
      if (pid >= 900) return -ESRCH;
      const fd = host.give();
      pidOf.set(fd, pid);
      return fd;
    },
    pidfd_send_signal: (fd: number, signal: number) => {
      expect(signal).toBe(TERM);
      const pid = pidOf.get(fd) ?? 0;
      got.push(pid);
      return send(pid);
    },
  });
  let look = 0;
  const members = () => new Set(lists[Math.min(look++, lists.length - 1)]);
  const count = signalMembers(host.sys, members, TERM, rounds);
  expect(host.open()).toEqual([]);
  return { count, got };
}

describe("a signal for all members", () => {
  test("reaches each once", () => {
    expect(play([[7, 8]], 10)).toEqual({ count: 2, got: [7, 8] });
  });

  test("never a process whose number was a member's: it is none when it is held", () => {
    expect(play([[7, 8], [8]], 10)).toEqual({ count: 2, got: [8] });
  });

  test("reaches who comes meanwhile, where that is asked for", () => {
    const lists = [[7], [7, 8], [7, 8]];
    expect(play(lists, 10)).toEqual({ count: 2, got: [7, 8] });
    expect(play(lists, 1)).toEqual({ count: 1, got: [7] });
  });

  test("passes over who has ended before, or in between", () => {
    expect(play([[7, 900]], 10, () => -ESRCH)).toEqual({ count: 2, got: [7] });
  });

  test("fails where the kernel refuses it", () => {
    expect(() => play([[7]], 10, () => -EPERM)).toThrow("pidfd_send_signal");
  });

  test("holds no more descriptors than a batch", () => {
    const all = Array.from({ length: 600 }, (_, at) => at + 2);
    expect(play([all], 10)).toEqual({ count: 600, got: all });
  });

  test("ends where new ones never end", () => {
    const lists = Array.from({ length: 50 }, (_, at) => [at + 2]);
    expect(play(lists, 3).count).toBe(3);
  });
});
