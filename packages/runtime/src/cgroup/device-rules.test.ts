import { describe, expect, test } from "bun:test";
import type { DeviceRule } from "@tare/spec/oci-runtime.ts";
import { DEFAULT_DEVICES } from "./default-devices.ts";
import {
  allowsEverything,
  type DeviceMatch,
  deviceLines,
  devicePolicy,
  deviceTransition,
} from "./device-rules.ts";

const DENY_ALL: DeviceRule = { allow: false, type: "a", access: "rwm" };
const ALLOW_ALL: DeviceRule = { allow: true, type: "a", access: "rwm" };

function rule(allow: boolean, text: string): DeviceRule {
  const [type, numbers = "", access = ""] = text.split(" ");
  const [major, minor] = numbers.split(":").map((part) => (part === "*" ? -1 : Number(part)));
  return {
    allow,
    type: type as DeviceRule["type"],
    major: major ?? -1,
    minor: minor ?? -1,
    access,
  };
}
const allow = (text: string): DeviceRule => rule(true, text);
const deny = (text: string): DeviceRule => rule(false, text);

function lines(own: readonly DeviceRule[], defaults: readonly DeviceMatch[] = []): string[] {
  const all = deviceLines(devicePolicy(own, defaults));
  return all.map(({ file, line }) => `${file.slice("devices.".length)} ${line}`);
}

describe("lines for v1", () => {
  const cases: [name: string, own: DeviceRule[], want: string[]][] = [
    ["no rules deny everything", [], ["deny a"]],
    [
      "rules keep their order",
      [DENY_ALL, allow("c 10:229 rwm"), allow("b 8:20 rw")],
      ["deny a", "allow c 10:229 rwm", "allow b 8:20 rw"],
    ],
    [
      "nothing before the last rule for all counts",
      [allow("c 1:1 r"), ALLOW_ALL, DENY_ALL],
      ["deny a"],
    ],
    ["all allowed", [ALLOW_ALL], ["allow a"]],
    ["all allowed but one", [ALLOW_ALL, deny("b 8:0 w")], ["allow a", "deny b 8:0 w"]],
    [
      "the same device is one line",
      [allow("c 1:3 r"), allow("c 1:5 r"), allow("c 1:3 w")],
      ["deny a", "allow c 1:3 rw", "allow c 1:5 r"],
    ],
    [
      "a rule that a wider one holds is left out",
      [allow("c 1:* rw"), allow("c 1:3 r")],
      ["deny a", "allow c 1:* rw"],
    ],
    [
      "a deny that denies nothing new is left out",
      [deny("c 10:229 rwm"), allow("c 1:3 r")],
      ["deny a", "allow c 1:3 r"],
    ],
    [
      "a deny takes accesses back",
      [allow("c 1:3 rwm"), deny("c 1:3 wm")],
      ["deny a", "allow c 1:3 r"],
    ],
    ["a deny takes a device back", [allow("c 1:3 rw"), deny("c 1:* rwm")], ["deny a"]],
    [
      "type a with a number is both kinds, not all",
      [allow("a 7:* r")],
      ["deny a", "allow c 7:* r", "allow b 7:* r"],
    ],
    [
      "type a with some accesses is not all",
      [{ allow: true, type: "a", access: "m" }],
      ["deny a", "allow c *:* m", "allow b *:* m"],
    ],
    ["letters in any order", [allow("c 1:3 mwr")], ["deny a", "allow c 1:3 rwm"]],
    [
      "the largest number",
      [allow("c 4294967295:4294967295 r")],
      ["deny a", "allow c 4294967295:4294967295 r"],
    ],
  ];
  test.each(cases)("%s", (_name, own, want) => {
    expect(lines(own)).toEqual(want);
  });

  test("a hole in a wider rule is refused: the kernel would not make it and not say so", () => {
    expect(() => lines([allow("c 1:* rwm"), deny("c 1:3 w")])).toThrow(
      'Cannot apply linux.resources.devices "c 1:3 w": cgroup v1 cannot take it out of the wider rule "c 1:* rwm"',
    );
    expect(lines([allow("c 1:* r"), deny("c 1:3 w")])).toEqual(["deny a", "allow c 1:* r"]);
  });

  test("the default devices come last, less what the container's rules hold", () => {
    expect(lines([DENY_ALL, allow("c 1:3 rwm"), allow("c 136:* rwm")], DEFAULT_DEVICES)).toEqual([
      "deny a",
      "allow c 1:3 rwm",
      "allow c 136:* rwm",
      "allow c *:* m",
      "allow b *:* m",
      "allow c 1:5 rwm",
      "allow c 1:7 rwm",
      "allow c 1:8 rwm",
      "allow c 1:9 rwm",
      "allow c 5:0 rwm",
      "allow c 5:2 rwm",
      "allow c 10:200 rwm",
    ]);
  });

  test("the defaults take nothing back from a list of what is denied", () => {
    expect(lines([ALLOW_ALL, deny("c *:* m")], DEFAULT_DEVICES)).toEqual([
      "allow a",
      "deny c *:* m",
    ]);
  });
});

