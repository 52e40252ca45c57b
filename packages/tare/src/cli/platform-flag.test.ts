import { expect, test } from "bun:test";
import { PLATFORM_FLAG } from "./platform-flag.ts";

test.each([
  ["linux/arm64", { os: "linux", architecture: "arm64" }],
  ["linux/arm/v7", { os: "linux", architecture: "arm", variant: "v7" }],
  ["aarch64", { os: "linux", architecture: "arm64" }],
  ["windows/amd64", { os: "windows", architecture: "amd64" }],
  // An index may name what we have never heard of.
  ["linux/novel", { os: "linux", architecture: "novel" }],
  ["linux", undefined],
] as const)("%s", (text, platform) => expect(PLATFORM_FLAG.parse(text)).toEqual(platform));

test.each(["", "bogus", "windows", "linux/", "a/b/c/d", "linux/arm v7"])("refuses %p", (text) => {
  expect(() => PLATFORM_FLAG.parse(text)).toThrow(/want OS\/ARCH/);
});
