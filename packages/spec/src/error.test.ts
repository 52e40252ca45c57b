import { expect, test } from "bun:test";
import { fromReport, TareError, toReport } from "./error.ts";

/** As another bundle of the same sources has it: the same shape, another class. */
class OtherError extends Error {
  readonly code = "command_not_found";
  readonly hint = "look elsewhere";
}

test("a report has code, message and hint, and makes the error again", () => {
  const report = toReport(new TareError("conflict", "taken", { hint: "use another" }));
  expect(report).toEqual({ code: "conflict", message: "taken", hint: "use another" });
  expect(toReport(fromReport(report))).toEqual(report);
});

test("a hint that is not there is not in the report", () => {
  expect(Object.keys(toReport(new TareError("system", "no")))).toEqual(["code", "message"]);
});

test("an error of another bundle keeps its code", () => {
  const report = toReport(new OtherError("no such program"));
  expect(report).toEqual({
    code: "command_not_found",
    message: "no such program",
    hint: "look elsewhere",
  });
});

test("what is not ours is internal, and says what it was", () => {
  expect(toReport(new RangeError("deep"))).toEqual({
    code: "internal",
    message: "RangeError: deep",
  });
  expect(toReport("thrown text")).toEqual({ code: "internal", message: "thrown text" });
});

test("a value in a message writes no line of its own, and nothing to a terminal", () => {
  const error = new TareError("bad_input", 'Cannot use "a\n\u001b[31m\u202eb\u009b"', {
    hint: "x\r\ny",
  });
  expect(error.message).toBe('Cannot use "a\\u000a\\u001b[31m\\u202eb\\u009b"');
  expect(error.hint).toBe("x\\u000d\\u000ay");
  expect(toReport(new RangeError("a\nb")).message).toBe("RangeError: a\\u000ab");
  expect(new TareError("system", "Grüße \u{1f4a9}").message).toBe("Grüße \u{1f4a9}");
});

test("a long message keeps its start and its end", () => {
  const { message } = new TareError("bad_input", `Cannot use "${"x".repeat(100_000)}": too long`);
  expect(message).toStartWith('Cannot use "xxx');
  expect(message).toEndWith('xxx": too long');
  expect(message.length).toBeLessThan(10_000);
});
