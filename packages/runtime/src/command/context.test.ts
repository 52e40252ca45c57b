import { expect, test } from "bun:test";
import { type ErrorReport, toReport } from "@tare/spec/error.ts";
import { parseArguments } from "./arguments.ts";
import { containerId } from "./context.ts";

function idOf(command: string, word: string): string {
  return containerId(parseArguments([word], {}, { mixed: true, command }));
}

function refusal(action: () => unknown): ErrorReport {
  try {
    action();
  } catch (error) {
    return toReport(error);
  }
  throw new Error("nothing was thrown");
}

test("the id is the first word", () => {
  expect(idOf("run", "one")).toBe("one");
});

test.each([
  ["run", "Cannot run: the container ID is missing"],
  ["delete", "Cannot delete: the container ID is missing"],
  ["state", "Cannot tell the state: the container ID is missing"],
  ["events", "Cannot watch: the container ID is missing"],
  ["ps", "Cannot list processes: the container ID is missing"],
])("%s says what it cannot do without one", (command, message) => {
  const hint = "Give it as the first word after the command";
  const report: ErrorReport = { code: "bad_input", message, hint };
  const none = parseArguments([], {}, { mixed: true, command });
  expect(refusal(() => containerId(none))).toEqual(report);
  expect(refusal(() => idOf(command, ""))).toEqual(report);
});
