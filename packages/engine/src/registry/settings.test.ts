import { describe, expect, test } from "bun:test";
import { DEFAULT_SETTINGS, expandShortName, parseSettings, ruleOf } from "./settings.ts";

const FILE = `
default-registry = "registry.example:5000"
[aliases]
tools = "quay.io/team/tools"
[transfer]
parallel = 6
retries = 0
stall-seconds = 5
[registry."docker.io"]
mirrors = ["https://mirror.example/hub", "http://10.0.0.1:5000"]
mirror-tags = false
[registry."10.0.0.1:5000"]
insecure = true
ca = ["/etc/ca.pem"]
token-servers = ["auth.example:8443"]
[registry."bad.example"]
blocked = true
`;

test("every setting arrives", () => {
  const settings = parseSettings(FILE, "f");
  expect(settings.defaultRegistry).toBe("registry.example:5000");
  expect(settings.transfer).toEqual({ parallel: 6, retries: 0, stallMs: 5000 });
  expect(ruleOf(settings, "docker.io").mirrors).toEqual([
    "https://mirror.example/hub",
    "http://10.0.0.1:5000",
  ]);
  expect(ruleOf(settings, "docker.io").mirrorTags).toBe(false);
  const { insecure, ca, tokenServers } = ruleOf(settings, "10.0.0.1:5000");
  expect([insecure, ca, tokenServers]).toEqual([true, ["/etc/ca.pem"], ["auth.example:8443"]]);
  expect(ruleOf(settings, "bad.example").blocked).toBe(true);
  expect(ruleOf(settings, "10.0.0.1").insecure).toBe(false);
  expect(parseSettings("", "f")).toEqual(DEFAULT_SETTINGS);
});

const faults: [text: string, message: string][] = [
  ["a = 1", 'Cannot use a of "f": there is no such setting'],
  ["[transfer]\nparalel = 1", 'Cannot use transfer.paralel of "f": there is no such setting'],
  ["[transfer]\nparallel = 0", "want a whole number from 1 to 32"],
  ["[transfer]\nparallel = '3'", "want a whole number from 1 to 32"],
  ["registry = 1", 'Cannot use registry of "f": want a table'],
  ['[registry."https://a.b"]', "is no host|no part of a name|Cannot parse"],
  ['[registry."a.b/c"]', "is no host"],
  ['[registry."a.b"]\nmirrors = "x"', "want a list of texts"],
  ['[registry."a.b"]\nmirrors = ["a.b"]', "is no address"],
  ['[registry."a.b"]\nmirrors = ["https://user:pw@a.b"]', "is no address"],
  ['[registry."a.b"]\nmirrors = ["ftp://a.b"]', "is no address"],
  ['[registry."a.b"]\ninsecure = "yes"', "want true or false"],
  ['[registry."a.b"]\nca = ["ca.pem"]', "want absolute paths"],
  ["[aliases]\n'a/b' = 'c.d/e'", "an alias is a name without registry"],
  ["[aliases]\na = 'c.d/e:1'", "want a repository"],
  ["[aliases]\na = 'UPPER'", "Cannot use aliases.a"],
  ["a = ", 'Cannot read "f", line'],
  ["default-registry = 'a b'", "Cannot use default-registry"],
];

test.each(faults)("%j is refused", (text, message) => {
  expect(() => parseSettings(text, "f")).toThrow(new RegExp(message));
});

describe("short names", () => {
  const settings = parseSettings(FILE, "f");
  const names: [name: string, complete: string][] = [
    ["tools", "quay.io/team/tools"],
    ["tools:1", "quay.io/team/tools:1"],
    ["tools@sha256:x", "quay.io/team/tools@sha256:x"],
    ["alpine", "registry.example:5000/alpine"],
    ["team/alpine:1", "registry.example:5000/team/alpine:1"],
    ["a.b/c", "a.b/c"],
    ["localhost/c", "localhost/c"],
    ["tools/x", "registry.example:5000/tools/x"],
  ];
  test.each(names)("%s", (name, complete) => {
    expect(expandShortName(settings, name)).toBe(complete);
  });

  test("stay without settings", () => {
    expect(expandShortName(DEFAULT_SETTINGS, "alpine")).toBe("alpine");
  });
});
