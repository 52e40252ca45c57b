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
