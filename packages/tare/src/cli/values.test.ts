import { describe, expect, test } from "bun:test";
import {
  parseCpus,
  parseCpuset,
  parseDevice,
  parseHostname,
  parseInteger,
  parseName,
  parsePair,
  parsePath,
  parseSize,
  parseSizeOrUnlimited,
  parseUlimit,
} from "./values.ts";

test("a path has a name, and no NUL", () => {
  expect([parsePath("a"), parsePath("/")]).toEqual(["a", "/"]);
  for (const text of ["", "a\0b"]) expect(() => parsePath(text)).toThrow(/empty|NUL/);
});

describe("sizes", () => {
  const good: [string, bigint][] = [
    ["0", 0n],
    ["512", 512n],
    ["1b", 1n],
    ["1k", 1024n],
    ["512m", 536870912n],
    ["512M", 536870912n],
    ["1.5g", 1610612736n],
    ["1GB", 1073741824n],
    ["1GiB", 1073741824n],
    ["2 m", 2097152n],
    ["1p", 2n ** 50n],
  ];
  test.each(good)("%s", (text, want) => expect(parseSize(text)).toBe(want));

  test.each(["", "m", "-1", "1x", "1.5.5m", "1e3", "0x10", "1mm", "9".repeat(40), ".5m", "1m2"])(
    "refuses %j",
    (text) => expect(() => parseSize(text)).toThrow(/want a size/),
  );

  test("none is larger than the kernel knows", () => {
    expect(parseSize("8191p")).toBe(8191n << 50n);
    for (const text of ["8192p", "9999999999999p", `${2n ** 63n}`]) {
      expect(() => parseSize(text)).toThrow(/want less than 8 EiB|want a size/);
    }
  });

  test("-1 is no limit only where that makes sense", () => {
    expect(parseSizeOrUnlimited("-1")).toBe(-1n);
    expect(() => parseSize("-1")).toThrow();
  });
});

describe("numbers", () => {
  const cpus: [string, bigint][] = [
    ["1", 1_000_000_000n],
    ["0.5", 500_000_000n],
    [".5", 500_000_000n],
    ["1.000000001", 1_000_000_001n],
  ];
  test.each(cpus)("--cpus %s", (text, want) => expect(parseCpus(text)).toBe(want));
  test.each(["", ".", "1.2.3", "-1", "one", "0.0000000001", "1e9"])("--cpus refuses %j", (text) =>
    expect(() => parseCpus(text)).toThrow(/number of processors/),
  );

  test("integers are exact up to 18 digits", () => {
    expect(parseInteger("999999999999999999")).toBe(999999999999999999n);
    expect(parseInteger("-1")).toBe(-1n);
    for (const text of ["", "-", "1.0", "1e3", " 1", "+1", "1".repeat(19)]) {
      expect(() => parseInteger(text)).toThrow(/whole number/);
    }
  });

  test("lists of processors", () => {
    expect(parseCpuset("0-2,7")).toBe("0-2,7");
    for (const text of ["", "a", "2-1", "1-", "1,,2", "0-1-2"]) {
      expect(() => parseCpuset(text)).toThrow(/want a list/);
    }
  });
});

describe("pairs", () => {
  test("ulimits", () => {
    expect(parseUlimit("nofile=1024")).toEqual({ name: "nofile", soft: 1024n, hard: 1024n });
    expect(parseUlimit("nofile=1:2")).toEqual({ name: "nofile", soft: 1n, hard: 2n });
    expect(parseUlimit("core=-1")).toEqual({ name: "core", soft: -1n, hard: -1n });
    for (const text of ["nofile", "=1", "nofile=", "nofile=1:2:3", "nofile=x"]) {
      expect(() => parseUlimit(text)).toThrow();
    }
  });

  test("devices", () => {
    const fuse = { source: "/dev/fuse", target: "/dev/fuse", access: "rwm" };
    expect(parseDevice("/dev/fuse")).toEqual(fuse);
    expect(parseDevice("/dev/fuse:r")).toEqual({ ...fuse, access: "r" });
    expect(parseDevice("/dev/fuse:/x")).toEqual({ ...fuse, target: "/x" });
    expect(parseDevice("/dev/fuse:/x:rw")).toEqual({ ...fuse, target: "/x", access: "rw" });
    for (const text of ["fuse", "/dev/fuse:x", "/dev/fuse:/x:q", "/dev/fuse:/x:rr", "/a:/b:r:w"]) {
      expect(() => parseDevice(text)).toThrow();
    }
  });

  test("a key keeps everything after the first =", () => {
    expect(parsePair("a=b=c")).toEqual(["a", "b=c"]);
    expect(() => parsePair("=b")).toThrow();
    expect(() => parsePair("a=b\0")).toThrow(/NUL/);
  });
});

describe("names", () => {
  test.each(["ab", "web-1", "A.b_c"])("takes %j", (text) => expect(parseName(text)).toBe(text));
  test.each(["", "a", "-ab", "a b", "a/b", "../x", "a\0b", "a".repeat(129), "ä1"])(
    "refuses %j",
    (text) => expect(() => parseName(text)).toThrow(/letters, digits/),
  );
  test.each(["", "a b", "x\ny", "a".repeat(64), "h\0"])("refuses host name %j", (text) =>
    expect(() => parseHostname(text)).toThrow(),
  );
});
