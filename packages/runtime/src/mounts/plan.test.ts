import { describe, expect, test } from "bun:test";
import type { Config } from "@tare/spec/oci-runtime.ts";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import type { MountStep } from "../container/step.ts";
import { MOUNT_ATTR_RDONLY, MS_PRIVATE, MS_SHARED, MS_SLAVE } from "../sys/abi-mount.ts";
import { mapsOf } from "./idmap.ts";
import type { MountOptions } from "./options.ts";
import { normalize, planLateReadonly, planMounts, planProtection, planRoot } from "./plan.ts";

type Fields = { readonly [name: string]: unknown };

function configOf(fields: Fields): Config {
  return parseConfig(JSON.stringify({ ociVersion: "1.3.0", root: { path: "rootfs" }, ...fields }));
}

const FACTS = {
  bundle: "/bundle",
  cgroupMount: (target: string, options: MountOptions): MountStep => ({
    op: "mount-cgroup",
    target,
    options,
    unified: true,
    views: [],
    private: true,
    why: "",
  }),
};

const plan = (...mounts: Fields[]) => planMounts(configOf({ mounts }), FACTS);

function only<Op extends MountStep["op"]>(op: Op, mount: Fields, more: Fields = {}) {
  const [step] = planMounts(configOf({ mounts: [mount], ...more }), FACTS);
  if (step?.op !== op) throw new Error(`got ${step?.op}`);
  return step as Extract<MountStep, { op: Op }>;
}

describe("the root", () => {
  const rootOf = (rootfsPropagation?: string, path = "rootfs") =>
    planRoot(configOf({ root: { path }, linux: { rootfsPropagation } }), "/bundle");

  test.each([
    [undefined, MS_SLAVE, false],
    ["private", MS_PRIVATE, false],
    ["rprivate", MS_PRIVATE, false],
    ["slave", MS_SLAVE, false],
    ["rslave", MS_SLAVE, false],
    ["unbindable", MS_SLAVE, false],
    ["runbindable", MS_SLAVE, false],
    ["shared", MS_SHARED, true],
    ["rshared", MS_SHARED, true],
  ])("propagation %s: the host is cut off first, unless it is shared", (name, flag, guard) => {
    const [propagation, root] = rootOf(name);
    expect(propagation?.op === "propagation" ? propagation.flag : undefined).toBe(flag);
    expect(root?.op === "root" ? root.guard : undefined).toBe(guard);
  });

  test("a relative path lies in the bundle", () => {
    const pathOf = (path: string) => {
      const root = rootOf(undefined, path)[1];
      return root?.op === "root" ? root.path : undefined;
    };
    expect(pathOf("rootfs")).toBe("/bundle/rootfs");
    expect(pathOf("/srv/rootfs")).toBe("/srv/rootfs");
  });

  test("an unknown mode is refused", () => {
    const config = configOf({});
    const linux = { ...config.linux, rootfsPropagation: "sideways" };
    expect(() => planRoot({ ...config, linux }, "/bundle")).toThrow("sideways");
  });
});

