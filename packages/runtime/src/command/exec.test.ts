import { describe, expect, test } from "bun:test";
import { type ErrorReport, TareError, toReport } from "@tare/spec/error.ts";
import { parseArguments } from "./arguments.ts";
import type { Context } from "./context.ts";
import { aboutWords, COMMANDS } from "./exec.ts";

const CONFIG_HINT = "Check process.args[0]";
const WORDS_HINT = "Check the command: it has to be in the container";
const MESSAGE = 'Cannot execute "nosuch": executable file not found in $PATH';

function missingProgram(): TareError {
  return new TareError("command_not_found", MESSAGE, { hint: CONFIG_HINT });
}

/** The report of what `exec` throws for a command line, in a world where the program is missing. */
function reportOf(...list: string[]): ErrorReport | undefined {
  const { exec } = COMMANDS;
  const args = parseArguments(list, exec?.options ?? {}, { mixed: false, command: "exec" });
  const context = {
    args,
    get sys() {
      throw missingProgram();
    },
  };
  try {
    exec?.run(context as unknown as Context);
  } catch (error) {
    return toReport(error);
  }
  return undefined;
}

describe("of a program that is missing", () => {
  test("the hint is about the command, where the command line named it", () => {
    const told: ErrorReport = { code: "command_not_found", message: MESSAGE, hint: WORDS_HINT };
    expect(reportOf("two", "nosuch")).toEqual(told);
  });

  test("the hint is about the field, where a file named it", () => {
    expect(reportOf("--process", "p.json", "two")).toEqual(toReport(missingProgram()));
  });

  test("an error without a hint, or of another kind, stays as it is", () => {
    const interpreter = new TareError("command_not_found", "Cannot exec x: its interpreter");
    const mode = new TareError("command_not_executable", "Cannot execute", { hint: "the mode" });
    for (const error of [interpreter, mode, new Error("other")]) {
      expect(aboutWords(error)).toBe(error);
    }
  });
});
