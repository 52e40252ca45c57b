import { describe, expect, test } from "bun:test";
import type { Config } from "@tare/spec/oci-runtime.ts";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import type { MountStep } from "../container/step.ts";
import { MOUNT_ATTR_RDONLY, MS_PRIVATE, MS_SHARED, MS_SLAVE } from "../sys/abi-mount.ts";
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

  test.each(["/", "//", "/.", "/a/..", "/../..", "."])(
    "%j is the root and refused",
    (destination) => {
      expect(() => plan({ destination, type: "tmpfs" })).toThrow("it is the root");
    },
  );
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
    const late = planLateReadonly(config);
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
    });
  });

  test("the option takes those of the container, with r also for what is below", () => {
    const idmap = only("bind", { ...bind, options: ["rbind", "ridmap"] }, mapped).idmap;
    expect(idmap).toEqual({ uidMappings: users, gidMappings: users, recursive: true });
  });

  test("without option and maps there is none; without maps to take it is refused", () => {
    expect(only("bind", { ...bind, options: ["bind"] }, mapped).idmap).toBeUndefined();
    expect(() => plan({ ...bind, options: ["bind", "idmap"] })).toThrow("is missing");
  });
});

describe("protection of the finished tree", () => {
  const protect = (fields: Fields) => planProtection(configOf(fields));

  test("settings first, then read-only, then masks, then the root", () => {
    const steps = protect({
      root: { path: "r", readonly: true },
      linux: {
        namespaces: [{ type: "network" }],
        sysctl: { "net.ipv4.ip_forward": "1" },
        readonlyPaths: ["/proc/sys", "/proc/bus"],
        maskedPaths: ["/proc/kcore"],
        rootfsPropagation: "rslave",
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
