import { describe, expect, test } from "bun:test";
import { COMMANDS as ABOUT } from "./about.ts";
import { COMMANDS as CHECKPOINT } from "./checkpoint.ts";
import type { Commands } from "./command.ts";
import { COMMANDS as CREATE } from "./create.ts";
import { COMMANDS as EVENTS } from "./events.ts";
import { COMMANDS as EXEC } from "./exec.ts";
import { HELP, helpText } from "./help.ts";
import { COMMANDS as LIFECYCLE } from "./lifecycle.ts";
import { COMMANDS as LIST } from "./list.ts";
import { COMMANDS as MOUNTS } from "./mounts.ts";
import { COMMANDS as PAUSE } from "./pause.ts";
import { COMMANDS as PS } from "./ps.ts";
import { COMMANDS as UPDATE } from "./update.ts";

/** Of every part that has commands. */
const ALL: Commands = {
  ...CREATE,
  ...EXEC,
  ...LIFECYCLE,
  ...MOUNTS,
  ...PAUSE,
  ...LIST,
  ...EVENTS,
  ...PS,
  ...UPDATE,
  ...CHECKPOINT,
  ...ABOUT,
};

/** "--force, -f" and "--bundle DIR, -b" name their options so. */
function named(option: string): string[] {
  const words = option.split(/[ ,]+/).filter((word) => word.startsWith("-"));
  return words.map((word) => word.replace(/^--?/, ""));
}

describe("the help of", () => {
  test("the program names every command", () => {
    expect(Object.keys(HELP).sort()).toEqual(Object.keys(ALL).sort());
    for (const name of Object.keys(ALL)) expect(helpText("tare-runtime")).toContain(`\n   ${name}`);
  });

  test.each(Object.keys(ALL))("%s names each option that it takes, and no other", (name) => {
    const options = HELP[name]?.options ?? [];
    const told = options.flatMap(([option]) => named(option)).sort();
    expect(told).toEqual(Object.keys(ALL[name]?.options ?? {}).sort());
  });

  test("a command shows its options behind its name, where they are taken", () => {
    expect(helpText("tare-runtime", "run")).toContain(
      "\nUsage: tare-runtime run [OPTION...] CONTAINER\n",
    );
    expect(helpText("crun", "run")).toContain("\nUsage: crun [OPTION...] run CONTAINER\n");
    expect(helpText("tare-runtime", "list")).toContain("\nUsage: tare-runtime list [OPTION...]\n");
  });

  test("a command that there is not is refused in runc's words", () => {
    expect(() => helpText("tare-runtime", "foo")).toThrow("No help topic for 'foo'");
    expect(() => helpText("tare-runtime", "constructor")).toThrow("No help topic");
  });
});
