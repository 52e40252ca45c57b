import { describe, expect, test } from "bun:test";
import type { Hierarchy } from "./host.ts";
import { componentsIn, locateCgroup, splitPath } from "./path.ts";

const V1: Hierarchy = {
  version: 1,
  controllers: ["memory"],
  mountpoint: "/sys/fs/cgroup/memory",
  mountRoot: "/",
  ownPath: "/user.slice/job",
};
const V2: Hierarchy = { ...V1, version: 2, mountpoint: "/sys/fs/cgroup" };

describe("where the cgroup goes", () => {
  const cases: [name: string, path: string | undefined, v1: string, v2: string][] = [
    ["absolute: below the mountpoint", "/tare/c1", "tare/c1", "tare/c1"],
    ["absolute with needless parts", "//tare/./c1/", "tare/c1", "tare/c1"],
    [
      "relative: below our own on v1, beside it on v2",
      "x/y",
      "user.slice/job/x/y",
      "user.slice/x/y",
    ],
    ["absent: the container's name", undefined, "user.slice/job/c1", "user.slice/c1"],
    ["empty is absent", "", "user.slice/job/c1", "user.slice/c1"],
    ["colons in an absolute path are letters", "/a:b:c", "a:b:c", "a:b:c"],
  ];
  test.each(cases)("%s", (_name, path, v1, v2) => {
    const location = locateCgroup(path, "c1");
    expect(componentsIn(V1, location).join("/")).toBe(v1);
    expect(componentsIn(V2, location).join("/")).toBe(v2);
  });

  test("in a container whose mount shows a part of the tree", () => {
    const location = locateCgroup(undefined, "c1");
    const inner = { ...V1, mountRoot: "/docker/x", ownPath: "/docker/x/init" };
    expect(componentsIn(inner, location)).toEqual(["init", "c1"]);
    expect(componentsIn({ ...inner, ownPath: "/docker/x" }, location)).toEqual(["c1"]);
  });

  test("where our own cgroup is out of sight the mountpoint stands for it", () => {
    const location = locateCgroup("a", "c1");
    expect(componentsIn({ ...V1, mountRoot: "/..", ownPath: "/" }, location)).toEqual(["a"]);
    expect(componentsIn({ ...V2, ownPath: "/../../x" }, location)).toEqual(["a"]);
  });

  test("our own cgroup at the root of v2 has no siblings: below it", () => {
    expect(componentsIn({ ...V2, ownPath: "/" }, locateCgroup("a", "c1"))).toEqual(["a"]);
  });
});

describe("what is refused", () => {
  const cases: [name: string, path: string, message: string][] = [
    ["up and down", "/a/../b", "`..` components are not allowed"],
    ["up from our own", "../x", "`..` components are not allowed"],
    ["up alone", "..", "`..` components are not allowed"],
    ["the root", "/", "the root cgroup"],
    ["the root with needless parts", "/./", "the root cgroup"],
    ["a NUL", "/a\0b", "NUL or a newline"],
    ["a newline", "/a\n0::/", "NUL or a newline"],
    ["a long component", `/${"x".repeat(256)}`, "longer than 255"],
    ["a long path", "/x".repeat(3000), "longer than 4095"],
    ["the form of systemd", "system.slice:docker:1234", "the form of systemd"],
    ["the form of systemd without a slice", ":docker:1234", "the form of systemd"],
  ];
  test.each(cases)("%s", (_name, path, message) => {
    expect(() => locateCgroup(path, "c1")).toThrow(message);
  });

  test("a bad container name, where it stands for the path", () => {
    expect(() => locateCgroup(undefined, "..")).toThrow("not allowed");
  });

  test("another caller's name is in the error", () => {
    expect(() => splitPath("foo/..", "--cgroup")).toThrow('Cannot use --cgroup "foo/.."');
  });
});
