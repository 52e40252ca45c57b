import { describe, expect, test } from "bun:test";
import type { Config } from "@tare/spec/oci-runtime.ts";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import type { ProcessStep } from "../container/step.ts";
import {
  capabilityMasks,
  lostAmbient,
  planLaunch,
  planProcessSetup,
  refuseOnlyUnknown,
  withinHeld,
  withinKnown,
} from "./plan.ts";
import { planScheduling } from "./scheduling.ts";

type Fields = { readonly [name: string]: unknown };

function configOf(process: Fields, linux: Fields = {}): Config {
  return parseConfig(
    JSON.stringify({
      ociVersion: "1.3.0",
      root: { path: "rootfs" },
      process: { cwd: "/", user: { uid: 0, gid: 0 }, args: ["true"], ...process },
      linux,
    }),
  );
}

function launch(process: Fields, linux: Fields = {}): ProcessStep[] {
  const config = configOf(process, linux);
  if (config.process === undefined) throw new Error("the configuration has a process");
  const scheduling = planScheduling(config, config.process);
  return planLaunch(config, config.process, { scheduling, groupsMayStay: false });
}

function stepOf<Op extends ProcessStep["op"]>(steps: readonly ProcessStep[], op: Op) {
  const found = steps.find((step) => step.op === op);
  if (found === undefined) throw new Error(`no step ${op}`);
  return found as Extract<ProcessStep, { op: Op }>;
}

const opsOf = (steps: readonly ProcessStep[]) => steps.map(({ op }) => op);

describe("from the word to start to execve", () => {
  test("without no_new_privs the filter is loaded while CAP_SYS_ADMIN is there", () => {
    expect(opsOf(launch({}))).toEqual([
      "default-signals",
      "umask",
      "bounding-set",
      "identity",
      "directory",
      "descriptors",
      "seccomp",
      "capabilities",
      "execute",
    ]);
  });

  test("with it the filter is the last thing, so that it may refuse what we do", () => {
    expect(opsOf(launch({ noNewPrivileges: true }))).toEqual([
      "default-signals",
      "umask",
      "no-new-privileges",
      "bounding-set",
      "identity",
      "directory",
      "descriptors",
      "capabilities",
      "seccomp",
      "execute",
    ]);
  });

  test("what needs privileges comes before the change of user", () => {
    const ops = opsOf(
      launch(
        {
          scheduler: { policy: "SCHED_BATCH", nice: 3 },
          ioPriority: { class: "IOPRIO_CLASS_IDLE", priority: 0 },
        },
        { personality: { domain: "LINUX32" } },
      ),
    );
    expect(ops.slice(0, 4)).toEqual(["scheduler", "io-priority", "personality", "default-signals"]);
  });

  test("the umask is 022 unless it is configured, also as 0", () => {
    expect(stepOf(launch({}), "umask").mask).toBe(0o022);
    expect(stepOf(launch({ user: { uid: 0, gid: 0, umask: 0 } }), "umask").mask).toBe(0);
  });

  test("the directory is the configured one", () => {
    expect(stepOf(launch({ cwd: "/w x" }), "directory").path).toBe("/w x");
  });
});

describe("identity", () => {
  test("the primary group is among the supplementary ones, once (CVE-2022-36109)", () => {
    const groups = (additionalGids: number[]) =>
      stepOf(launch({ user: { uid: 7, gid: 8, additionalGids } }), "identity").groups;
    expect(groups([])).toEqual([8]);
    expect(groups([9, 8, 10, 9])).toEqual([8, 9, 10]);
  });

  test("the caller's groups may stay only where one group is mapped and no other is wanted", () => {
    const mayStay = (size: number, additionalGids: number[], type = "user") =>
      stepOf(
        launch(
          { user: { uid: 0, gid: 0, additionalGids } },
          {
            namespaces: [{ type }],
            uidMappings: [{ containerID: 0, hostID: 1000, size }],
            gidMappings: [{ containerID: 0, hostID: 1000, size }],
          },
        ),
        "identity",
      ).groupsMayStay;
    expect(mayStay(1, [])).toBeTrue();
    expect(mayStay(1, [5])).toBeFalse();
    expect(mayStay(2, [])).toBeFalse();
    expect(mayStay(1, [], "mount")).toBeFalse();
  });
});

/** Names that the kernel has not, or has in other letters. */
const NO_NAMES = ["CAP_MAGIC", "CHOWN", "cap_chown", "CAP_", "__proto__"];

