import { describe, expect, test } from "bun:test";
import type { Config, Process } from "@tare/spec/oci-runtime.ts";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import { parseProcess } from "@tare/spec/oci-runtime-parse-process.ts";
import { EINVAL, EPERM } from "../sys/abi-errno.ts";
import { scriptedSys } from "../sys/scripted-sys.ts";
import {
  applyScheduling,
  planIoPriority,
  planMemoryPolicy,
  planPersonality,
  planScheduler,
  planScheduling,
} from "./scheduling.ts";

type Fields = { readonly [name: string]: unknown };

function processOf(fields: Fields): Process {
  return parseProcess(JSON.stringify({ cwd: "/", user: { uid: 0, gid: 0 }, ...fields }));
}

describe("scheduler", () => {
  const base = {
    policy: "SCHED_OTHER",
    nice: 0,
    priority: 0,
    flags: [],
    runtime: 0n,
    deadline: 0n,
    period: 0n,
  };

  const attrOf = (scheduler: Fields): DataView => {
    const [step] = planScheduler(processOf({ scheduler }));
    if (step?.op !== "scheduler") throw new Error("no scheduler step");
    return new DataView(step.attr.buffer);
  };

  test("none where none is configured", () => {
    expect(planScheduler(processOf({}))).toEqual([]);
    const deadline = processOf({ scheduler: { policy: "SCHED_DEADLINE" } });
    expect(planScheduler(deadline)).toHaveLength(1);
    expect(() => planScheduler(deadline, "0")).toThrow("AllowedCPUs");
  });

  test.each([
    ["SCHED_OTHER", 0],
    ["SCHED_FIFO", 1],
    ["SCHED_RR", 2],
    ["SCHED_BATCH", 3],
    ["SCHED_ISO", 4],
    ["SCHED_IDLE", 5],
    ["SCHED_DEADLINE", 6],
  ])("%s is %d", (policy, number) => {
    expect(attrOf({ policy }).getUint32(4, true)).toBe(number);
  });

  test("the fields lie where sched_setattr(2) has them", () => {
    const attr = attrOf({
      policy: "SCHED_DEADLINE",
      nice: -5,
      runtime: 1_000_000,
      deadline: 2_000_000,
      period: 3_000_000,
      flags: ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"],
    });
    expect(attr.byteLength).toBe(56);
    expect(attr.getUint32(0, true)).toBe(56);
    expect(attr.getBigUint64(8, true)).toBe(3n);
    expect(attr.getInt32(16, true)).toBe(-5);
    expect(attr.getInt32(20, true)).toBe(0);
    expect(attrOf({ policy: "SCHED_RR", priority: 7 }).getInt32(20, true)).toBe(7);
    expect(attr.getBigUint64(24, true)).toBe(1_000_000n);
    expect(attr.getBigUint64(32, true)).toBe(2_000_000n);
    expect(attr.getBigUint64(40, true)).toBe(3_000_000n);
  });

  test.each([
    [{}, "requires `runtime`"],
    [{ runtime: 5000 }, "requires `deadline`"],
    [{ runtime: 0, deadline: 1 }, "runtime must be greater than 0"],
    [{ runtime: 5000, deadline: 0 }, "deadline must be greater than 0"],
    [
      { runtime: 1023, deadline: 9000 },
      "runtime (1023) must be between 1024 and 9223372036854775807",
    ],
    [{ runtime: 3000, deadline: 2000 }, "runtime (3000) must be <= deadline (2000)"],
    [{ runtime: 2000, deadline: 3000, period: 2500 }, "deadline (3000) must be <= period (2500)"],
    [{ runtime: 2000, deadline: 3000 }, undefined],
    [{ runtime: 2000, deadline: 2000, period: 2000 }, undefined],
  ])("what the kernel refuses of %j is known", (times, refusal) => {
    const scheduler = { policy: "SCHED_DEADLINE", ...times };
    const [step] = planScheduler(processOf({ scheduler }));
    expect(step?.op === "scheduler" ? step.refusal : "no step").toBe(refusal);
  });

  test("64 bits of a time are exact", () => {
    const scheduler = '{"policy":"SCHED_DEADLINE","runtime":9007199254740993}';
    const text = `{"cwd":"/","user":{"uid":0,"gid":0},"scheduler":${scheduler}}`;
    const [step] = planScheduler(parseProcess(text));
    if (step?.op !== "scheduler") throw new Error("no scheduler step");
    expect(new DataView(step.attr.buffer).getBigUint64(24, true)).toBe(9_007_199_254_740_993n);
  });

  test("an unknown policy or flag is refused", () => {
    const scheduler = { ...base, policy: "SCHED_MAGIC" };
    expect(() => planScheduler({ ...processOf({}), scheduler })).toThrow("SCHED_MAGIC");
    const flagged = { ...base, flags: ["SCHED_FLAG_MAGIC"] };
    expect(() => planScheduler({ ...processOf({}), scheduler: flagged })).toThrow("FLAG_MAGIC");
  });
});

