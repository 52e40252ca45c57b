import { describe, expect, test } from "bun:test";
import { parseArguments } from "./arguments.ts";

const TABLE = {
  bundle: "value",
  b: { short: "bundle" },
  detach: "flag",
  d: { short: "detach" },
  tty: "flag",
  t: { short: "tty" },
  env: "list",
  e: { short: "env" },
} as const;

const KILL = { all: "flag", a: { short: "all" } } as const;

function read(...list: string[]) {
  const { options, flags, words } = parseArguments(list, TABLE, { mixed: true });
  return { options: [...options], flags: [...flags], words };
}

describe("options", () => {
  test.each([
    [["--bundle", "/b"]],
    [["--bundle=/b"]],
    [["-bundle", "/b"]],
    [["-bundle=/b"]],
    [["-b", "/b"]],
    [["-b=/b"]],
  ])("%j names the bundle", (list) => {
    expect(read(...list)).toEqual({ options: [["bundle", "/b"]], flags: [], words: [] });
  });

  test("a value may look like an option, be empty, and hold an equals sign", () => {
    expect(read("--bundle", "--detach").options).toEqual([["bundle", "--detach"]]);
    expect(read("--bundle=").options).toEqual([["bundle", ""]]);
    expect(read("--bundle=a=b").options).toEqual([["bundle", "a=b"]]);
  });

  test("the last one counts", () => {
    expect(read("-b", "1", "--bundle=2").options).toEqual([["bundle", "2"]]);
  });

  test("flags, with the words of Go's parser for yes and no", () => {
    expect(read("--detach", "-d").flags).toEqual(["detach"]);
    expect(read("--detach=true").flags).toEqual(["detach"]);
    expect(read("--detach=false").flags).toEqual([]);
  });

  test.each([
    [["--bundle"], "flag needs an argument: --bundle"],
    [["-b"], "flag needs an argument: --bundle"],
    [["--detach=1"], "takes no value"],
    [["--magic"], 'unknown option "--magic"'],
    [["-x"], 'unknown option "-x"'],
    [["--=x"], "unknown option"],
    [["--__proto__"], "unknown option"],
    [["--constructor=x"], "unknown option"],
    [["--toString"], "unknown option"],
  ])("%j is refused", (list, why) => {
    expect(() => read(...list)).toThrow(why);
  });
});

test.each([[["--frob", "x"]], [["--bundle"]], [["--detach=1"]]])(
  "the hint of %j names the help of the command",
  (list) => {
    const hintOf = (command: { readonly command?: string }) => {
      try {
        return parseArguments(list, TABLE, { mixed: true, ...command });
      } catch (error) {
        return (error as { readonly hint?: unknown }).hint;
      }
    };
    expect(hintOf({ command: "create" })).toBe("See tare-runtime create --help");
    expect(hintOf({})).toBe("See tare-runtime --help");
  },
);

describe("words", () => {
  test("options may stand between them", () => {
    const { flags, words } = parseArguments(["x", "--all", "KILL"], KILL, { mixed: true });
    expect([...flags]).toEqual(["all"]);
    expect(words).toEqual(["x", "KILL"]);
  });

  test("a negative number and a lone dash are words", () => {
    expect(read("x", "-9", "-").words).toEqual(["x", "-9", "-"]);
  });

  test("two dashes end the options", () => {
    expect(read("--", "--detach", "-b").words).toEqual(["--detach", "-b"]);
    expect(read("x", "--", "--").words).toEqual(["x", "--"]);
  });

  test("unless mixed, everything after the first word is the command's", () => {
    const list = ["--bundle", "/b", "run", "--detach", "--magic"];
    const { options, words } = parseArguments(list, TABLE, { mixed: false });
    expect([...options]).toEqual([["bundle", "/b"]]);
    expect(words).toEqual(["run", "--detach", "--magic"]);
  });
});

test("letters in one word, where each is an option and the whole is none", () => {
  expect(read("-td", "x")).toEqual({ options: [], flags: ["tty", "detach"], words: ["x"] });
  expect(read("-tb", "/b").options).toEqual([["bundle", "/b"]]);
  expect(() => read("-tx")).toThrow('unknown option "-tx"');
});

test("what may be given many times is kept in its order", () => {
  const { lists } = parseArguments(["-e", "A=1", "--env=B", "-e", ""], TABLE, { mixed: true });
  expect([...lists]).toEqual([["env", ["A=1", "B", ""]]]);
});
