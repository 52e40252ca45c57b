import { describe, expect, test } from "bun:test";
import type { Config } from "@tare/spec/oci-runtime.ts";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import type { CgroupPlan } from "../cgroup/plan.ts";
import { exampleConfig } from "../command/example.ts";
import { planContainer } from "./plan.ts";
import type { Step } from "./step.ts";

type Fields = { readonly [name: string]: unknown };

const CGROUP: CgroupPlan = { mode: "v2", dirs: [], writes: [] };
const FACTS = {
  id: "x",
  bundle: "/bundle",
  keyring: true,
  cgroup: CGROUP,
  entersCgroup: true,
  scheduling: [],
  groupsMayStay: false,
  isHostNamespace: () => false,
  pivot: true,
  isRootless: false,
};

const MAPS = [{ containerID: 0, hostID: 100_000, size: 65_536 }];

/** The configuration that `spec` writes, with changes to process and linux. */
function usual(process: Fields = {}, linux: Fields = {}, more: Fields = {}): Config {
  const example = JSON.parse(JSON.stringify(exampleConfig({ ids: undefined, unified: true })));
  Object.assign(example, more);
  Object.assign(example.process, process);
  Object.assign(example.linux, linux);
  return parseConfig(JSON.stringify(example));
}

/** Operations in their order, each with what it is done to. */
function linesOf(steps: readonly Step[]): string[] {
  return steps.map((step) => {
    if ("target" in step && step.op !== "link") return `${step.op} ${step.target}`;
    if ("path" in step) return `${step.op} ${step.path}`;
    if (step.op === "rlimit") return `rlimit ${step.limit.type}`;
    return "name" in step ? `${step.op} ${step.name}` : step.op;
  });
}

const planOf = (config: Config) => planContainer(config, FACTS);
const opsOf = (config: Config): string[] => planOf(config).init.map(({ op }) => op);
const hook = (path: string) => [{ path }];
const withUser = () => {
  const { linux } = usual();
  return [...linux.namespaces, { type: "user" }];
};

test("the usual container, step by step", () => {
  expect(linesOf(planOf(usual({ cwd: "/w", oomScoreAdj: 5 })).init)).toEqual([
    "enter-cgroup",
    "all-processors",
    "cgroup-namespace",
    "session",
    "keyring _ses.x",
    "loopback",
    "hostname tare",
    "procfs",
    "propagation",
    "root /bundle/rootfs",
    "mount /proc",
    "mount /dev",
    "mount /dev/pts",
    "mount /dev/shm",
    "mount /dev/mqueue",
    "mount /sys",
    "mount-cgroup /sys/fs/cgroup",
    "pivot",
    "device /dev/null",
    "device /dev/zero",
    "device /dev/full",
    "device /dev/random",
    "device /dev/urandom",
    "device /dev/tty",
    "link /dev/fd",
    "link /dev/stdin",
    "link /dev/stdout",
    "link /dev/stderr",
    "link /dev/ptmx",
    "console",
    "working-directory /w",
    "set-readonly /sys/fs/cgroup",
    "read-only /proc/bus",
    "read-only /proc/fs",
    "read-only /proc/irq",
    "read-only /proc/sys",
    "read-only /proc/sysrq-trigger",
    "mask /proc/acpi",
    "mask /proc/asound",
    "mask /proc/interrupts",
    "mask /proc/kcore",
    "mask /proc/keys",
    "mask /proc/latency_stats",
    "mask /proc/timer_list",
    "mask /proc/timer_stats",
    "mask /proc/sched_debug",
    "mask /proc/scsi",
    "mask /sys/firmware",
    "mask /sys/devices/virtual/powercap",
    "root-read-only",
    "oom-score",
    "rlimit RLIMIT_NOFILE",
    "find-program",
    "wait-start",
    "default-signals",
    "umask",
    "no-new-privileges",
    "bounding-set",
    "identity",
    "directory /w",
    "descriptors",
    "capabilities",
    "seccomp",
    "execute",
  ]);
});

test("every step says why", () => {
  for (const { why } of planOf(usual()).init) expect(why.length).toBeGreaterThan(10);
});

describe("the order that keeps a container in", () => {
  const configs: [name: string, config: Config][] = [
    ["the usual one", usual()],
    ["one without no_new_privs", usual({ noNewPrivileges: false })],
    [
      "one in a user namespace",
      usual({}, { namespaces: withUser(), uidMappings: MAPS, gidMappings: MAPS }),
    ],
    [
      "one with every hook",
      usual(
        {},
        {},
        {
          hooks: {
            prestart: hook("/a"),
            createRuntime: hook("/b"),
            createContainer: hook("/c"),
            startContainer: hook("/d"),
          },
        },
      ),
    ],
  ];

  test.each(configs)("%s: limits hold before anything else runs", (_name, config) => {
    const ops = opsOf(config).filter((op) => op !== "become-root");
    expect(ops[0]).toBe("enter-cgroup");
  });

  test.each(configs)(
    "%s: after pivot only the container's own tree is touched",
    (_name, config) => {
      const ops = opsOf(config);
      const after = ops.slice(ops.indexOf("pivot") + 1);
      const outside = [
        "mount",
        "bind",
        "mount-cgroup",
        "root",
        "propagation",
        "take-devices",
        "procfs",
      ];
      expect(after.filter((op) => outside.includes(op))).toEqual([]);
      const inside = ["device", "link", "console", "mask", "read-only", "sysctl", "root-read-only"];
      expect(ops.slice(0, ops.indexOf("pivot")).filter((op) => inside.includes(op))).toEqual([]);
    },
  );

  test.each(configs)("%s: the tree is protected before the program may start", (_name, config) => {
    const ops = opsOf(config);
    const start = ops.indexOf("wait-start");
    for (const op of ["mask", "read-only", "root-read-only", "rlimit", "find-program"]) {
      expect(ops.lastIndexOf(op)).toBeGreaterThan(0);
      expect(ops.lastIndexOf(op)).toBeLessThan(start);
    }
  });

  test.each(configs)(
    "%s: identity, then what is left of the descriptors, then the filter",
    (_name, config) => {
      const ops = opsOf(config);
      const order = ["bounding-set", "identity", "directory", "descriptors", "seccomp", "execute"];
      const places = order.map((op) => ops.indexOf(op));
      expect(places.every((place) => place > 0)).toBeTrue();
      expect([...places].sort((one, other) => one - other)).toEqual(places);
      expect(ops.at(-1)).toBe("execute");
    },
  );

  test("the filter comes before the capabilities where it takes one of them, else after", () => {
    const ops = opsOf(usual({ noNewPrivileges: false }));
    expect(ops.indexOf("seccomp")).toBeLessThan(ops.indexOf("capabilities"));
    const private_ = opsOf(usual());
    expect(private_.indexOf("capabilities")).toBeLessThan(private_.indexOf("seccomp"));
    expect(private_.indexOf("no-new-privileges")).toBeLessThan(private_.indexOf("seccomp"));
  });
});

