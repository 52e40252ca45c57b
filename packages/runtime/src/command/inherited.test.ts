import { describe, expect, test } from "bun:test";
import { scriptedSys } from "../sys/scripted-sys.ts";
import { closeInherited, openPreserved } from "./inherited.ts";

const EBADF = 9;
const F_GETFD = 1;
const F_SETFD = 2;
const MAX = 0xffffffff;

/** A caller that has these numbers open. */
function caller(...numbers: readonly number[]) {
  return callerWith([], ...numbers);
}

function callerWith(environ: readonly string[], ...numbers: number[]) {
  const isOpen = new Set(numbers);
  return scriptedSys({
    variable: (name: string) =>
      environ.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1) ?? null,
    getpid: () => 42,
    fcntl: (fd: number) => (isOpen.has(fd) ? 0 : -EBADF),
    openat2: () => {
      const free = [0, 1, 2, 3, 4].find((each) => !isOpen.has(each)) ?? 5;
      isOpen.add(free);
      return free;
    },
  });
}

describe("closing what the caller left open", () => {
  const cases: [name: string, words: string[], closed: [number, number][]][] = [
    ["everything from 3 on", ["state", "x"], [[3, MAX]]],
    ["not what is passed on", ["run", "--preserve-fds", "2", "x"], [[5, MAX]]],
    ["with an equals sign", ["run", "--preserve-fds=2", "x"], [[5, MAX]]],
    ["with one dash", ["run", "-preserve-fds", "2", "x"], [[5, MAX]]],
    ["a number that is none counts as 0", ["run", "--preserve-fds", "2x", "x"], [[3, MAX]]],
    ["a negative number too", ["run", "--preserve-fds=-1", "x"], [[3, MAX]]],
    ["and a word that is missing", ["run", "--preserve-fds"], [[3, MAX]]],
    [
      "all but the lifeline",
      ["run", "--kill-on-close=7", "x"],
      [
        [3, 6],
        [8, MAX],
      ],
    ],
    [
      "not what is named as a file",
      ["exec", "--process", "/dev/fd/7", "--pid-file=/proc/self/fd/4", "x", "/dev/fd/"],
      [
        [3, 3],
        [5, 6],
        [8, MAX],
      ],
    ],
    ["a lifeline in the first place", ["run", "--kill-on-close", "3", "x"], [[4, MAX]]],
    [
      "a lifeline among what is passed on",
      ["run", "--preserve-fds", "4", "--kill-on-close", "5", "x"],
      [[7, MAX]],
    ],
  ];
  test.each(cases)("%s", (_name, words, closed) => {
    const { sys, calls } = caller(0, 1, 2, 3, 4, 5, 6, 7);
    closeInherited(sys, words);
    const ranges = calls.filter(([name]) => name === "close_range");
    expect(ranges.map(([, first, last]) => [first, last])).toEqual(closed);
  });

  test("a lifeline stays open when the program executes itself again", () => {
    const { sys, calls } = caller(0, 1, 2, 3);
    closeInherited(sys, ["run", "--kill-on-close", "3", "x"]);
    const commands = calls.filter(([name]) => name === "fcntl").map(([, , command]) => command);
    expect(commands).not.toContain(F_SETFD);
  });

  test("a lifeline that is not open is an error", () => {
    const { sys } = caller(0, 1, 2);
    expect(() => closeInherited(sys, ["run", "--kill-on-close", "9", "x"])).toThrow("fcntl");
  });

  test("a closed standard stream becomes the null device before anything else is opened", () => {
    const { sys, calls } = caller(1);
    closeInherited(sys, ["state", "x"]);
    const opened = calls.filter(([name]) => name === "openat2").map(([, , path]) => path);
    expect(opened).toEqual(["/dev/null", "/dev/null"]);
    expect(calls.findIndex(([name]) => name === "close_range")).toBe(calls.length - 1);
  });
});

describe("descriptors that are passed on", () => {
  test("are those that are open; a gap would be filled by one of ours", () => {
    expect(openPreserved(caller(0, 1, 2, 3).sys, 2)).toBe(1);
    expect(() => openPreserved(caller(0, 1, 2, 4).sys, 2)).toThrow("4 is open, 3 is not");
  });

  test("are looked at and left as they are", () => {
    const { sys, calls } = caller(0, 1, 2, 3, 4);
    openPreserved(sys, 2);
    expect(calls).toEqual([
      ["fcntl", 3, F_GETFD, 0],
      ["fcntl", 4, F_GETFD, 0],
    ]);
    openPreserved(sys, 0);
    expect(calls).toHaveLength(2);
  });
});

describe("descriptors that listen", () => {
  const MAX = 0xffffffff;
  const rangesOf = (environ: string[], ...words: string[]) => {
    const { sys, calls } = callerWith(environ, 0, 1, 2, 3, 4, 5, 6);
    closeInherited(sys, ["run", ...words]);
    const ranges = calls.filter(([name]) => name === "close_range");
    return ranges.map(([, first, last]) => [first, last]);
  };

  test.each([
    [["LISTEN_FDS=2", "LISTEN_PID=42"], 5],
    [["LISTEN_FDS=2"], 5],
    [["LISTEN_FDS=2", "LISTEN_PID=43"], 3],
    [["LISTEN_FDS=", "LISTEN_PID=42"], 3],
    [["LISTEN_FDS=-1"], 3],
    [["LISTEN_FDS=1.5"], 3],
    [["LISTEN_FDS=1001"], 3],
    [["XLISTEN_FDS=2"], 3],
  ])("%j: closed from %d on", (environ, first) => {
    expect(rangesOf(environ)).toEqual([[first, MAX]]);
  });

  test("come before those that are passed on by number", () => {
    expect(rangesOf(["LISTEN_FDS=1"], "--preserve-fds", "2", "x")).toEqual([[6, MAX]]);
    const { sys, calls } = callerWith([], 0, 1, 2, 3, 4, 5);
    openPreserved(sys, 2, 1);
    expect(calls.map(([, fd]) => fd)).toEqual([4, 5]);
  });

  test("are the null device where they are not there", () => {
    const { sys, calls } = callerWith(["LISTEN_FDS=2"], 0, 1, 2, 3);
    closeInherited(sys, ["run"]);
    expect(calls.filter(([name]) => name === "openat2").map(([, , path]) => path)).toEqual([
      "/dev/null",
    ]);
  });
});
