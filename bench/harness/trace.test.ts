import { expect, test } from "bun:test";
import { labelCalls, mostAlike, parseStrace, parseTrace, withoutNoise } from "./trace.ts";

const TRACE = `
    runtime     7  10.000100:  raw_syscalls:sys_exit: NR 59 = 0
    runtime     7  10.000150: raw_syscalls:sys_enter: NR 12 (0, c)
    runtime     7  10.000155:  raw_syscalls:sys_exit: NR 12 = 93825191469056
    runtime     7  10.000255: raw_syscalls:sys_enter: NR 257 (555561356d40, c)
    runtime     7  10.000265: PERF_RECORD_SWITCH OUT preempt
    runtime     8  10.000270: raw_syscalls:sys_enter: NR 39 ()
    runtime     8  10.000273:  raw_syscalls:sys_exit: NR 39 = 8
    runtime     7  10.000365: PERF_RECORD_SWITCH IN         
    runtime     7  10.000370:  raw_syscalls:sys_exit: NR 257 = -2
    runtime     7  10.000380: PERF_RECORD_SWITCH OUT        
    runtime     7  10.000480: PERF_RECORD_SWITCH IN         
    runtime     7  10.000490: raw_syscalls:sys_enter: NR 231 (0)
`;

test("time while others run is nobody's", () => {
  const [first, second] = parseTrace(TRACE);
  expect(first).toEqual({
    pid: 7,
    calls: [
      { number: 12, beforeUs: 50, insideUs: 5, wallUs: 5 },
      { number: 257, beforeUs: 100, insideUs: 15, wallUs: 115 },
    ],
  });
  expect(second?.calls).toEqual([{ number: 39, beforeUs: 0, insideUs: 3, wallUs: 3 }]);
});

test("calls for memory are counted as the program's own time", () => {
  const [first] = parseTrace(TRACE);
  const names = new Map([
    [12, "brk"],
    [257, "openat"],
  ]);
  expect(withoutNoise(first?.calls ?? [], (number) => names.get(number) ?? "?")).toEqual([
    { number: 257, name: "openat", beforeUs: 155, insideUs: 15, wallUs: 115 },
  ]);
});

test("strace's lines are sorted by process, and a call that was interrupted is one", () => {
  const text = `7  execve("/bin/x", ["x"], 0x7 /* 1 var */) = 0
7  brk(NULL) = 0x5
7  wait4(8,  <unfinished ...>
8  getpid() = 8
7  <... wait4 resumed>[], 0, NULL) = 8
8  +++ exited with 0 +++
`;
  expect(parseStrace(text).map((calls) => calls.map(({ name }) => name))).toEqual([
    ["execve", "wait4"],
    ["getpid"],
  ]);
});

test("traces that differ from most are left out", () => {
  const call = { number: 1, beforeUs: 0, insideUs: 0, wallUs: 0 };
  const trace = (...names: string[]) => names.map((name) => ({ ...call, name }));
  const usual = trace("open", "read");
  expect(mostAlike([trace("open"), usual, usual, trace("open", "read", "read")])).toEqual([
    usual,
    usual,
  ]);
  expect(mostAlike([])).toEqual([]);
});

test("calls get the arguments strace saw, though it saw some more or fewer", () => {
  const shown = ["execve", "open", "read", "close", "poll"].map((name) => ({
    name,
    shown: `${name}()`,
  }));
  const names = ["open", "read", "read", "close", "wait4", "poll"];
  expect(labelCalls(names, shown).join(" ")).toBe("open() read() read close() wait4 poll()");
});
