import { describe, expect, test } from "bun:test";
import { TareError } from "./error.ts";
import { fitsPlatform, formatPlatform, parsePlatform, selectPlatform } from "./platform.ts";

const spellings: [text: string, normal: string][] = [
  ["linux/amd64", "linux/amd64"],
  ["amd64", "linux/amd64"],
  ["Linux/X86_64", "linux/amd64"],
  ["linux/amd64/v1", "linux/amd64"],
  ["linux/amd64/v3", "linux/amd64/v3"],
  ["linux/aarch64", "linux/arm64"],
  ["linux/arm64/v8", "linux/arm64"],
  ["linux/arm64/8", "linux/arm64"],
  ["linux/arm64/v8.2", "linux/arm64/v8.2"],
  ["linux/arm64/v9.0", "linux/arm64/v9"],
  ["arm", "linux/arm/v7"],
  ["linux/arm/6", "linux/arm/v6"],
  ["armhf", "linux/arm/v7"],
  ["armel", "linux/arm/v6"],
  ["i386", "linux/386"],
  ["linux/riscv64", "linux/riscv64"],
  ["windows/amd64", "windows/amd64"],
];

test.each(spellings)("%s is %s", (text, normal) => {
  expect(formatPlatform(parsePlatform(text))).toBe(normal);
});

test.each([
  "",
  "/",
  "linux/",
  "a/b/c/d",
  "linux/amd 64",
  "linux/../x",
  `a/${"b".repeat(65)}`,
  "a\0",
])("%j is no platform", (text) => {
  expect(() => parsePlatform(text)).toThrow(TareError);
});

function entriesOf(texts: readonly string[]) {
  return texts.map((text) => {
    if (text === "none") return { name: text };
    const [os = "", architecture = "", variant] = text.split("/");
    const platform = { os, architecture, osFeatures: [] };
    return { name: text, platform: variant === undefined ? platform : { ...platform, variant } };
  });
}

const choices: [wanted: string, entries: string[], best: string | undefined][] = [
  ["amd64", ["linux/arm64", "linux/amd64", "linux/386"], "linux/amd64"],
  ["amd64", ["linux/amd64/v2", "linux/386"], "linux/386"],
  ["amd64", ["linux/arm64", "linux/s390x"], undefined],
  ["amd64", ["windows/amd64", "unknown/unknown"], undefined],
  ["amd64", ["linux/x86_64"], "linux/x86_64"],
  ["linux/amd64/v4", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v3"], "linux/amd64/v3"],
  ["linux/amd64/v3", ["linux/amd64/v4", "linux/amd64"], "linux/amd64"],
  ["arm64", ["linux/arm/v7", "linux/arm64/v8"], "linux/arm64/v8"],
  ["arm64", ["linux/arm/v5", "linux/arm/v7"], "linux/arm/v7"],
  ["arm64", ["linux/arm64/v9"], undefined],
  ["linux/arm64/v9", ["linux/arm64", "linux/arm64/v8.5", "linux/arm64/v8.6"], "linux/arm64/v8.5"],
  ["linux/arm64/v9.5", ["linux/arm64/v8.9", "linux/arm64/v9.1"], "linux/arm64/v9.1"],
  ["arm", ["linux/arm/v8", "linux/arm/v6", "linux/arm/v7"], "linux/arm/v7"],
  ["linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], "linux/arm/v5"],
  ["linux/arm/v6", ["linux/arm"], undefined],
  ["386", ["linux/amd64"], undefined],
  ["riscv64", ["none", "linux/riscv64"], "linux/riscv64"],
  ["riscv64", ["linux/amd64", "none", "none"], "none"],
  ["amd64", [], undefined],
];

test.each(choices)("for %s of %j the best is %s", (wanted, entries, best) => {
  expect(selectPlatform(entriesOf(entries), parsePlatform(wanted))?.name).toBe(best);
});

describe("selectPlatform", () => {
  test("takes the first of equals", () => {
    const platform = { os: "linux", architecture: "amd64", osFeatures: [] };
    const entries = [
      { at: 0, platform: { ...platform, osFeatures: ["win32k"] } },
      { at: 1, platform },
      { at: 2, platform },
    ];
    expect(selectPlatform(entries, platform)?.at).toBe(1);
  });
});

test("fitsPlatform", () => {
  const machine = parsePlatform("linux/arm64");
  expect(fitsPlatform(parsePlatform("linux/arm/v7"), machine)).toBe(true);
  expect(fitsPlatform(parsePlatform("linux/amd64"), machine)).toBe(false);
});