describe("variants", () => {
  test("a user namespace: root of it first, devices of the host taken right before pivot", () => {
    const linux = { namespaces: withUser(), uidMappings: MAPS, gidMappings: MAPS };
    const { clone, init } = planOf(usual({}, linux));
    expect(init[0]?.op).toBe("become-root");
    const ops = init.map(({ op }) => op);
    expect(ops[ops.indexOf("pivot") - 1]).toBe("take-devices");
    expect(clone.namespaces).toContain("user");
  });

  test("rootless, as spec writes it: no loopback, its own cgroup", () => {
    const example = exampleConfig({ ids: { uid: 1000, gid: 1000 }, unified: true });
    const ops = opsOf(parseConfig(JSON.stringify(example)));
    expect(ops[0]).toBe("become-root");
    expect(ops).not.toContain("loopback");
    expect(ops).toContain("mount-cgroup");
    expect(ops).toContain("cgroup-namespace");
  });

  test("without a keyring of its own the caller's stays", () => {
    const { init } = planContainer(usual(), { ...FACTS, keyring: false });
    expect(init.map(({ op }) => op)).not.toContain("keyring");
  });

  test("without a terminal there is no console", () => {
    expect(opsOf(usual({ terminal: false }))).not.toContain("console");
  });

  test("hooks: the parent's and createContainer before pivot, startContainer after the word to start", () => {
    const hooks = {
      createRuntime: hook("/b"),
      createContainer: hook("/c"),
      startContainer: hook("/d"),
      poststart: hook("/e"),
      poststop: hook("/f"),
    };
    const { init } = planOf(usual({}, {}, { hooks }));
    const ops = init.map(({ op }) => op);
    const own = init.flatMap((step) => (step.op === "hooks" ? [step.name] : []));
    expect(own).toEqual(["createContainer", "startContainer"]);
    const pivot = ops.indexOf("pivot");
    expect(ops.slice(pivot - 2, pivot)).toEqual(["parent-hooks", "hooks"]);
    expect(ops[ops.indexOf("wait-start") + 1]).toBe("hooks");
  });

  test("poststart and poststop alone are no step of the container", () => {
    const ops = opsOf(usual({}, {}, { hooks: { poststart: hook("/e"), poststop: hook("/f") } }));
    expect(ops).not.toContain("hooks");
    expect(ops).not.toContain("parent-hooks");
  });

  test("no program: created like any other, and the start is told", () => {
    const example = JSON.parse(JSON.stringify(exampleConfig({ ids: undefined, unified: true })));
    example.process = undefined;
    const ops = opsOf(parseConfig(JSON.stringify(example)));
    expect(ops.slice(ops.indexOf("wait-start"))).toEqual(["wait-start", "execute"]);
    expect(ops).not.toContain("find-program");
  });

  test("a joined mount namespace has its tree already, or gets another", () => {
    const namespaces = [{ type: "mount", path: "/run/ns" }];
    const linux = { namespaces, maskedPaths: [], readonlyPaths: [] };
    const plain = { hostname: "", mounts: [], root: { path: "/" } };
    const ops = opsOf(usual({ terminal: false }, linux, plain));
    const start = [
      "hide",
      "enter-cgroup",
      "all-processors",
      "join",
      "session",
      "keyring",
      "procfs",
    ];
    expect(ops.slice(0, start.length)).toEqual(start);
    expect(ops).not.toContain("pivot");
    expect(() =>
      planOf(usual({}, linux, { ...plain, root: { path: "/", readonly: true } })),
    ).toThrow("joined mount namespace");
    expect(opsOf(usual({}, linux, { ...plain, root: { path: "rootfs" } }))).toContain("pivot");
  });

  test("a shared root is told to pivot, which must not reach the host", () => {
    const sharedOf = (rootfsPropagation: string) => {
      const step = planOf(usual({}, { rootfsPropagation })).init.find(({ op }) => op === "pivot");
      return step?.op === "pivot" ? step.shared : undefined;
    };
    expect(sharedOf("shared")).toBeTrue();
    expect(sharedOf("rshared")).toBeTrue();
    expect(sharedOf("rslave")).toBeFalse();
  });
});
