import { describe, expect, test } from "bun:test";
import { type FlagTable, type LineRules, parseLine } from "./flag.ts";
import { parseInteger, parseSwitch, parseText } from "./values.ts";

const FLAGS = {
  interactive: { name: "interactive", short: "i", help: "", parse: parseSwitch },
  tty: { name: "tty", short: "t", help: "", parse: parseSwitch },
  rm: { name: "rm", help: "", parse: parseSwitch },
  noHealthcheck: { name: "no-healthcheck", help: "", parse: parseSwitch },
  volume: { name: "volume", short: "v", arg: "V", help: "", repeat: true, parse: parseText },
  publish: { name: "publish", short: "p", arg: "P", help: "", repeat: true, parse: parseText },
  env: { name: "env", short: "e", arg: "E", help: "", repeat: true, parse: parseText },
  hostname: { name: "hostname", short: "h", arg: "H", help: "", parse: parseText },
  network: { name: "network", alias: "net", arg: "N", help: "", parse: parseText },
  memorySwap: { name: "memory-swap", arg: "S", help: "", parse: parseInteger },
} as const satisfies FlagTable;

const RUN: LineRules = { interspersed: false, shortHelp: false };

function parse(line: string, rules = RUN) {
  const words = line === "" ? [] : line.split(" ");
  return parseLine(FLAGS, words, rules);
}

/** What docker makes of the same words. */
const cases: [line: string, values: object, positionals: string[]][] = [
  ["-it img", { interactive: true, tty: true }, ["img"]],
  ["-itv a:b img", { interactive: true, tty: true, volume: ["a:b"] }, ["img"]],
  ["-itva:b img", { interactive: true, tty: true, volume: ["a:b"] }, ["img"]],
  ["--rm=false img", { rm: false }, ["img"]],
  ["--rm img false", { rm: true }, ["img", "false"]],
  ["-t=false img", { tty: false }, ["img"]],
  ["-p8080:80 img", { publish: ["8080:80"] }, ["img"]],
  ["-p=8080:80 img", { publish: ["8080:80"] }, ["img"]],
  ["-p 1:1 -p 2:2 img", { publish: ["1:1", "2:2"] }, ["img"]],
  ["--no-healthcheck img", { noHealthcheck: true }, ["img"]],
  ["--memory-swap -1 img", { memorySwap: -1n }, ["img"]],
  ["-e A=--rm img", { env: ["A=--rm"] }, ["img"]],
  ["--env=A=b=c img", { env: ["A=b=c"] }, ["img"]],
  ["-h box img -h", { hostname: "box" }, ["img", "-h"]],
  ["img ls --rm -it", {}, ["img", "ls", "--rm", "-it"]],
  ["-- -img", {}, ["-img"]],
  ["--net host --network none img", { network: "none" }, ["img"]],
  ["- x", {}, ["-", "x"]],
];

describe("parseLine", () => {
  test.each(cases)("%s", (line, values, positionals) => {
    const parsed = parse(line);
    const { volume, publish, env, ...others } = parsed.values;
    const lists = Object.fromEntries(
      Object.entries({ volume, publish, env }).filter(([, list]) => list.length > 0),
    );
    const got: object = { ...others, ...lists };
    expect(got).toEqual(values);
    expect(parsed.positionals).toEqual(positionals);
  });

  const refused: [line: string, message: RegExp][] = [
    ["--nope img", /"--nope": there is no such flag/],
    ["-x img", /"-x": there is no such flag/],
    ["-itx img", /"-x": there is no such flag/],
    ["-e", /"-e": its value is missing/],
    ["--rm=maybe img", /--rm "maybe": want true or false/],
    ["--memory-swap lots img", /--memory-swap "lots": want a whole number/],
    ["--__proto__ img", /there is no such flag/],
  ];
  test.each(refused)("refuses %s", (line, message) => {
    expect(() => parse(line)).toThrow(message);
  });

  test("flags may follow the words of other commands", () => {
    const rules = { interspersed: true, shortHelp: true };
    expect(parse("a --rm b", rules).positionals).toEqual(["a", "b"]);
    expect(parse("a -h", rules).help).toBeTrue();
    expect(parse("a -- --rm", rules).positionals).toEqual(["a", "--rm"]);
  });

  test("--help is seen wherever flags are", () => {
    expect(parse("--help").help).toBeTrue();
    expect(parse("img --help").help).toBeFalse();
  });
});
