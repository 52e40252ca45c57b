import { describe, expect, test } from "bun:test";
import { isEnginesPlace, planMounts } from "../bundle/mounts.ts";
import type { ContainerRequest } from "../container/request.ts";
import type { Store } from "../store/store.ts";
import { imageVolumes, planStorage } from "./plan.ts";

const REQUEST = { mounts: [] } as unknown as ContainerRequest;

const targetsOf = (...volumes: string[]) =>
  imageVolumes(REQUEST, volumes).map(({ target }) => target);

describe("volumes of an image", () => {
  test("are where it says, and leave out what is no place", () => {
    expect(targetsOf("/data", "/a//b/./c/", "relative", "/", "/a/../b")).toEqual([
      "/data",
      "/a/b/c",
    ]);
  });

  test("leave out whatever the engine mounts", () => {
    const names = ["hosts", "hostname", "resolv.conf"];
    const mounts = planMounts({
      requested: [],
      generated: new Map(names.map((name) => [`/etc/${name}`, `/x/${name}`])),
      initPath: "/x/init",
      privileged: false,
      sysfs: "new",
    });
    const places = mounts.map(({ destination }) => destination);
    expect(places).toContain("/sys/fs/cgroup");
    expect(places).toSatisfy((all) => all.every(isEnginesPlace));
    expect(targetsOf(...places, "//sys/./", "/dev/x", "/etc", "/system")).toEqual([
      "/etc",
      "/system",
    ]);
  });

  test("are limited in number", () => {
    const many = Array.from({ length: 129 }, (_, at) => `/v${at}`);
    expect(targetsOf(...many.slice(1))).toHaveLength(128);
    expect(() => targetsOf(...many)).toThrow(/it has 129 volumes, the limit is 128/);
  });
});

test("labels of SELinux are refused where it runs, and nothing where it does not", () => {
  const bind = {
    kind: "bind",
    source: "/",
    target: "/m",
    readonly: true,
    recursive: true,
  } as const;
  const mounts = [
    { ...bind, propagation: "rprivate", createSource: false, relabel: true },
  ] as const;
  const user = { uid: 0, gid: 0 };
  const wish = { store: {} as Store, mounts, directory: "/x", thrownAway: true, user };
  expect(planStorage({ ...wish, hasSelinux: false }).mounts).toHaveLength(1);
  expect(() => planStorage({ ...wish, hasSelinux: true })).toThrow("no files SELinux labels");
});