describe("scheduler fields that the policy does not have", () => {
  test.each([
    ["nice", { policy: "SCHED_OTHER", nice: 20 }],
    ["nice", { policy: "SCHED_BATCH", nice: -21 }],
    ["priority", { policy: "SCHED_OTHER", priority: 1 }],
    ["priority", { policy: "SCHED_DEADLINE", priority: 1 }],
    ["policy", { policy: "SCHED_FIFO", priority: 1, runtime: 1 }],
    ["policy", { policy: "SCHED_OTHER", deadline: 1 }],
    ["policy", { policy: "SCHED_IDLE", period: 1 }],
  ])("are refused: %s of %j", (field, scheduler) => {
    expect(() => planScheduler(processOf({ scheduler }))).toThrow(`process.scheduler.${field}`);
  });
});

describe("I/O priority", () => {
  test.each([
    ["IOPRIO_CLASS_RT", 4, (1 << 13) | 4],
    ["IOPRIO_CLASS_BE", 7, (2 << 13) | 7],
    ["IOPRIO_CLASS_IDLE", 0, 3 << 13],
  ])("%s", (name, priority, number) => {
    const [step] = planIoPriority(processOf({ ioPriority: { class: name, priority } }));
    expect(step?.op === "io-priority" ? step.priority : undefined).toBe(number);
  });

  test("an unknown class is refused", () => {
    const ioPriority = { class: "IOPRIO_CLASS_MAGIC", priority: 0 };
    expect(() => planIoPriority({ ...processOf({}), ioPriority })).toThrow("CLASS_MAGIC");
    expect(planIoPriority(processOf({}))).toEqual([]);
  });
});

describe("personality", () => {
  const configOf = (linux: Fields): Config =>
    parseConfig(JSON.stringify({ ociVersion: "1.0.0", root: { path: "r" }, linux }));

  test("LINUX32 shows a 32-bit machine, LINUX the usual one", () => {
    const persona = (domain: string) => {
      const [step] = planPersonality(configOf({ personality: { domain } }));
      return step?.op === "personality" ? step.persona : undefined;
    };
    expect(persona("LINUX")).toBe(0);
    expect(persona("LINUX32")).toBe(8);
    expect(planPersonality(configOf({}))).toEqual([]);
  });

  test("flags are added to the domain", () => {
    const flags = ["ADDR_NO_RANDOMIZE", "UNAME26"];
    const [step] = planPersonality(configOf({ personality: { domain: "LINUX32", flags } }));
    expect(step?.op === "personality" ? step.persona : undefined).toBe(0x60008);
  });

  test("an unknown flag is refused", () => {
    const config = configOf({ personality: { domain: "LINUX", flags: ["ADDR_MAGIC"] } });
    expect(() => planPersonality(config)).toThrow('linux.personality.flags "ADDR_MAGIC"');
  });
});