test("the console and the memory of the host are not among the defaults", () => {
  const opened = lines([], DEFAULT_DEVICES);
  for (const device of ["c 5:1 ", "c 1:1 ", "c 1:2 ", "c 10:229 ", "b 8:0 "]) {
    expect(opened.some((line) => line.includes(device))).toBeFalse();
  }
});

test("only all of everything is everything", () => {
  expect(allowsEverything(devicePolicy([ALLOW_ALL], DEFAULT_DEVICES))).toBeTrue();
  expect(allowsEverything(devicePolicy([ALLOW_ALL, deny("c 1:3 r")], []))).toBeFalse();
  expect(
    allowsEverything(devicePolicy([{ allow: true, type: "a", access: "rw" }], [])),
  ).toBeFalse();
  expect(allowsEverything(devicePolicy([], []))).toBeFalse();
});

describe("what is refused", () => {
  const cases: [name: string, rule: DeviceRule, message: string][] = [
    ["no access", { allow: true, type: "c", access: "" }, "device access cannot be empty"],
    ["an unknown letter", { allow: true, type: "c", access: "rx" }, "letters r, w and m"],
    ["a number below the wild card", { allow: true, type: "c", major: -2, access: "r" }, "-1 to"],
    ["a fraction", { allow: true, type: "c", minor: 0.5, access: "r" }, "-1 to"],
    ["a number of 33 bits", { allow: true, type: "c", minor: 2 ** 32, access: "r" }, "-1 to"],
  ];
  test.each(cases)("%s", (_name, bad, message) => {
    expect(() => devicePolicy([bad], [])).toThrow(message);
  });

  test("a flood of rules", () => {
    expect(() => devicePolicy(new Array(1025).fill(DENY_ALL), [])).toThrow("the most is 1024");
  });
});

describe("from what devices.list says", () => {
  const rule = (
    allow: boolean,
    type: "a" | "b" | "c",
    access: string,
    major?: number,
    minor?: number,
  ) => ({
    allow,
    type,
    access,
    ...(major === undefined ? {} : { major }),
    ...(minor === undefined ? {} : { minor }),
  });
  const DENY = rule(false, "a", "rwm");
  const lead = (list: string, ...rules: ReturnType<typeof rule>[]) => {
    const { lines, whole } = deviceTransition(list, devicePolicy(rules, []));
    return { lines: lines.map(({ file, line }) => `${file} ${line}`), whole };
  };
  const LIST = "c 1:3 rwm\nb *:* m\nc 136:* rw\n";

  test("to the same nothing is written", () => {
    const same = [
      DENY,
      rule(true, "c", "rwm", 1, 3),
      rule(true, "b", "m"),
      rule(true, "c", "rw", 136),
    ];
    expect(lead(LIST, ...same)).toEqual({ lines: [], whole: false });
  });

  test("to another list only the differences, what is new before what goes", () => {
    const other = [
      DENY,
      rule(true, "c", "rw", 1, 3),
      rule(true, "c", "rwm", 136),
      rule(true, "c", "r", 5, 1),
    ];
    expect(lead(LIST, ...other)).toEqual({
      lines: [
        "devices.allow c 136:* m",
        "devices.allow c 5:1 r",
        "devices.deny c 1:3 m",
        "devices.deny b *:* m",
      ],
      whole: false,
    });
  });

  test("between a list of what is allowed and one of what is not, the whole", () => {
    const all = rule(true, "a", "rwm");
    expect(lead(LIST, all, rule(false, "c", "rw", 1, 1))).toEqual({
      lines: ["devices.allow a", "devices.deny c 1:1 rw"],
      whole: true,
    });
    expect(lead("a *:* rwm\n", DENY, rule(true, "c", "r", 1, 3))).toEqual({
      lines: ["devices.deny a", "devices.allow c 1:3 r"],
      whole: true,
    });
  });
});