describe("capabilities", () => {
  const masks = (capabilities: Fields) => {
    const { process } = configOf({ capabilities });
    if (process === undefined) throw new Error("the configuration has a process");
    return capabilityMasks(process);
  };

  test("those that are not held are left out of every set, and named", () => {
    const both = ["CAP_KILL", "CAP_BPF"];
    const sets = { bounding: both, permitted: both, effective: ["CAP_BPF"], inheritable: both };
    const { process } = configOf({ capabilities: { ...sets, ambient: both } });
    if (process === undefined) throw new Error("the configuration has a process");
    const kill = 1n << 5n;
    expect(withinHeld(process, kill | (1n << 39n))).toEqual({ process, lacking: [] });
    expect(withinHeld(process, 0n).lacking).toEqual(both);
    const some = withinHeld(process, kill);
    expect(some.lacking).toEqual(["CAP_BPF"]);
    const killOnly = ["CAP_KILL"];
    expect(some.process.capabilities).toEqual({
      bounding: killOnly,
      permitted: killOnly,
      effective: [],
      inheritable: killOnly,
      ambient: killOnly,
    });
  });

  test("no sets at all are no capabilities", () => {
    const none = { effective: 0n, permitted: 0n, inheritable: 0n, ambient: [] };
    expect(masks({})).toEqual(none);
    expect(stepOf(launch({}), "capabilities").sets).toEqual(none);
  });

  test("each set has the bits of its names, also above 32", () => {
    const sets = masks({
      effective: ["CAP_CHOWN"],
      permitted: ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"],
      inheritable: ["CAP_BPF"],
      bounding: ["CAP_CHOWN"],
    });
    expect(sets.effective).toBe(1n);
    expect(sets.permitted).toBe(1n | (1n << 21n) | (1n << 40n));
    expect(sets.inheritable).toBe(1n << 39n);
  });

  test("an ambient one must be permitted and inheritable, else the kernel would not keep it", () => {
    const all = ["CAP_CHOWN", "CAP_KILL"];
    expect(masks({ ambient: all, permitted: all, inheritable: ["CAP_KILL"] }).ambient).toEqual([5]);
    expect(masks({ ambient: all, permitted: ["CAP_CHOWN"], inheritable: all }).ambient).toEqual([
      0,
    ]);
    expect(masks({ ambient: all }).ambient).toEqual([]);
    const { process } = configOf({
      capabilities: { ambient: all, permitted: all, inheritable: [] },
    });
    expect(process === undefined ? [] : lostAmbient(process)).toEqual(all);
  });

  test.each(["effective", "permitted", "inheritable", "bounding", "ambient"])(
    "a name in %s that is no capability is left out and told",
    (set) => {
      const { process } = configOf({ capabilities: { [set]: [...NO_NAMES, "CAP_KILL"] } });
      if (process === undefined) throw new Error("the configuration has a process");
      const known = withinKnown(process);
      expect(known.unknown).toEqual(NO_NAMES);
      const none = { bounding: [], permitted: [], effective: [], inheritable: [], ambient: [] };
      expect(known.process.capabilities).toEqual({ ...none, [set]: ["CAP_KILL"] });
      expect(withinKnown(known.process)).toEqual({ process: known.process, unknown: [] });
      expect(() => refuseOnlyUnknown(process)).not.toThrow();
    },
  );

  test("names of which none is a capability are refused", () => {
    for (const name of NO_NAMES) {
      const { process } = configOf({ capabilities: { bounding: [name], permitted: ["CAP_NO"] } });
      if (process === undefined) throw new Error("the configuration has a process");
      expect(() => refuseOnlyUnknown(process)).toThrow(`none of ${name}, CAP_NO`);
    }
    const { process } = configOf({ capabilities: {} });
    if (process !== undefined) expect(() => refuseOnlyUnknown(process)).not.toThrow();
  });

  test("the bounding set loses all others, also those that have no name yet", () => {
    const { drop } = stepOf(
      launch({ capabilities: { bounding: ["CAP_CHOWN", "CAP_NET_RAW"] } }),
      "bounding-set",
    );
    expect(drop).toHaveLength(62);
    expect(drop.filter((number) => number === 0 || number === 13)).toEqual([]);
    expect(drop).toContain(40);
    expect(drop).toContain(63);
  });
});

describe("before the container counts as created", () => {
  const setup = (process: Fields) => planProcessSetup(configOf(process));

  test("without a process there is nothing", () => {
    const { process: _none, ...rest } = configOf({});
    expect(planProcessSetup(rest)).toEqual([]);
  });

  test("limits carry their number and 64-bit values", () => {
    const steps = setup({
      rlimits: [
        { type: "RLIMIT_NOFILE", soft: 1024, hard: 2048 },
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      ],
    });
    expect(steps.map((step) => (step.op === "rlimit" ? step.resource : step.op))).toEqual([
      7,
      4,
      "find-program",
    ]);
    expect(stepOf(steps, "rlimit").limit.hard).toBe(2048n);
  });

  test("labels, score and limits come in a fixed order, the program last", () => {
    const steps = setup({
      oomScoreAdj: 0,
      apparmorProfile: "docker-default",
      selinuxLabel: "a:b:c",
      rlimits: [{ type: "RLIMIT_CPU", soft: 1, hard: 1 }],
    });
    expect(opsOf(steps)).toEqual(["oom-score", "rlimit", "apparmor", "selinux", "find-program"]);
    expect(stepOf(steps, "oom-score").value).toBe(0);
  });

  test("no arguments: nothing to find, and the start will say so", () => {
    expect(opsOf(setup({ args: [] }))).toEqual([]);
  });

  test("a limit of an unknown resource is refused", () => {
    expect(() => setup({ rlimits: [{ type: "RLIMIT_MAGIC", soft: 1, hard: 1 }] })).toThrow();
  });
});