describe("memory policy", () => {
  const policyOf = (memoryPolicy: Fields) => {
    const [step] = planMemoryPolicy(
      parseConfig(
        JSON.stringify({ ociVersion: "1.3.0", root: { path: "r" }, linux: { memoryPolicy } }),
      ),
    );
    if (step?.op !== "memory-policy") throw new Error("no step");
    return step;
  };

  test("modes, flags and nodes become numbers", () => {
    const flags = ["MPOL_F_STATIC_NODES"];
    const step = policyOf({ mode: "MPOL_INTERLEAVE", nodes: "2-3,64", flags });
    expect(step.mode).toBe(3 | (1 << 15));
    expect([...step.nodes]).toEqual([0x0c, 0, 0, 0, 0, 0, 0, 0, 1, ...Array(15).fill(0)]);
    const balanced = policyOf({ mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_NUMA_BALANCING"] });
    expect(balanced.mode).toBe(2 | (1 << 13));
    expect(policyOf({ mode: "MPOL_LOCAL" })).toMatchObject({ mode: 4, nodes: new Uint8Array(0) });
    expect(policyOf({ mode: "MPOL_PREFERRED" }).mode).toBe(1);
  });

  test.each([
    ["MPOL_DEFAULT", "0"],
    ["MPOL_LOCAL", "0"],
    ["MPOL_BIND", ""],
    ["MPOL_INTERLEAVE", ""],
    ["MPOL_WEIGHTED_INTERLEAVE", " ,"],
    ["MPOL_PREFERRED_MANY", ""],
    ["MPOL_BIND", "1-"],
  ])("%s on nodes %j is refused", (mode, nodes) => {
    expect(() => policyOf({ mode, nodes })).toThrow("linux.memoryPolicy.nodes");
  });

  test("the words of a refusal are runc's", () => {
    const nodes = "0-7";
    expect(() => policyOf({ nodes })).toThrow("invalid memory policy mode");
    expect(() => policyOf({ mode: "MPOL_DEFAULT", nodes })).toThrow(
      "mode requires 0 nodes but got 8",
    );
    const flagged = { mode: "MPOL_BIND", nodes, flags: ["badflag"] };
    expect(() => policyOf(flagged)).toThrow("invalid memory policy flag");
    const large = { mode: "MPOL_BIND", nodes: "0-9876543210" };
    expect(() => policyOf(large)).toThrow("invalid memory policy node");
  });

  test.each(["MPOL_MAGIC", "", 3])("mode %j is refused", (mode) => {
    expect(() => policyOf({ mode })).toThrow("linux.memoryPolicy.mode");
  });

  test("the kernel is told of one bit more than there are, and never of none", () => {
    const { sys, calls } = scriptedSys({});
    applyScheduling(sys, policyOf({ mode: "MPOL_BIND", nodes: "0" }));
    applyScheduling(sys, policyOf({ mode: "MPOL_LOCAL" }));
    expect(calls.map(([name, mode, , bits]) => [name, mode, bits])).toEqual([
      ["set_mempolicy", 2, 128],
      ["set_mempolicy", 4, 1],
    ]);
  });
});

test("all that is asked for, in order; what the kernel refuses names its field", () => {
  const text = JSON.stringify({
    ociVersion: "1.3.0",
    root: { path: "r" },
    process: {
      cwd: "/",
      user: { uid: 0, gid: 0 },
      scheduler: { policy: "SCHED_IDLE" },
      ioPriority: { class: "IOPRIO_CLASS_RT", priority: 0 },
    },
    linux: {
      memoryPolicy: { mode: "MPOL_BIND", nodes: "9" },
      personality: { domain: "LINUX32" },
    },
  });
  const config = parseConfig(text);
  const steps = planScheduling(config, config.process as Process);
  const errno = () => -EPERM;
  const { sys } = scriptedSys({
    sched_setattr: errno,
    ioprio_set: errno,
    set_mempolicy: () => -EINVAL,
    personality: errno,
  });
  const messages = steps.map((step) => messageOf(() => applyScheduling(sys, step)));
  expect(messages.map((message) => message.split(": ").slice(0, 2).join(": "))).toEqual([
    'Cannot honour process.scheduler "SCHED_IDLE": sched_setattr',
    'Cannot honour process.ioPriority "IOPRIO_CLASS_RT": ioprio_set',
    'Cannot honour linux.memoryPolicy "MPOL_BIND" on nodes "9": set_mempolicy',
    'Cannot honour linux.personality "LINUX32": personality',
  ]);
});

function messageOf(action: () => void): string {
  try {
    action();
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}
