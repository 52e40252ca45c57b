import { describe, expect, test } from "bun:test";
import { compilePattern } from "./pattern.ts";

const IDS = [
  "",
  "a",
  "b",
  "ab",
  "aab",
  "abc",
  "web-1",
  "web-12",
  "web.1",
  "WEB",
  "a+b",
  "x_y",
  "00",
  "db-2-old",
];

// JavaScript's engine is the judge where both languages are the same.
test.each([
  "a",
  "ab",
  "^a",
  "b$",
  "^ab$",
  "^$",
  "a*b",
  "^a+b$",
  "^a?b$",
  "^(a|b)$",
  "a|b|c",
  "^web-[0-9]$",
  "^web-[0-9]+$",
  "web.1",
  "web\\.1",
  "[^a]",
  "^[^a]+$",
  "a{2}",
  "^a{1,2}b",
  "a{0}b",
  "^a{1,}",
  "()",
  "(a)",
  "((a|b)*c)",
  "^(a|ab)(c|bcd)?$",
  "[a-c]+$",
  "a\\+b",
  "[+]",
  "[.]",
  "-",
  "[a-]",
  "x_y",
  "(^a|b$)",
  "a$|^b",
  "^(web|db)-[0-9](-old)?$",
  "^[[]?a",
  "(a*)*",
  "(a|a)*b",
  "(a*)+$",
  "|a",
  "a|",
  "^.{2}$",
])("%s describes the same ids as for JavaScript", (text) => {
  const pattern = compilePattern(text);
  const judge = new RegExp(text);
  for (const id of IDS) expect([id, pattern(id)]).toEqual([id, judge.test(id)]);
});

test("repeated repeats, and a backslash that is a letter in brackets, as POSIX has them", () => {
  expect(IDS.filter(compilePattern("^a**b$"))).toEqual(["b", "ab", "aab"]);
  expect(["-", "\\", "b"].map(compilePattern("^[a\\-c]$"))).toEqual([false, true, true]);
});

test("classes of letters, and a closing bracket in the first place", () => {
  const found = (text: string) => IDS.filter(compilePattern(text));
  expect(found("^[[:digit:]]+$")).toEqual(["00"]);
  expect(found("^[[:upper:]]+$")).toEqual(["WEB"]);
  expect(found("^[[:alpha:]_]+$")).toEqual(["a", "b", "ab", "aab", "abc", "WEB", "x_y"]);
  expect(found("[^[:alnum:]-]")).toEqual(["web.1", "a+b", "x_y"]);
  expect(compilePattern("[]]")("]")).toBe(true);
  expect(compilePattern("[^]]")("]")).toBe(false);
});

describe("hostile patterns", () => {
  test.each([
    "(",
    ")",
    "a)",
    "(a",
    "[",
    "[a",
    "[b-a]",
    "[[:none:]]",
    "[[:alpha",
    "*",
    "+a",
    "a|*",
    "a{",
    "a{1",
    "a{,2}",
    "a{2,1}",
    "a{256}",
    "\\",
    "(".repeat(200),
    "a".repeat(2_000),
    "(((a{255}){255}){255}){255}",
    `a${"?".repeat(900)}`,
    "(((((){255}){255}){255}){255}){255}",
  ])("%s is refused", (text) => {
    expect(() => compilePattern(text)).toThrow("Cannot use regular expression");
  });

  test.each([
    "(a*)*$",
    "(a|aa)+$",
    "(a|a)*b",
    "(.*a){30}",
    "((a{1,9}){1,9}){1,9}b",
    `a${"?".repeat(199)}`,
    `${"(".repeat(99)}a${")?".repeat(99)}`,
  ])("%s takes no longer than its length says", (text) => {
    // Who goes back needs years for a hundred letters, so a busy machine's seconds prove nothing else.
    const began = performance.now();
    compilePattern(text)(`${"a".repeat(100)}!`);
    expect(performance.now() - began).toBeLessThan(60_000);
  });
});
