import { describe, expect, test } from "bun:test";
import { TareError } from "@tare/spec/error.ts";
import { parseArguments } from "./arguments.ts";
import type { Context } from "./context.ts";
import { aboutWords, COMMANDS } from "./exec.ts";

const CONFIG_HINT = "Check process.args[0]";
const WORDS_HINT = "Check the command: it has to be in the container";
const MESSAGE = 'Cannot execute "nosuch": executable file not found in $PATH';

function missingProgram(): TareError {
  return new TareError("command_not_found", MESSAGE, { hint: CONFIG_HINT });
}

/** What `exec` throws for a command line, in a world where the program is missing. */
function thrownBy(...list: string[]): unknown {
  const { exec } = COMMANDS;
  const args = parseArguments(list, exec?.options ?? {}, { mixed: false, command: "exec" });
  const context = {
    args,
    get sys() {
      throw missingProgram();
    },
  };
  try {
    return exec?.run(context as unknown as Context);
  } catch (error) {
    return error;
  }
}

describe("of a program that is missing", () => {
  test("the hint is about the command, where the command line named it", () => {
    const told = { code: "command_not_found", message: MESSAGE, hint: WORDS_HINT };
    expect(thrownBy("two", "nosuch")).toMatchObject(told);
  });

  test("the hint is about the field, where a file named it", () => {
    expect(thrownBy("--process", "p.json", "two")).toMatchObject({ hint: CONFIG_HINT });
  });

  test("an error without a hint, or of another kind, stays as it is", () => {
    const interpreter = new TareError("command_not_found", "Cannot exec x: its interpreter");
    const mode = new TareError("command_not_executable", "Cannot execute", { hint: "the mode" });
    for (const error of [interpreter, mode, new Error("other")]) {
      expect(aboutWords(error)).toBe(error);
    }
  });
});