describe("mounts", () => {
  test("stay in their order and keep their kind", () => {
    const steps = plan(
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/data", type: "bind", source: "/srv", options: ["rbind"] },
      { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup" },
      { destination: "/tmp", type: "tmpfs" },
    );
    expect(steps.map(({ op }) => op)).toEqual(["mount", "bind", "mount-cgroup", "mount"]);
    expect(steps.map(({ target }) => target)).toEqual(["/proc", "/data", "/sys/fs/cgroup", "/tmp"]);
  });

  test("a bind option makes a bind, whatever the type says", () => {
    expect(only("bind", { destination: "/a", source: "/b", options: ["bind"] }).source).toBe("/b");
    const odd = { destination: "/a", type: "ext4", source: "/b", options: ["rbind"] };
    expect(only("bind", odd).source).toBe("/b");
    const none = { destination: "/a", type: "none", source: "/b", options: ["rbind"] };
    expect(only("bind", none).options.bind).toBe("rbind");
  });

  test("a relative source lies in the bundle; sources are not made shorter", () => {
    const sourceOf = (source: string) =>
      only("bind", { destination: "/a", type: "bind", source, options: ["bind"] }).source;
    expect(sourceOf("data")).toBe("/bundle/data");
    expect(sourceOf("../data")).toBe("/bundle/../data");
    expect(sourceOf("/srv/./x")).toBe("/srv/./x");
  });

  test("a bind without a source is refused", () => {
    expect(() => plan({ destination: "/a", type: "bind" })).toThrow("no source");
    expect(() => plan({ destination: "/a", options: ["rbind"] })).toThrow("no source");
  });

  test("a file system without a source has its own name as one", () => {
    expect(only("mount", { destination: "/a", type: "tmpfs" }).source).toBe("tmpfs");
  });

  test.each(["/", "//", "/.", "/a/..", "/../..", "."])("%j is the new root", (destination) => {
    expect(only("mount", { destination, type: "tmpfs" }).target).toBe("/");
    const copied = { destination, type: "tmpfs", options: ["tmpcopyup"] };
    expect(() => plan(copied)).toThrow("tmpcopyup");
    expect(() => plan({ destination, type: "cgroup" })).toThrow("it is the root");
  });

  test("a destination below the root's own path lies in the root", () => {
    const targets = ["/bundle/rootfs/a", "/bundle/rootfs/./a", "/bundle/rootfsa", "a"];
    const of = (destination: string) => only("mount", { destination, type: "tmpfs" }).target;
    expect(targets.map(of)).toEqual(["/a", "/a", "/bundle/rootfsa", "/a"]);
    const root = { root: { path: "/" } };
    expect(only("mount", { destination: "/a", type: "tmpfs" }, root).target).toBe("/a");
  });

  test("remount changes what is there, whatever the type", () => {
    const words = ["remount", "ro", "sync"];
    expect(
      only("remount", { destination: "/a", type: "tmpfs", options: words }).options.remount,
    ).toBeTrue();
    const bind = { destination: "/a", options: ["bind", "remount", "ro"] };
    expect(only("remount", bind).target).toBe("/a");
    expect(() => plan({ ...bind, options: ["bind", "remount", "rsize"] })).toThrow("rsize");
  });

  test("an option that a bind cannot honour is refused", () => {
    const bind = { destination: "/a", source: "/b" };
    expect(() => plan({ ...bind, options: ["bind", "mod"] })).toThrow("mod");
    expect(() => plan({ ...bind, options: ["bind", "sync"] })).toThrow("sync");
    expect(() => plan({ ...bind, options: ["bind", "tmpcopyup"] })).toThrow("tmpcopyup");
    const links = ["bind", "copy-symlink", "src-nofollow"];
    expect(() => plan({ ...bind, options: links })).toThrow("copy-symlink excludes");
  });
});

describe("a shared bind", () => {
  const isPeer = (
    options: string[],
    more: Fields = {},
    destination = "/mnt",
    ...others: Fields[]
  ) => {
    const bind = { destination, source: "/data", type: "bind", options };
    const steps = planMounts(configOf({ mounts: [bind, ...others], ...more }), FACTS);
    const [step] = steps;
    return step?.op === "bind" && step.isPeer;
  };

  test("stays a peer of its source; the last word about it holds", () => {
    expect(isPeer(["rbind", "rshared"])).toBeTrue();
    expect(isPeer(["bind", "rslave", "shared"])).toBeTrue();
    expect(isPeer(["bind", "shared", "rprivate"])).toBeFalse();
    expect(isPeer(["bind"])).toBeFalse();
  });

  test("does not where root inside, or something below it, could reach the host", () => {
    const shared = ["bind", "rshared"];
    const inside = { destination: "/mnt/in", type: "tmpfs", source: "tmpfs" };
    expect(isPeer(shared, {}, "/mnt", inside)).toBeFalse();
    expect(isPeer(shared, {}, "/mnt", { ...inside, destination: "/mnt2" })).toBeTrue();
    expect(isPeer(shared, { linux: { maskedPaths: ["/mnt/../mnt/secret"] } })).toBeFalse();
    expect(isPeer(shared, { linux: { readonlyPaths: ["/mnt/x"] } })).toBeFalse();
    expect(isPeer(shared, { linux: { namespaces: [{ type: "user" }] } })).toBeFalse();
    const joined = { type: "mount", path: "/proc/5/ns/mnt" };
    expect(isPeer(shared, { linux: { namespaces: [joined] } })).toBeFalse();
    expect(isPeer(shared, { linux: { namespaces: [{ type: "mount" }] } })).toBeTrue();
    expect(isPeer(shared, {}, "/dev")).toBeFalse();
    expect(isPeer(shared, {}, "/")).toBeFalse();
  });
});

describe("over /proc", () => {
  const proc =
    (destination: string, type = "tmpfs") =>
    () =>
      plan({ destination, type, source: "/srv", options: type === "bind" ? ["bind"] : [] });

  test.each(["/proc", "/proc/", "/proc/self", "/proc/1/ns", "//proc//sys", "/proc/sys/../self"])(
    "%s takes no tmpfs (CVE-2019-16884)",
    (destination) => {
      expect(proc(destination)).toThrow("it would cover procfs");
    },
  );

  test.each(["/proc/self/attr", "/proc/sys", "/proc/cpuinfo/x", "/a/../proc/self"])(
    "%s takes no bind",
    (destination) => {
      expect(proc(destination, "bind")).toThrow("it would cover procfs");
    },
  );

  test.each(
    "cpuinfo diskstats meminfo stat swaps uptime loadavg slabinfo sys/kernel/ns_last_pid".split(
      " ",
    ),
  )("/proc/%s may be covered, as lxcfs does", (name) => {
    expect(proc(`/proc/${name}`, "bind")).not.toThrow();
  });

  test("procfs itself may be mounted, and a bind on /proc is looked at when it is made", () => {
    expect(proc("/proc", "proc")).not.toThrow();
    expect(proc("/proc", "bind")).not.toThrow();
    expect(proc("/process")).not.toThrow();
  });
});

describe("read-only that has to wait", () => {
  test("a tmpfs and /dev get their content first", () => {
    const mounts = [
      { destination: "/dev", type: "devtmpfs", options: ["ro", "nosuid"] },
      { destination: "/a/../b", type: "tmpfs", options: ["ro"] },
      { destination: "/c", type: "tmpfs", options: ["ro", "rw"] },
      { destination: "/sys", type: "sysfs", options: ["ro"] },
      { destination: "/d", type: "bind", source: "/d", options: ["bind", "ro"] },
      { destination: "/sys/fs/cgroup", type: "cgroup", options: ["ro"] },
    ];
    const config = configOf({ mounts });
    const late = planLateReadonly(config, "/bundle");
    expect(late.map((step) => (step.op === "set-readonly" ? step.target : ""))).toEqual([
      "/dev",
      "/b",
      "/sys/fs/cgroup",
    ]);
    const readonly = planMounts(config, FACTS).map(
      (step) => "options" in step && (step.options.attributes.set & MOUNT_ATTR_RDONLY) !== 0,
    );
    expect(readonly).toEqual([false, false, false, true, true, true]);
  });
});

describe("id-mapped mounts", () => {
  const own = [{ containerID: 0, hostID: 5000, size: 10 }];
  const users = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  const mapped = { linux: { uidMappings: users, gidMappings: users } };
  const bind = { destination: "/a", source: "/b" };

  test("the maps of the mount come before those of the container", () => {
    const both = { ...bind, options: ["bind"], uidMappings: own, gidMappings: own };
    expect(only("bind", both, mapped).idmap).toEqual({
      uidMappings: own,
      gidMappings: own,
      recursive: false,
      words: undefined,
    });
  });

  test("the option takes those of the container, with r also for what is below", () => {
    const idmap = only("bind", { ...bind, options: ["rbind", "ridmap"] }, mapped).idmap;
    const maps = { uidMappings: users, gidMappings: users };
    expect(idmap).toEqual({ ...maps, recursive: true, words: undefined });
  });

  test("crun's maps in the option come before the mount's, and may be of the container's ids", () => {
    const words = "uids=0-1000-10#20-5-1;gids=@0-7-3";
    const both = { ...bind, options: ["bind", `ridmap=${words}`] };
    const idmap = only("bind", { ...both, uidMappings: own, gidMappings: own }, mapped).idmap;
    if (idmap === undefined) throw new Error("no map");
    expect(idmap.recursive).toBeTrue();
    expect(mapsOf(idmap)).toEqual({
      uidMappings: [
        { containerID: 0, hostID: 1000, size: 10 },
        { containerID: 20, hostID: 5, size: 1 },
      ],
      gidMappings: [{ containerID: 0, hostID: 100_007, size: 3 }],
    });
  });

  test.each([
    "uids=0-1-2",
    "uids=0-1-2;gids=0-1",
    "uids=0-1-2;gids=0-1-2;x=1",
    "uids=0-1-2;gids=0-1-0",
    "uids=0--1-2;gids=0-1-2",
    "uids=0-1-4294967296;gids=0-1-2",
    "uids=@0-65536-1;gids=0-1-2",
    "uids= 0-1-2;gids=0-1-2",
    "=;=",
  ])("the maps %j are refused", (words) => {
    const maps = { uidMappings: users, gidMappings: users, recursive: false };
    expect(() => mapsOf({ ...maps, words })).toThrow("Cannot");
  });

  test("only binds can be mapped", () => {
    const tmpfs = { destination: "/a", type: "tmpfs" };
    expect(() => plan({ ...tmpfs, options: ["idmap"] })).toThrow("not a bind");
    expect(() => plan({ ...tmpfs, uidMappings: own, gidMappings: own })).toThrow("not a bind");
  });

  test("without option and maps there is none; without maps to take it is refused", () => {
    expect(only("bind", { ...bind, options: ["bind"] }, mapped).idmap).toBeUndefined();
    expect(() => plan({ ...bind, options: ["bind", "idmap"] })).toThrow("is missing");
  });
});

describe("protection of the finished tree", () => {
  const protect = (fields: Fields) => planProtection(configOf(fields), () => false);

  test("settings first, then read-only, then masks, then the root", () => {
    const steps = protect({
      root: { path: "r", readonly: true },
      linux: {
        namespaces: [{ type: "network" }],
        sysctl: { "net.ipv4.ip_forward": "1" },
        readonlyPaths: ["/proc/sys", "/proc/bus"],
        maskedPaths: ["/proc/kcore"],
        rootfsPropagation: "runbindable",
      },
    });
    expect(steps.map((step) => ("path" in step ? `${step.op} ${step.path}` : step.op))).toEqual([
      "sysctl",
      "read-only /proc/sys",
      "read-only /proc/bus",
      "mask /proc/kcore",
      "root-propagation",
      "root-read-only",
    ]);
  });

  test("a root that is private or slave was so before its mounts, which may be otherwise", () => {
    const ops = (rootfsPropagation: string) => protect({ linux: { rootfsPropagation } });
    for (const name of ["private", "rprivate", "slave", "rslave"]) expect(ops(name)).toEqual([]);
    expect(ops("rshared")).toMatchObject([{ op: "root-propagation", flag: MS_SHARED }]);
  });

  test("a path that is named twice is masked once", () => {
    const steps = protect({ linux: { maskedPaths: ["/a", "/a/", "//a", "/b/../a", "/b"] } });
    expect(steps.map((step) => ("path" in step ? step.path : ""))).toEqual(["/a", "/b"]);
  });

  test("nothing where nothing is asked for", () => {
    expect(protect({})).toEqual([]);
  });
});

test.each([
  ["/a//b/./c/", "/a/b/c"],
  ["/a/../../b", "/b"],
  ["", "/"],
  ["a", "/a"],
  ["/..", "/"],
  ["/a/...", "/a/..."],
  ["/a /b", "/a /b"],
])("%j is written %j", (path, want) => {
  expect(normalize(path)).toBe(want);
});

describe("linux.mountLabel", () => {
  const label = "system_u:object_r:container_file_t:s0:c1,c2";
  const dataOf = (type: string, mountLabel = label) => {
    const mount = { destination: "/x", type, source: "none", options: ["a=b"] };
    return only("mount", mount, { linux: { mountLabel } }).options.data;
  };

  test.each(["tmpfs", "devpts", "overlay"])("labels what a %s will hold", (type) => {
    expect(dataOf(type)).toEqual(["a=b", `context=${label}`]);
  });

  test.each(["sysfs", "mqueue"])("leaves the kernel's own view alone: %s", (type) => {
    expect(dataOf(type)).toEqual(["a=b"]);
  });

  test("says nothing where it is empty, nor of a bind", () => {
    expect(dataOf("tmpfs", "")).toEqual(["a=b"]);
    const mount = { destination: "/x", type: "bind", source: "/y" };
    expect(only("bind", mount, { linux: { mountLabel: label } }).options.data).toEqual([]);
  });
});
