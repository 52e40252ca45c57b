import { describe, expect, test } from "bun:test";
import { TareError } from "@tare/spec/error.ts";
import { check, during, errnoOf, SysError } from "./check.ts";
import { OwnedFd } from "./owned-fd.ts";
import { scriptedSys } from "./scripted-sys.ts";
import type { Fd, Ret } from "./types.ts";

const ret = <T>(value: unknown) => value as Ret<T>;

function thrown(action: () => unknown): SysError {
  try {
    action();
  } catch (error) {
    return error as SysError;
  }
  throw new Error("nothing was thrown");
}

describe("answers of the kernel", () => {
  test("0 and more are values", () => {
    expect(check(ret<number>(0), "read")).toBe(0);
    expect(check(ret<number>(7), "read")).toBe(7);
    expect(errnoOf(ret(7))).toBe(0);
  });

  test("less is an error with call, subject, text and name", () => {
    const error = thrown(() => check(ret(-2), "openat2", "/x"));
    expect(error instanceof SysError && error instanceof TareError).toBeTrue();
    expect(error.message).toBe('openat2 "/x": No such file or directory (ENOENT)');
    expect([error.call, error.errno, error.code]).toEqual(["openat2", 2, "system"]);
    expect(errnoOf(ret(-2))).toBe(2);
  });

  test("a missing privilege has its own code", () => {
    expect(thrown(() => check(ret(-1), "mount")).code).toBe("no_permission");
    expect(thrown(() => check(ret(-13), "mount")).code).toBe("no_permission");
  });

  test("a number without a name is shown as it is", () => {
    expect(thrown(() => check(ret(-4000), "x")).message).toContain("errno 4000");
  });

  test("a name of bytes cannot forge lines or colours", () => {
    const name = new Uint8Array([0x61, 0x0a, 0x1b, 0xff, 0x7f]);
    expect(thrown(() => check(ret(-2), "mkdirat", name)).message).toContain(
      '"a\\xa\\x1b\\xff\\x7f"',
    );
  });

  test("what was being done comes before what the kernel said", () => {
    const error = thrown(() =>
      during(
        () => "Cannot use root",
        () => check(ret(-20), "open_tree"),
      ),
    );
    expect(error.message).toBe("Cannot use root: open_tree: Not a directory (ENOTDIR)");
    const other = new TareError("bad_input", "as it is");
    expect(
      thrown(() =>
        during(
          () => "x",
          () => {
            throw other;
          },
        ),
      ).message,
    ).toBe("as it is");
  });
});

describe("an owned descriptor", () => {
  test("is closed once, when its scope ends", () => {
    const { sys, calls } = scriptedSys({});
    {
      using fd = new OwnedFd(sys, 7 as Fd);
      expect(fd.fd).toBe(7 as Fd);
      fd.close();
    }
    expect(calls).toEqual([["close", 7]]);
  });

  test("that was given away is not closed, and neither can be used any more", () => {
    const { sys, calls } = scriptedSys({});
    const fd = new OwnedFd(sys, 7 as Fd);
    expect(fd.release()).toBe(7 as Fd);
    fd.close();
    expect(calls).toEqual([]);
    expect(() => fd.fd).toThrow("not used after it was closed");
    expect(() => fd.release()).toThrow("not used after it was closed");
  });
});
