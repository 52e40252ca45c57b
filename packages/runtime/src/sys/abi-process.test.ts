import { describe, expect, test } from "bun:test";
import { CAP_LAST, capabilityNames, rlimitNumber, signalNumber } from "./abi-process.ts";

describe("signals", () => {
  test.each([
    ["TERM", 15],
    ["SIGTERM", 15],
    ["sigterm", 15],
    ["Kill", 9],
    ["HUP", 1],
    ["SYS", 31],
    ["15", 15],
    ["0", 0],
    ["64", 64],
    ["RTMIN", 34],
    ["SIGRTMIN+3", 37],
    ["RTMAX", 64],
    ["RTMAX-2", 62],
    ["RTMIN+30", 64],
    ["POLL", 29],
    ["SIGPOLL", 29],
    ["IO", 29],
    ["CLD", 17],
    ["iot", 6],
    ["UNUSED", 31],
  ])("%s is %d", (text, number) => {
    expect(signalNumber(text)).toBe(number);
  });

  test.each([
    "",
    "SIG",
    "SIGSIGTERM",
    "TERMINATE",
    "65",
    "-1",
    "1.5",
    "RTMIN+31",
    "RTMAX-31",
    "RTMIN+",
    "RTMIN3",
    "RTMIN+1.5",
    "RTMIN+-1",
    "TERM KILL",
    " 9",
    "0x9",
    "1e1",
    "RTMIN+0x1",
    "__proto__",
  ])("%j is none", (text) => {
    expect(signalNumber(text)).toBeUndefined();
  });
});

describe("capabilities", () => {
  test.each([
    ["CAP_CHOWN", 0],
    ["CAP_SETPCAP", 8],
    ["CAP_NET_RAW", 13],
    ["CAP_SYS_ADMIN", 21],
    ["CAP_MKNOD", 27],
    ["CAP_SETFCAP", 31],
    ["CAP_SYSLOG", 34],
    ["CAP_CHECKPOINT_RESTORE", 40],
  ])("%s is %d", (name, number) => {
    expect(capabilityNames().indexOf(name)).toBe(number);
  });

  test("each once, up to the last", () => {
    expect(capabilityNames()).toHaveLength(CAP_LAST + 1);
    expect(new Set(capabilityNames()).size).toBe(CAP_LAST + 1);
  });
});

describe("limits", () => {
  test.each([
    ["RLIMIT_CPU", 0],
    ["RLIMIT_CORE", 4],
    ["RLIMIT_NPROC", 6],
    ["RLIMIT_NOFILE", 7],
    ["RLIMIT_AS", 9],
    ["RLIMIT_RTTIME", 15],
  ])("%s is %d", (name, number) => {
    expect(rlimitNumber(name)).toBe(number);
  });

  test.each(["NOFILE", "rlimit_nofile", "RLIMIT_", "RLIMIT_MAGIC", "RLIMIT_CPU FSIZE", ""])(
    "%j is none",
    (name) => {
      expect(rlimitNumber(name)).toBeUndefined();
    },
  );
});
