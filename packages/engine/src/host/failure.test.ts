import { expect, test } from "bun:test";
import { openSync } from "node:fs";
import { isCallFailure, reasonOf, starting } from "./failure.ts";

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

test("a reason names neither the call nor the path, and has the code", () => {
  const missing = thrownBy(() => openSync("/no/such, open '/x'", "r"));
  expect(isCallFailure(missing)).toBeTrue();
  expect(reasonOf(missing)).toBe("no such file or directory (ENOENT)");
  expect(reasonOf(thrownBy(() => openSync("/", "w")))).toEndWith(" (EISDIR)");
});

test("what is no failure of a call has its own words", () => {
  expect(reasonOf(new RangeError("too far"))).toBe("too far");
  expect(reasonOf("text")).toBe("text");
  expect([new Error("x"), undefined, null, "x"].some(isCallFailure)).toBeFalse();
});

test("a program that is missing is an error that names it", () => {
  const started = starting("/bin/true", () => Bun.spawn(["/bin/true"]));
  expect(started.pid).toBeGreaterThan(0);
  expect(() => starting("/no/such", () => Bun.spawn(["/no/such"]))).toThrow(
    'Cannot start "/no/such": no such file or directory (ENOENT)',
  );
});
