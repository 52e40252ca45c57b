import { describe, expect, test } from "bun:test";
import { TareError } from "./error.ts";
import {
  familiarName,
  formatFamiliar,
  formatReference,
  isTag,
  parseNamed,
  parseReference,
  repositoryName,
} from "./reference.ts";

const hex = "f".repeat(64);
const digest = `sha256:${hex}`;

/** The complete text, then the short one; "" where it is the text that was parsed. */
const good: [text: string, complete: string, familiar: string][] = [
  ["alpine", "docker.io/library/alpine:latest", "alpine:latest"],
  ["alpine:3.20", "docker.io/library/alpine:3.20", ""],
  [`alpine@${digest}`, `docker.io/library/alpine@${digest}`, ""],
  [`alpine:3@${digest}`, `docker.io/library/alpine:3@${digest}`, ""],
  [`alpine@sha512:${hex}${hex}`, `docker.io/library/alpine@sha512:${hex}${hex}`, ""],
  ["user/app", "docker.io/user/app:latest", "user/app:latest"],
  ["library/alpine", "docker.io/library/alpine:latest", "alpine:latest"],
  ["docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"],
  ["index.docker.io/alpine:1", "docker.io/library/alpine:1", "alpine:1"],
  ["docker.io/library/a/b:1", "docker.io/library/a/b:1", "library/a/b:1"],
  ["localhost/a", "localhost/a:latest", "localhost/a:latest"],
  ["localhost:5000/a:b", "localhost:5000/a:b", ""],
  ["localhost:5000", "docker.io/library/localhost:5000", ""],
  ["foo_bar.com:8080", "docker.io/library/foo_bar.com:8080", ""],
  ["127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest", "127.0.0.1:5000/a/b:latest"],
  ["quay.io/a/b/c/d:v1", "quay.io/a/b/c/d:v1", ""],
  ["[fc00::1]:5000/a:t", "[fc00::1]:5000/a:t", ""],
  ["[::1]/a:t", "[::1]/a:t", ""],
  ["LOCALDOMAIN/a:t", "LOCALDOMAIN/a:t", ""],
  ["Docker/docker:1", "Docker/docker:1", ""],
  ["xn--n3h.com/i:xn--n3h.com", "xn--n3h.com/i:xn--n3h.com", ""],
  ["a.b/d:_-.T", "a.b/d:_-.T", ""],
  ["dock__er/d---r/a.b_c:1", "docker.io/dock__er/d---r/a.b_c:1", ""],
  [`docker.io/${hex}:1`, `docker.io/library/${hex}:1`, ""],
  [
    `docker.io/library/${hex}@${digest}`,
    `docker.io/library/${hex}@${digest}`,
    `docker.io/${hex}@${digest}`,
  ],
  [`a.b/${"a".repeat(255)}:${"t".repeat(128)}`, `a.b/${"a".repeat(255)}:${"t".repeat(128)}`, ""],
  ["docker.io/localhost/x:1", "docker.io/localhost/x:1", ""],
  ["docker.io/a.b/c:1", "docker.io/a.b/c:1", ""],
  ["docker.io/index.docker.io/c:1", "docker.io/index.docker.io/c:1", ""],
  ["a:65535/b:1", "a:65535/b:1", ""],
];

test.each(good)("%s is complete as %s", (text, complete, familiar) => {
  const reference = parseReference(text);
  expect(formatReference(reference)).toBe(complete);
  expect(formatFamiliar(reference)).toBe(familiar === "" ? text : familiar);
  expect(parseReference(complete)).toEqual(reference);
  expect(parseReference(formatFamiliar(reference))).toEqual(reference);
});

const bad: [name: string, text: string][] = [
  ["nothing", ""],
  ["a URL", "https://github.com/docker/docker"],
  ["an image id", hex],
  ["an upper-case repository", "docker/Docker"],
  ["an upper-case name", "Alpine"],
  ["an upper-case name at a host", "a:5000/Upper/lower:tag"],
  ["a dash in front", "-docker"],
  ["a dash at the end", "docker-/a"],
  ["a host with a dash in front", "-docker.io/a"],
  ["a host that ends in a dot", "docker.io./a"],
  ["empty components", "a///b"],
  ["a slash at the end", "docker/"],
  ["a slash in front", "/docker"],
  ["a slash alone", "/"],
  ["two dots", "dock..er/a"],
  ["underscore and dot", "dock_.er/a"],
  ["three underscores", "a___b"],
  ["mixed separators", "a-_b"],
  ["a path up", "../../etc/passwd"],
  ["a path up in the middle", "a/../b"],
  ["a bare address", "[fc00::1]"],
  ["a bare address and port", "[fc00::1]:5000"],
  ["an address without brackets", "fc00::1:5000/debian"],
  ["a zone", "[fe80::1%eth0]:5000/a"],
  ["an empty address", "[]/a"],
  ["an open bracket", "[::1/a"],
  ["a tag alone", ":tag"],
  ["an empty tag", "a:"],
  ["a tag of 129", `a:${"t".repeat(129)}`],
  ["a tag with a dash in front", "a:-t"],
  ["two tags", "a:b:c"],
  ["a digest alone", `@${digest}`],
  ["an empty digest", "a@"],
  ["a short digest", "a@sha256:ffff"],
  ["an unknown digest", `a@md5:${hex}`],
  ["an upper-case digest", `a@sha256:${hex.toUpperCase()}`],
  ["two digests", `a@${digest}@${digest}`],
  ["a tag behind a digest", `a@${digest}:t`],
  ["a path in a digest", "a@sha256:../../x"],
  ["an empty port", "a.b:/c"],
  ["a port too large", "a.b:65536/c"],
  ["a port that is none", "a.b:http/c"],
  ["user information", "user:pass@a.b/c"],
  ["a query", "a.b/c?d"],
  ["a fragment", "a.b/c#d"],
  ["a space", "a b"],
  ["a space in front", " a"],
  ["a newline", "a\n"],
  ["a NUL", "a\0"],
  ["a percent", "a%2fb"],
  ["a backslash", "a\\b"],
  ["another script", "ａlpine"],
  ["the long s", "ſ"],
  ["a flag", "--privileged"],
  ["a repository of 256", `a.b/${"a".repeat(256)}`],
  ["a megabyte", "a/".repeat(500_000)],
  ["a megabyte of dashes", `a${"-".repeat(1_000_000)}b`],
];

test.each(bad)("%s is no image name", (_name, text) => {
  expect(() => parseReference(text)).toThrow(TareError);
});

describe("parseNamed", () => {
  test("adds no tag", () => {
    expect(parseNamed("alpine")).toStrictEqual({ domain: "docker.io", path: "library/alpine" });
    expect(repositoryName(parseNamed("alpine:1"))).toBe("docker.io/library/alpine");
    expect(familiarName(parseNamed("alpine:1"))).toBe("alpine");
    expect(formatFamiliar(parseNamed("a.b/c"))).toBe("a.b/c");
  });
});

test("the message quotes the text and says why", () => {
  const message = 'Cannot parse image name "a:b:c": "b:c" is no tag';
  expect(() => parseReference("a:b:c")).toThrow(message);
});

const tags: [text: string, isGood: boolean][] = [
  ["latest", true],
  ["_", true],
  ["V1.0-rc_2", true],
  [".a", false],
  ["a/b", false],
  ["", false],
];

test.each(tags)("isTag(%j) is %p", (text, isGood) => {
  expect(isTag(text)).toBe(isGood);
});
