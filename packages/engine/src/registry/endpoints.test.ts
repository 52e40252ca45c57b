import { describe, expect, test } from "bun:test";
import { parseReference } from "@tare/spec/reference.ts";
import { endpointsOf, type Purpose, registryEndpoint } from "./endpoints.ts";
import { DEFAULT_SETTINGS, parseSettings } from "./settings.ts";

/** Each endpoint as `origin,origin repository`. */
function places(name: string, purpose: Purpose, file = ""): string[] {
  const settings = file === "" ? DEFAULT_SETTINGS : parseSettings(file, "f");
  return endpointsOf(settings, parseReference(name), purpose).map(
    ({ origins, repository, insecure }) =>
      `${origins.join(",")} ${repository}${insecure ? " !" : ""}`,
  );
}

test("a registry is at its name by TLS, the hub elsewhere", () => {
  expect(places("quay.io/a/b", "fetch")).toEqual(["https://quay.io a/b"]);
  expect(places("quay.io:8443/a/b", "push")).toEqual(["https://quay.io:8443 a/b"]);
  expect(places("alpine", "fetch")).toEqual(["https://registry-1.docker.io library/alpine"]);
});

test("on this machine, and where the settings say so, http will do", () => {
  const both = "https://H,http://H a !";
  for (const host of ["localhost:5000", "127.0.0.1:5000", "[::1]:5000"]) {
    expect(places(`${host}/a`, "fetch")).toEqual([both.replaceAll("H", host)]);
  }
  expect(places("10.0.0.1/a", "fetch")).toEqual(["https://10.0.0.1 a"]);
  const file = '[registry."10.0.0.1"]\ninsecure = true';
  expect(places("10.0.0.1/a", "fetch", file)).toEqual([both.replaceAll("H", "10.0.0.1")]);
});

describe("mirrors", () => {
  const file = (more: string) =>
    `[registry."docker.io"]\nmirrors = ["https://m.example/hub/", "http://10.0.0.1:5000"]\n${more}`;
  const own = "https://registry-1.docker.io library/alpine";
  const mirrors = ["https://m.example hub/library/alpine", "http://10.0.0.1:5000 library/alpine !"];

  test("come first for what is pulled, in their order, and never for what is pushed", () => {
    expect(places("alpine", "resolve", file(""))).toEqual([...mirrors, own]);
    expect(places("alpine", "fetch", file(""))).toEqual([...mirrors, own]);
    expect(places("alpine", "push", file(""))).toEqual([own]);
  });

  test("need not be believed what a tag is", () => {
    expect(places("alpine", "resolve", file("mirror-tags = false"))).toEqual([own]);
    expect(places("alpine", "fetch", file("mirror-tags = false"))).toEqual([...mirrors, own]);
  });

  test("have their own credentials", () => {
    const settings = parseSettings(file(""), "f");
    const names = endpointsOf(settings, parseReference("alpine"), "fetch").map((e) => e.registry);
    expect(names).toEqual(["m.example", "10.0.0.1:5000", "docker.io"]);
  });
});

test("a registry may be elsewhere, and may be blocked", () => {
  const url = '[registry."a.example"]\nurl = "https://b.example:8443/x"';
  expect(places("a.example/c", "push", url)).toEqual(["https://b.example:8443 x/c"]);
  const blocked = '[registry."a.example"]\nblocked = true';
  expect(() => places("a.example/c", "fetch", blocked)).toThrow("the settings block it");
});

test("a blocked registry is blocked for what is about no repository, too", () => {
  const settings = parseSettings('[registry."docker.io"]\nblocked = true', "f");
  expect(() => registryEndpoint(settings, "docker.io", "")).toThrow("the settings block it");
  expect(registryEndpoint(settings, "a.example", "").registry).toBe("a.example");
});

test("a name that is no host is an error of ours", () => {
  for (const purpose of ["resolve", "push"] as const) {
    expect(() => places("256.0.0.1/x", purpose)).toThrow(
      'Cannot use registry "256.0.0.1": it is neither host nor address',
    );
  }
});
